"""Fires the occurrences of schedules that have come due.

Any number of processes do this at once: what is to be done is worked out here, from the definition
alone, and done by a script that takes each step once, from the occurrence that the schedule waits
for to the next.
"""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from penstock.broker import ids
from penstock.broker.engine import SCRIPT_BATCH, Engine
from penstock.broker.errors import PenstockError, StorageFull
from penstock.broker.schedule_record import encode_defaults, read_policy
from penstock.broker.script import load_script
from penstock.broker.steps import Step, Waiting, look_again_ms, next_step
from penstock.broker.timing import read_timing

if TYPE_CHECKING:
    from penstock.broker.doorbell import Doorbell
    from penstock.broker.keys import Slot
    from penstock.broker.memory import Memory
    from penstock.broker.pipeline import Arg
    from penstock.broker.policies import Policies

DUE_SCHEDULES = load_script("due_schedules")
FIRE = load_script("fire")

#: Steps of one schedule before the others of its slot have their turn again.
STEPS_AT_ONCE: Final = 10
#: Pause while the server takes no more jobs (s).
FULL_PAUSE_S: Final = 1.0
#: Schedules that were complained of once.
MOST_UNREADABLE: Final = 1_000
OVERLAP_REASON: Final = "the next occurrence of its schedule is due"

_log = logging.getLogger(__name__)


class Scheduler:
    """Takes the steps of all schedules of a slot that are due."""

    def __init__(
        self, engine: Engine, doorbell: Doorbell, policies: Policies, memory: Memory
    ) -> None:
        self._engine = engine
        self._memory = memory
        self._policies = policies
        self._doorbell = doorbell
        self._unreadable: set[tuple[bytes, bytes]] = set()

    async def do(self, slot: Slot) -> float | None:
        """Fires what is due, and not for long.

        Returns:
            How long until there is more to do (s), 0 if there is now; None if nothing waits.

        Raises:
            Unavailable: the server cannot be reached.
            ReplyError: somebody broke the slot.
        """
        now_ms, later_ms, *rows = await self._engine.run(DUE_SCHEDULES, [slot.base], SCRIPT_BATCH)
        if rows and await self._memory.is_high():
            _log.warning("schedules wait: the server's memory is nearly full")
            return FULL_PAUSE_S
        attempts = [self._try_to_attend(slot, row, _Clock(now_ms)) for row in rows]
        try:
            waits_s = await asyncio.gather(*attempts)
        except StorageFull as error:
            _log.warning("schedules wait: the server takes no jobs (%s)", error)
            return FULL_PAUSE_S
        if later_ms >= 0:
            waits_s.append(later_ms / 1000)
        return min((wait_s for wait_s in waits_s if wait_s is not None), default=None)

    async def _try_to_attend(self, slot: Slot, row: list[Any], clock: _Clock) -> float | None:
        """Leaves a schedule that this process cannot read to others: one may know its time zone."""
        try:
            return await self._attend(slot, row, clock)
        except PenstockError:
            raise
        except Exception:  # noqa: BLE001 - whatever kept it from being read.
            tail, schedule_id, _, version, *_ = row
            if (tail, version) not in self._unreadable:
                if len(self._unreadable) >= MOST_UNREADABLE:
                    self._unreadable.clear()
                self._unreadable.add((tail, version))
                _log.exception("schedule %r cannot be read here", schedule_id)
            return None

    async def _attend(self, slot: Slot, row: list[Any], clock: _Clock) -> float | None:
        """Takes the next steps of one schedule; returns when it is to be looked at again (s)."""
        tail, schedule_id, claim, version, next_ms, attended_ms, timing, policy, queue, job_type = (
            row
        )
        if None in {schedule_id, claim, version, next_ms, timing, policy, queue, job_type}:
            # It waits for nothing, or is gone: the script takes it out of the set.
            await self._engine.run(FIRE, [slot.base], tail, *[b""] * 11)
            return None
        waiting = Waiting(
            schedule_id.decode(),
            read_timing(timing.decode()),
            read_policy(policy.decode()),
            int(next_ms),
            int(attended_ms or 0),
        )
        for _ in range(STEPS_AT_ONCE):
            now_ms = clock.now_ms()
            step = next_step(waiting, now_ms)
            due_ms = 0 if step.next_ms is None else waiting.due_ms(step.next_ms)
            # Whoever has a backlog stands in line anew, behind those that came due meanwhile.
            due_ms = max(due_ms, now_ms)
            look_ms = look_again_ms(waiting, now_ms)
            outcome = await self._take(slot, row, waiting, step, due_ms, look_ms)
            if outcome == b"held":
                return (look_ms - now_ms) / 1000
            if outcome == b"passed":
                return 0.0  # Another process is at it; the next look tells how far it is.
            if step.next_ms is None:
                return None
            waiting = replace(waiting, next_ms=step.next_ms, attended_ms=now_ms)
            if due_ms > now_ms:
                return (due_ms - now_ms) / 1000
        return 0.0

    async def _take(  # noqa: PLR0917 - of one caller.
        self, slot: Slot, row: list[Any], waiting: Waiting, step: Step, due_ms: int, look_ms: int
    ) -> bytes:
        """Takes one step, if nobody has; returns what came of it."""
        tail, _, claim, version, *_, queue, job_type = row
        job = ""
        defaults: list[Arg] = []
        if step.fire_ms is not None:
            job = job_tail(self._engine, slot, waiting.schedule_id, claim, str(step.fire_ms))
            defaults = encode_defaults(self._policies, queue.decode(), job_type.decode())
        outcome, *cancelled = await self._engine.run(
            FIRE,
            [slot.base],
            tail,
            version,
            waiting.next_ms,
            b"" if step.fire_ms is None else step.fire_ms,
            job,
            b"" if step.next_ms is None else step.next_ms,
            due_ms,
            step.missed,
            step.skipped,
            waiting.policy.overlap.value,
            look_ms,
            OVERLAP_REASON,
            *defaults,
        )
        if outcome == b"fired":
            self._doorbell.ring_soon(slot)
            for ended, worker in zip(cancelled[::2], cancelled[1::2], strict=True):
                if worker:
                    self._doorbell.tell_cancel(worker.decode(), slot.job_id(ended.decode()))
        if step.missed:
            _log.warning("schedule %s: %d missed", waiting.schedule_id, step.missed)
        result: bytes = outcome
        return result


class _Clock:
    """The server's clock, from what it said when this was made."""

    def __init__(self, now_ms: int) -> None:
        self._offset_ms = now_ms - time.monotonic() * 1000

    def now_ms(self) -> int:
        """The time (ms)."""
        return int(time.monotonic() * 1000 + self._offset_ms)


def job_tail(engine: Engine, slot: Slot, schedule_id: str, claim: bytes, run: str) -> str:
    """The tail of the job of one run of a schedule.

    Args:
        engine: knows the namespace.
        slot: of the schedule.
        schedule_id: of the schedule.
        claim: that the schedule was stored under, so that one of the same id that is created anew
            does not meet the jobs of its forerunner.
        run: the occurrence, or what names a run by hand.
    """
    # Of a space of its own, which no caller's request id reaches.
    request_id = f"\0schedule {schedule_id} {claim.decode()} {run}"
    return ids.job_tail(engine.namespace, slot.queue_code, request_id)
