"""Who publishes messages, some of them twice, and who subscribes for a while."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from penstock.client import PenstockError
from tests.chaos.load.drawing import draw_plan
from tests.chaos.load.topic_calls import Message

if TYPE_CHECKING:
    import random
    from collections.abc import Awaitable, Callable

    from tests.chaos.load.plan import Plan
    from tests.chaos.load.topic_calls import TopicCalls

__all__ = ["Guest", "Publisher"]

#: The last is nobody's.
_TOPICS: Final = ("news.sport.local", "news.sport.world", "news.city.local", "news.city", "weather")
_FOLLOW_S: Final = 90.0
_PAUSE_S: Final = 1.0
_REMEMBERED: Final = 20


class Publisher:
    """Publishes one message after the other.

    Args:
        calls: its calls.
        take: waits until so many jobs may be submitted.
        stopping: set once nothing new is to be begun.
        name: unique in the run.
        chance: decides.
    """

    def __init__(
        self,
        calls: TopicCalls,
        take: Callable[[int], Awaitable[None]],
        stopping: asyncio.Event,
        name: str,
        chance: random.Random,
    ) -> None:
        self._calls = calls
        self._take = take
        self._stopping = stopping
        self._name = name
        self._chance = chance
        self._count = 0
        self._sent: deque[Message] = deque(maxlen=_REMEMBERED)

    async def run(self) -> None:
        """Goes on until it is told to stop."""
        while not self._stopping.is_set():
            await asyncio.sleep(self._chance.expovariate(1 / _PAUSE_S))
            with suppress(PenstockError):  # It is in the journal; the next message is another.
                await self._publish()

    async def _publish(self) -> None:
        message = self._draw()
        await self._take(3)
        if self._stopping.is_set():
            return
        self._sent.append(message)
        jobs = await self._calls.publish(message)
        if self._chance.random() < 0.3:
            await self._calls.publish(self._chance.choice(self._sent))
        if self._chance.random() < 0.15:
            await self._publish_other(self._chance.choice(self._sent))
        for job in jobs[:2]:
            await self._calls.wait(job, _FOLLOW_S)

    async def _publish_other(self, message: Message) -> None:
        """Something else under the same id: refused, unless the other never came through."""
        if self._chance.random() < 0.5:
            other = replace(message, payload=self._plan())
        else:
            topic = self._chance.choice(_TOPICS[:-1])
            other = replace(message, topic=topic, options={})
        await self._calls.publish(other)

    def _draw(self) -> Message:
        options: dict[str, object] = {}
        if self._chance.random() < 0.2:
            options["delay"] = self._chance.uniform(0.05, 2)
        if self._chance.random() < 0.3:
            options["priority"] = self._chance.choice(["high", "low"])
        plan = self._plan()
        if self._chance.random() < 0.1:
            plan |= {"fail": 1}
        topic = self._chance.choice(_TOPICS)
        date_ms = time.time_ns() // 1_000_000
        return Message(f"m-{plan['work']}", topic, self._name, date_ms, plan, options)

    def _plan(self) -> Plan:
        self._count += 1
        return draw_plan(self._chance, f"{self._name}:{self._count}")


class Guest:
    """Subscribes for a while, again and again.

    Args:
        calls: its calls.
        stopping: set once nothing new is to be begun.
        subscription: its name, which no other guest has, and the pattern of its topics.
        chance: decides.
    """

    def __init__(
        self,
        calls: TopicCalls,
        stopping: asyncio.Event,
        subscription: tuple[str, str],
        chance: random.Random,
    ) -> None:
        self._calls = calls
        self._stopping = stopping
        self._subscription = subscription
        self._chance = chance

    async def run(self) -> None:
        """Goes on until it is told to stop."""
        name, pattern = self._subscription
        while not self._stopping.is_set():
            with suppress(PenstockError):  # It is in the journal; the next one settles it.
                await self._calls.subscribe(name, pattern)
                await asyncio.sleep(self._chance.uniform(1, 6))
                await self._calls.unsubscribe(name)
            await asyncio.sleep(self._chance.uniform(0.5, 4))
