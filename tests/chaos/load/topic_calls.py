"""Topics by a client of which every call goes into the journal."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from tests.chaos.load.plan import QUEUE, ends_of
from tests.chaos.load.recorder import Recorder

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.chaos.load.plan import Plan

__all__ = ["ATTEMPTS", "EPOCH", "GUESTS", "SUBSCRIPTIONS", "Message", "TopicCalls"]

#: What workers subscribe to when they start, by the type of the jobs.
SUBSCRIPTIONS: Final[Mapping[str, str]] = {
    "chaos.news": "news.**",
    "chaos.news.local": "news.*.local",
    "chaos.news.sport": "news.sport.*",
}
#: What clients subscribe to, and leave again: one for each process of clients.
GUESTS: Final[Mapping[str, str]] = {
    "chaos.guest.1": "news.sport.*",
    "chaos.guest.2": "news.**",
}
#: Of each job of a message: outages cost some.
ATTEMPTS: Final = 30
EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Message:
    """A message, as it is journalled and published.

    Attributes:
        id: under which it is repeated.
        topic: of it.
        source: of it.
        time_ms: of what it tells.
        payload: what each of its jobs is to do.
        options: priority and delay (s), where they are given.
    """

    id: str
    topic: str
    source: str
    time_ms: int
    payload: Plan
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def item(self) -> dict[str, object]:
        """As the history tells it."""
        envelope = {"id": self.id, "topic": self.topic}
        return {
            "message": {**envelope, "source": self.source, "time_ms": self.time_ms},
            "payload": self.payload,
            "ends": ends_of(self.payload, {}),
            "delay_ms": round(self.options.get("delay", 0) * 1000),
            "max_attempts": ATTEMPTS,
        }


class TopicCalls(Recorder):
    """Calls about topics in the name of a process."""

    async def publish(self, message: Message) -> list[str]:
        """Publishes a message. Returns the ids of its jobs."""
        async with self._call("publish", **message.item) as answer:
            published = await self._client.publish(
                message.topic,
                message.payload,
                message_id=message.id,
                source=message.source,
                time=EPOCH + timedelta(milliseconds=message.time_ms),
                attempts=ATTEMPTS,
                **message.options,
            )
            answer["jobs"] = [
                {
                    "subscription": each.subscription,
                    "job": each.job_id,
                    "state": each.submitted.state,
                    "outcome": each.submitted.outcome,
                    "durability": each.submitted.durability,
                }
                for each in published.jobs
            ]
        return [each.job_id for each in published.jobs]

    async def subscribe(self, name: str, pattern: str) -> None:
        """Has jobs of a type made of the messages of some topics."""
        async with self._call("subscribe", subscription=name, pattern=pattern):
            await self._client.subscribe(name, pattern, queue=QUEUE, attempts=ATTEMPTS)

    async def unsubscribe(self, name: str) -> None:
        """Ends that."""
        async with self._call("unsubscribe", subscription=name):
            await self._client.unsubscribe(name)
