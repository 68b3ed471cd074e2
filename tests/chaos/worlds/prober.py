"""The harness as a client of its own world: what it asks for, and what it clears up."""

from __future__ import annotations

import asyncio
import itertools
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from penstock.broker import FailureReason, ids
from penstock.broker.keys import NamespaceKeys, Slot
from penstock.client import NotFound, PenstockError, StatusError, WaitTimeout
from tests.chaos.load.plan import QUEUE, TYPES
from tests.chaos.load.recorder import Recorder, Submit
from tests.chaos.load.schedule_calls import ScheduleCalls
from tests.chaos.load.topic_calls import SUBSCRIPTIONS, TopicCalls

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from penstock.client import AsyncClient
    from tests.chaos.history.journal import Journal

__all__ = ["Prober"]

#: Of a call that looks whether the service works (s). Short, so that one that was lost does not
#: pass for a slow recovery; each further submit has longer, for the machine may be slow.
_PROBE_S: Final = 1.0
_LONGEST_PROBE_S: Final = 5.0
#: A probe that has not run for so long (s) was struck itself, by a fault that overlaps. It is put
#: back, but whether the service works is asked with the next one.
_STRUCK_S: Final = 20.0
#: Of one that must be answered in the end, and between two tries of it (s).
_PATIENCE_S: Final = 60.0
_LOOK_S: Final = 0.1
#: What a slot counts of the jobs that have ended in it.
_ENDS: Final = (
    *("succeeded", "cache_hits", "cancelled", "expired"),
    *(f"failed:{reason}" for reason in FailureReason),
)


class Prober:
    """Calls a world's gateways, and journals it.

    Args:
        client: of all gateways.
        journal: of the harness.
        redis: sends the server a command, past the links.
    """

    def __init__(
        self, client: AsyncClient, journal: Journal, redis: Callable[..., Awaitable[Any]]
    ) -> None:
        self._client = client
        self._journal = journal
        self._redis = redis
        self._calls = itertools.count(1)
        self._probes = itertools.count(1)

    async def working(self, within_s: float) -> float:
        """Waits until a short job that was submitted after this call has run.

        Returns:
            How long that took (s).

        Raises:
            TimeoutError: none has run in time.
        """
        loop = asyncio.get_running_loop()
        began = loop.time()
        calls = Recorder(self._client, self._journal, self._calls)
        submit, sent, job = self._probe(), began, ""
        submit_s = _PROBE_S
        while True:
            if loop.time() - sent > _STRUCK_S:
                submit, sent, job = self._probe(), loop.time(), ""
            try:
                job = job or await calls.submit(submit, rpc_timeout=submit_s)
                if (await calls.wait(job, _PROBE_S)).done:
                    return loop.time() - began
            except WaitTimeout:
                pass
            except StatusError:
                submit_s = min(2 * submit_s, _LONGEST_PROBE_S)
                await asyncio.sleep(_LOOK_S / 2)
            if loop.time() - began > within_s:
                raise TimeoutError(f"nothing has worked for {within_s:g} s")

    async def subscribe(self) -> None:
        """Makes the subscriptions of the workers, as they do themselves, and hears of it."""
        calls = TopicCalls(self._client, self._journal, self._calls)
        for name, pattern in SUBSCRIPTIONS.items():
            await _surely(partial(calls.subscribe, name, pattern))

    async def end_schedules(self) -> None:
        """Deletes those whose clients were killed."""
        calls = ScheduleCalls(self._client, self._journal, self._calls)
        left: list[str] = []

        async def look() -> None:
            left[:] = [info.schedule_id async for info in self._client.schedules()]

        await _surely(look)
        for name in left:
            await _surely(partial(calls.delete_schedule, name))

    async def no_live_job(self) -> bool:
        """Whether all jobs have ended, as far as it can be told now."""
        try:
            stats = await self._client.queue_stats(QUEUE)
        except NotFound:
            return True
        except PenstockError:
            return False
        if sum(stats.waiting.values()) or stats.running or stats.scheduled:
            return False
        # Nor one that stands nowhere now, since foreign hands took it, and is to be put back.
        return not await self._live()

    async def _live(self) -> int:
        """How many jobs have not ended or were given up, by the books of their slots."""
        live = 0
        names, code = NamespaceKeys("default"), ids.queue_code("default", QUEUE)
        for member in await self._redis("ZRANGE", names.active(), 0, -1):
            queue, _, partition = member.decode().partition(":")
            if queue == code:
                slot = Slot(names.code, queue, int(partition))
                counts = await self._redis("HMGET", slot.base, "submitted", "adrift", *_ENDS)
                submitted, adrift, *ended = (int(count or 0) for count in counts)
                live += submitted - sum(ended) + abs(adrift)
        return live

    def _probe(self) -> Submit:
        name = f"probe-{next(self._probes)}"
        options = {
            "queue": QUEUE,
            "max_attempts": 30,
            # Before all that may have piled up: whether it works is asked, not how fast.
            "priority": "high",
            # Workers may still be starting.
            "allow_unregistered": True,
        }
        return Submit(TYPES[0], {"work": name}, name, options)


async def _surely(call: Callable[[], Awaitable[None]]) -> None:
    """Calls until it is answered. Raises TimeoutError."""
    async with asyncio.timeout(_PATIENCE_S):
        while True:
            try:
                return await call()
            except PenstockError:
                await asyncio.sleep(_LOOK_S)
