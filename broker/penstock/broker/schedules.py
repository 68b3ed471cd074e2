"""The callers' side of schedules: create, read, list, change, delete, and run by hand."""

from __future__ import annotations

import asyncio
import bisect
import logging
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, Literal

from penstock.broker.engine import DEFAULT_BUDGET_S, Engine
from penstock.broker.errors import (
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    QueueFull,
    ReplyError,
    ScheduleExists,
)
from penstock.broker.job import JobState
from penstock.broker.new_job import SubmitOutcome, Submitted
from penstock.broker.record import fields_of
from penstock.broker.schedule_ids import TRIES, ScheduleIds, contended, countdown
from penstock.broker.schedule_record import (
    decode_schedule,
    definition_digest,
    encode_defaults,
    encode_definition,
)
from penstock.broker.scheduler import job_tail
from penstock.broker.script import load_script

if TYPE_CHECKING:
    from penstock.broker.activity import Activity
    from penstock.broker.depths import Depths
    from penstock.broker.doorbell import Doorbell
    from penstock.broker.keys import Slot
    from penstock.broker.pipeline import Arg
    from penstock.broker.policies import Policies
    from penstock.broker.record import Fields
    from penstock.broker.schedule import NewSchedule, Schedule
    from penstock.broker.timing import Timing

CREATE = load_script("create_schedule")
CHANGE = load_script("change_schedule")
READ = load_script("read_schedule")
TRIGGER = load_script("trigger")

#: What a schedule waits for, where it stays as it is.
AS_BEFORE: Final = (b"-", b"")

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Found:
    """A schedule where it is stored."""

    slot: Slot
    tail: str
    fields: Fields
    schedule: Schedule


class Schedules:
    """What may be asked of schedules.

    A schedule lives in a slot of its queue, with its jobs; `ScheduleIds` says in which queue it is.

    Every method raises Unavailable, Overloaded or StorageFull when Redis cannot serve.
    """

    def __init__(
        self,
        engine: Engine,
        doorbell: Doorbell,
        activity: Activity,
        policies: Policies,
        depths: Depths,
    ) -> None:
        self._engine = engine
        self._policies = policies
        self._doorbell = doorbell
        self._activity = activity
        self._depths = depths
        self._ids = ScheduleIds(engine)

    async def create(
        self, schedule: NewSchedule, *, paused: bool = False, budget_s: float = DEFAULT_BUDGET_S
    ) -> tuple[Schedule, bool]:
        """Stores a schedule, and tells whether it did: one that is defined alike is left as it is.

        Raises:
            ScheduleExists: there is one of this id with another definition.
            InvalidArgument: it would never fire.
            LimitExceeded: there are too many schedules, or queues.
        """
        queue, schedule_id = schedule.job.queue, schedule.schedule_id
        digest = definition_digest(schedule)
        left_s = countdown(budget_s)
        if self._engine.known_queue(queue) is None:
            await self._refuse_early(schedule, left_s())
        await self._engine.ensure_queue(queue, left_s())
        slot, tail = await self._ids.place(schedule_id, queue, left_s())
        await self._activity.mark(slot, left_s())
        for _ in range(TRIES):
            # Before the claim, which stays on the list of ids whatever becomes of the rest.
            now_ms, stored = await self._glimpse(slot, tail, left_s())
            timing = anchored(schedule.timing, now_ms)
            first_ms = _first(timing, now_ms)
            if stored not in {None, digest}:
                raise ScheduleExists(schedule_id)
            claim = await self._ids.claim(schedule_id, queue, left_s())
            outcome = await self._engine.write(
                CREATE,
                [slot.base],
                tail,
                claim,
                digest,
                *_awaited(schedule_id, timing, None if paused else first_ms),
                *encode_definition(schedule, timing),
                *(("ps", 1) if paused else ()),
                budget_s=left_s(),
            )
            if outcome == b"other":
                raise ScheduleExists(schedule_id)
            if outcome != b"void":
                return await self.get(schedule_id, left_s()), outcome == b"created"
        raise contended()

    async def get(self, schedule_id: str, budget_s: float = DEFAULT_BUDGET_S) -> Schedule:
        """The schedule as it stands. Raises NotFound."""
        found = await self._find(schedule_id, budget_s)
        return found.schedule

    async def list(
        self,
        queue: str = "",
        *,
        after: str = "",
        limit: int = 100,
        budget_s: float = DEFAULT_BUDGET_S,
    ) -> tuple[list[Schedule], str]:
        """The schedules after an id, in the order of ids, and the id to go on after ('': the end).

        Payloads that are not short are left out: a page may be of a thousand.

        Args:
            queue: of their jobs; '' is all.
            after: where the page before ended.
            limit: of the ids looked at; fewer schedules may be found.
            budget_s: for all of it.
        """
        entries = await self._ids.all(budget_s)
        wanted = sorted(name for name, entry in entries.items() if queue in {"", entry.queue})
        start = bisect.bisect_right(wanted, after)
        page = wanted[start : start + limit]
        found = await asyncio.gather(
            *(self._glance(name, entries[name].queue, budget_s) for name in page)
        )
        more = page[-1] if start + limit < len(wanted) else ""
        return [each for each in found if each is not None], more

    async def update(
        self, schedule: NewSchedule, *, version: int = 0, budget_s: float = DEFAULT_BUDGET_S
    ) -> Schedule:
        """Replaces the definition; one that is equal is left as it is.

        Raises:
            NotFound: no such schedule.
            FailedPrecondition: it is in another queue, or the version is given and is another.
            InvalidArgument: it would never fire.
        """
        for _ in range(TRIES):
            found = await self._find(schedule.schedule_id, budget_s)
            old, digest = found.schedule, definition_digest(schedule)
            if old.queue != schedule.job.queue:
                text = f"its jobs are in the queue {old.queue}: delete it, and create it anew"
                raise FailedPrecondition("QUEUE_FIXED", text, {"queue": old.queue})
            if found.fields[b"h"] == digest:
                if await self._is_still(found, budget_s):
                    return old
                continue
            if version not in {0, old.version}:
                text = f"the version is {old.version} by now, not {version}"
                raise FailedPrecondition("VERSION_CHANGED", text, {"version": str(old.version)})
            timing = anchored(schedule.timing, old.now_ms)
            waits_for: tuple[Arg, Arg] = AS_BEFORE
            if _is_same(schedule.timing, old.timing):
                timing = old.timing
            elif not old.paused:
                waits_for = _awaited(schedule.schedule_id, timing, _first(timing, old.now_ms))
            fields = ["h", digest, *encode_definition(schedule, timing)]
            if await self._change(found, waits_for, *fields, what="spec", budget_s=budget_s):
                return await self.get(schedule.schedule_id, budget_s)
        raise contended()

    async def pause(self, schedule_id: str, budget_s: float = DEFAULT_BUDGET_S) -> Schedule:
        """Stops firing. Raises NotFound."""
        return await self._set_paused(schedule_id, paused=True, budget_s=budget_s)

    async def resume(self, schedule_id: str, budget_s: float = DEFAULT_BUDGET_S) -> Schedule:
        """Goes on with the next occurrence from now.

        Raises:
            NotFound: no such schedule.
            FailedPrecondition: its timing cannot be read here.
        """
        return await self._set_paused(schedule_id, paused=False, budget_s=budget_s)

    async def delete(self, schedule_id: str, budget_s: float = DEFAULT_BUDGET_S) -> bool:
        """Forgets a schedule; its jobs stay. Tells whether there was one."""
        entry = await self._ids.find(schedule_id, budget_s)
        if entry is None:
            return False
        buried = await self._ids.bury(schedule_id, entry, budget_s)
        await self._ids.strike(schedule_id, entry, budget_s)
        return buried == 1

    async def trigger(
        self, schedule_id: str, request_id: str, budget_s: float = DEFAULT_BUDGET_S
    ) -> Submitted:
        """Makes a job now; repeated under the same request id, it is the same.

        Raises:
            NotFound: no such schedule.
            QueueFull: as many jobs wait in its queue as may.
        """
        found = await self._find(schedule_id, budget_s)
        slot, claim = found.slot, found.fields[b"cl"]
        tail = job_tail(self._engine, slot, schedule_id, claim, f"by hand {request_id}")
        await self._activity.mark(slot, budget_s)
        job_type = found.fields[b"j.t"].decode()
        queue = await self._engine.queue(found.schedule.queue, budget_s)
        ceiling = self._depths.ceiling(queue, slot)
        defaults = encode_defaults(self._policies, queue.name, job_type)
        outcome, *told = await self._engine.write(
            TRIGGER, [slot.base], found.tail, claim, tail, ceiling, *defaults, budget_s=budget_s
        )
        if outcome == b"gone":
            raise NotFound("schedule", schedule_id)
        if outcome == b"full":
            raise QueueFull(queue.name, *map(int, told))
        self._doorbell.ring_soon(slot)
        return Submitted(
            slot.job_id(tail), JobState(told[0].decode()), SubmitOutcome(outcome.decode())
        )

    async def _refuse_early(self, schedule: NewSchedule, budget_s: float) -> None:
        """Before a queue is made for a schedule that would be refused."""
        left_s = countdown(budget_s)
        await self._ids.refuse(schedule.schedule_id, schedule.job.queue, left_s())
        now_ms = await self._engine.now_ms(left_s())
        _first(anchored(schedule.timing, now_ms), now_ms)

    async def _glimpse(self, slot: Slot, tail: str, budget_s: float) -> tuple[int, bytes | None]:
        """The server's time (ms), and the digest of the schedule that is there, if one is."""
        now_ms, flat = await self._engine.run(READ, [slot.base], tail, "brief", budget_s=budget_s)
        return now_ms, fields_of(flat).get(b"h")

    async def _set_paused(self, schedule_id: str, *, paused: bool, budget_s: float) -> Schedule:
        for _ in range(TRIES):
            found = await self._find(schedule_id, budget_s)
            old = found.schedule
            if not (paused or old.readable):
                text = "its timing cannot be read here: a newer version stored it, or newer data"
                raise FailedPrecondition("SCHEDULE_UNREADABLE", text, {})
            if old.paused is paused:
                if await self._is_still(found, budget_s):
                    return old
                continue
            next_ms = None if paused else old.timing.after(old.now_ms)
            waits_for = _awaited(schedule_id, old.timing, next_ms)
            fields = ("ps", 1 if paused else b"")
            if await self._change(found, waits_for, *fields, budget_s=budget_s):
                return await self.get(schedule_id, budget_s)
        raise contended()

    async def _change(
        self,
        found: _Found,
        waits_for: tuple[Arg, Arg],
        *fields: Arg,
        what: Literal["spec", "same", ""] = "",
        budget_s: float,
    ) -> bool:
        """Changes the version that was found; False if there is another by now."""
        await self._activity.mark(found.slot, budget_s)
        changed = await self._engine.write(
            CHANGE,
            [found.slot.base],
            found.tail,
            found.schedule.version,
            *waits_for,
            what,
            *fields,
            budget_s=budget_s,
        )
        return bool(changed)

    async def _is_still(self, found: _Found, budget_s: float) -> bool:
        """Whether the version that was found still stands; where they are asked, on replicas, too.

        What made it so may be a call that they have not confirmed, and that is repeated.
        """
        return await self._change(found, AS_BEFORE, what="same", budget_s=budget_s)

    async def _find(self, schedule_id: str, budget_s: float) -> _Found:
        entry = await self._ids.find(schedule_id, budget_s)
        found = None
        if entry is not None:
            found = await self._read(schedule_id, entry.queue, budget_s)
        if found is None:
            raise NotFound("schedule", schedule_id)
        return found

    async def _glance(self, schedule_id: str, queue: str, budget_s: float) -> Schedule | None:
        """One of a list, which does not fail for it: what is damaged is logged, and left out."""
        try:
            found = await self._read(schedule_id, queue, budget_s, brief=True)
        except (KeyError, ValueError) as error:
            _log.warning("schedule %r is damaged: %r", schedule_id, error)
            return None
        except ReplyError as error:
            if error.code != "WRONGTYPE":
                raise
            _log.warning("schedule %r is damaged: %s", schedule_id, error)
            return None
        return None if found is None else found.schedule

    async def _read(
        self, schedule_id: str, queue: str, budget_s: float, *, brief: bool = False
    ) -> _Found | None:
        try:
            slot, tail = await self._ids.place(schedule_id, queue, budget_s)
        except NotFound:
            return None
        now_ms, flat = await self._engine.run(
            READ, [slot.base], tail, "brief" if brief else b"", budget_s=budget_s
        )
        fields = fields_of(flat)
        if not fields:
            return None
        return _Found(slot, tail, fields, decode_schedule(slot, queue, now_ms, fields))


def anchored(timing: Timing, now_ms: int) -> Timing:
    """A timing whose interval begins: at its start, else one interval from now."""
    if timing.cron:
        return timing
    start_ms = timing.start_ms
    return replace(timing, anchor_ms=now_ms + timing.interval_ms if start_ms is None else start_ms)


def _is_same(new: Timing, old: Timing) -> bool:
    return replace(new, anchor_ms=old.anchor_ms) == old


def _first(timing: Timing, now_ms: int) -> int:
    first_ms = timing.after(now_ms)
    if first_ms is None:
        raise InvalidArgument([("spec.timing", "it never fires")])
    return first_ms


def _awaited(schedule_id: str, timing: Timing, next_ms: int | None) -> tuple[Arg, Arg]:
    """An occurrence to wait for, or none, and when to look at it."""
    if next_ms is None:
        return b"", b""
    return next_ms, next_ms + timing.delay_ms(schedule_id, next_ms)
