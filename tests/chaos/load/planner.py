"""Who makes schedules, changes them while they fire, and ends them."""

from __future__ import annotations

import asyncio
import re
import time
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Final

from penstock.client import PenstockError
from tests.chaos.load.drawing import draw_plan
from tests.chaos.load.plan import TYPES
from tests.chaos.load.schedule_calls import Recurrence

if TYPE_CHECKING:
    import random
    from collections.abc import Awaitable, Callable

    from tests.chaos.load.plan import Plan
    from tests.chaos.load.schedule_calls import ScheduleCalls

__all__ = ["Planner"]

#: How long what has to be done is tried (s).
_PATIENCE_S: Final = 45.0
_PAUSE_S: Final = 0.5
#: Times are of the server's date, which may be turned by much (ms).
_HOUR_MS: Final = 3_600_000
_FOLLOW_S: Final = 15.0


class Planner:
    """Makes one schedule after the other, each of a name of its own.

    Args:
        calls: its calls.
        stopping: set once nothing new is to be begun.
        name: unique in the run.
        chance: decides.
    """

    def __init__(
        self, calls: ScheduleCalls, stopping: asyncio.Event, name: str, chance: random.Random
    ) -> None:
        self._calls = calls
        self._stopping = stopping
        self._name = name.replace(":", ".")
        self._chance = chance
        self._lives = 0
        self._versions = 0

    async def run(self) -> None:
        """Goes on until it is told to stop."""
        await self._surely(self._tidy)
        while not self._stopping.is_set():
            self._lives += 1
            await self._live(f"{self._name}.{self._lives}")

    async def _tidy(self) -> None:
        """Ends what those left behind who had its place, and were killed."""
        client, _, place = self._name.partition(".planner-")
        first = client.partition(".")[0]
        before = re.compile(rf"{re.escape(first)}(\.\d+)?\.planner-{place}\.\d+")
        for schedule in await self._calls.schedule_ids():
            if before.fullmatch(schedule):
                await self._calls.delete_schedule(schedule)

    async def _live(self, schedule: str) -> None:
        """One schedule from its beginning to its end."""
        calls, chance = self._calls, self._chance
        what, paused = self._draw(schedule), chance.random() < 0.1
        made = await self._surely(partial(calls.create_schedule, schedule, what, paused=paused))
        if made:
            # Some are left in peace, so that all that they count is known.
            calm = not paused and chance.random() < 0.4
            ends_at = time.monotonic() + chance.uniform(6, 20)
            while time.monotonic() < ends_at and not self._stopping.is_set():
                await asyncio.sleep(chance.uniform(0.5, 3))
                with suppress(PenstockError):  # It is in the journal; the next act is another.
                    what = await self._act(schedule, what, calm=calm)
            await self._surely(partial(calls.get_schedule, schedule))
        await self._surely(partial(calls.delete_schedule, schedule))
        with suppress(PenstockError):  # As it should be.
            await calls.get_schedule(schedule)

    async def _act(self, schedule: str, what: Recurrence, *, calm: bool) -> Recurrence:
        """Looks at a schedule, runs it by hand, or changes it. Returns what it is then."""
        calls, chance = self._calls, self._chance
        weights = (4, 1, 0, 0, 0) if calm else (2, 1, 2, 3, 2)
        (act,) = chance.choices(("get", "trigger", "pause", "resume", "update"), weights)
        match act:
            case "get":
                await calls.get_schedule(schedule)
            case "trigger":
                self._versions += 1
                request = f"{self._name}.{self._versions}"
                job = await calls.trigger_schedule(schedule, request)
                if chance.random() < 0.5:
                    await calls.trigger_schedule(schedule, request)
                await calls.wait(job, _FOLLOW_S)
            case "pause":
                await calls.pause_schedule(schedule)
            case "resume":
                await calls.resume_schedule(schedule)
            case _:
                new = replace(what, payload=self._plan(schedule))
                if chance.random() < 0.5:
                    new = replace(self._draw(schedule), overlap=what.overlap)
                await calls.update_schedule(schedule, new)
                return new
        return what

    async def _surely(self, call: Callable[[], Awaitable[None]]) -> bool:
        """Calls until it is answered. Returns whether it was."""
        give_up = time.monotonic() + _PATIENCE_S
        while time.monotonic() < give_up:
            try:
                await call()
            except PenstockError:
                await asyncio.sleep(_PAUSE_S)
            else:
                return True
        return False

    def _draw(self, schedule: str) -> Recurrence:
        chance = self._chance
        now_ms = time.time_ns() // 1_000_000
        step_ms = 1000 * chance.randint(1, 3)
        cron = chance.random() < 0.3
        start_ms = now_ms - chance.randint(_HOUR_MS, 2 * _HOUR_MS)
        return Recurrence(
            TYPES[0],
            self._plan(schedule),
            step_ms,
            None if cron else start_ms,
            start_ms,
            now_ms + 24 * _HOUR_MS,
            chance.choice(["SKIP", "QUEUE", "CANCEL_RUNNING", "ALLOW"]),
            chance.choice(["NONE", "LAST", "ALL"]),
            chance.choice([2, 1000]),
            chance.choice([1, 3, 60]),
        )

    def _plan(self, schedule: str) -> Plan:
        self._versions += 1
        plan = draw_plan(self._chance, f"{schedule}:{self._versions}")
        if self._chance.random() < 0.3:
            plan |= {"step_ms": self._chance.uniform(200, 2500)}
        if self._chance.random() < 0.1:
            plan |= {"fail": 1}
        return plan
