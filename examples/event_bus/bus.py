"""The bus: ``emit(event, payload, ...)`` and ``subscribe(event)``, on the topics of Penstock."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, TypeVar

from examples.event_bus.events import EVENTS, LANES
from penstock.client import AsyncClient, Backoff, Keep
from penstock.worker import Worker

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import timedelta

    from examples.event_bus.events import Event
    from penstock.client import Published

__all__ = ["EventBus", "app", "set_up", "subscribe"]

Handler = TypeVar("Handler", bound="Callable[..., Any]")

FAILED_KEPT = 1_000

app = Worker(queues=[lane.queue for lane in LANES], slots=20)
"""The worker of this shop's subscribers; ``penstock worker examples.event_bus.handlers:app``."""


def subscribe(event: str, *, name: str) -> Callable[[Handler], Handler]:
    """Registers a handler for an event, or a pattern of them such as ``order.*``.

    Args:
        event: topic or pattern.
        name: of the subscription: it collects events while nobody runs the handler.
    """
    return app.on(event, name=name)


class EventBus:
    """Emits events.

    Args:
        client: of a gateway.
        source: who emits them, such as the name of a service.
    """

    def __init__(self, client: AsyncClient, source: str) -> None:
        self._client = client
        self._source = source

    async def emit(
        self,
        event: str,
        payload: Event,
        *,
        priority: Literal["HIGH", "DEFAULT", "LOW"] | None = None,
        delay: timedelta | float | None = None,
        attempts: int | None = None,
        event_id: str = "",
    ) -> Published:
        """Returns once every subscriber's job is stored.

        Args:
            event: its topic.
            payload: of the topic's type.
            priority: within its queue; None is that of the topic's lane.
            delay: until handlers may run, in seconds or as a timedelta.
            attempts: of each handler; None is that of the lane.
            event_id: makes a repeated emit harmless; '' draws one, for this call's own retries.

        Raises:
            TypeError: the payload is of another event's type.
        """
        wanted = EVENTS[event][0]
        if type(payload) is not wanted:
            raise TypeError(f"{event} carries {wanted.__name__}, not {type(payload).__name__}")
        return await self._client.publish(
            event,
            payload,
            priority=priority,
            delay=delay,
            attempts=attempts,
            message_id=event_id,
            source=self._source,
        )


async def set_up(client: AsyncClient) -> None:
    """Tells Penstock the rules of the bus; safe to repeat, so that each deployment may do it."""
    for lane in LANES:
        await client.set_queue_policy(
            lane.queue,
            concurrency=lane.at_once,
            # Nobody asks for what went well; the failures are kept to be looked at.
            succeeded=Keep(age=0),
            failed=Keep(count=FAILED_KEPT),
        )
    for topic, (schema, lane) in EVENTS.items():
        await client.put_topic_rule(
            topic,
            queue=lane.queue,
            priority=lane.priority,
            attempts=lane.attempts,
            backoff=Backoff(initial=1),
            schema=schema,
        )
