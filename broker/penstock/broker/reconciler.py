"""Rebuilds streams and sets from records, should the server have lost part of them.

That happens after a failover to a replica that was behind, or by foreign hands (a stream deleted,
entries trimmed). A walk is bounded per step and repairs only what is out of place, so any process
may do it at any time. After an outage it goes on from where it was. A mark keeps a fleet from
walking together.

Who keeps house sees about once a second whether a job is missing in a slot (`lib/balance.lua`),
and asks for a walk then. What no count can show is left to walks at long intervals.
"""

from __future__ import annotations

import asyncio
import logging
import re
import time
from collections import defaultdict
from dataclasses import dataclass, field
from secrets import randbits, token_hex
from typing import TYPE_CHECKING, Final

from penstock.broker.engine import SCRIPT_BATCH, Engine
from penstock.broker.errors import NotFound, ReplyError, Unavailable
from penstock.broker.info import history_of, parse_info
from penstock.broker.retry import with_retry
from penstock.broker.schedule_ids import ALIVE, ScheduleIds, entry_of
from penstock.broker.script import load_script

if TYPE_CHECKING:
    from collections.abc import Callable

    from penstock.broker.activity import Activity
    from penstock.broker.keys import Slot
    from penstock.broker.pipeline import Arg, Reply
    from penstock.broker.script import Script

REPAIR = load_script("repair")
REPAIR_SCHEDULE = load_script("repair_schedule")
WALK = load_script("walk")
MARK_WALK = load_script("mark_walk")
WEIGH = load_script("weigh")

KEYS_PER_STEP: Final = 500
#: Between two steps of a walk (s), so that a walk takes a small share of the server.
STEP_PAUSE_S: Final = 0.01
#: For so long after a walk nobody begins another (s),
WALK_MARK_S: Final = 60.0
#: or where something is missing, for so long.
WANTED_AGAIN_S: Final = 5.0
#: In place of what was missing before a walk, where it shows nothing about what is missing now.
SINCE: Final = "since"
#: A walk that was interrupted is begun anew so long after its beginning (s).
COURSE_S: Final = 300.0
#: A walker that was not heard of for so long has vanished (s).
WALKING_MARK_S: Final = 15.0

#: The key of a job's or schedule's record: queue code, partition, kind and tail.
_RECORD: Final = re.compile(rb"ps\{[^:]*:([^:]*):([0-9]{1,4})\}:([jy]):([0-9a-z]{26})")

_log = logging.getLogger(__name__)


@dataclass
class _Course:
    """A walk, as far as it has come.

    Attributes:
        begun_s: when it was begun, by the monotonic clock.
        connects: of the link, by then: a reply that never came was lost with a connection.
        weighed: of slots where something was missing, what `weigh.lua` said before the walk.
        history: of the server that gave the cursor (see `history_of`).
        cursor: where SCAN goes on.
        is_over: every record was visited.
        was_interrupted: by an outage; what it has visited may have changed much since.
        met: ids of the schedules that were visited.
        repaired: how many jobs and schedules were put back.
        unreadable: records that were left alone, since foreign keys stand in the way.
    """

    begun_s: float
    connects: int
    weighed: dict[Slot, list[int | bytes]] = field(default_factory=dict)
    history: str = ""
    cursor: bytes = b"0"
    is_over: bool = False
    was_interrupted: bool = False
    met: set[bytes] = field(default_factory=set)
    repaired: int = 0
    unreadable: int = 0

    def start_on(self, history: str) -> None:
        """Goes to the beginning: to another server the cursor means nothing."""
        self.was_interrupted |= bool(self.history)
        self.history, self.cursor, self.is_over = history, b"0", False
        self.met.clear()
        self.unreadable = 0


class Reconciler:
    """Walks over all records of a namespace, those of jobs and those of schedules.

    Attributes:
        wake: called when a walk is wanted; None while nobody would make one.
        unreadable: how many records the last walk left alone, since foreign keys stand in the way.
    """

    def __init__(self, engine: Engine, activity: Activity) -> None:
        self.wake: Callable[[], None] | None = None
        self.unreadable = 0
        self._engine = engine
        self._activity = activity
        self._ids = ScheduleIds(engine)
        self._name = token_hex(8)
        self._wanted: set[Slot] = set()
        self._interrupted: _Course | None = None

    @property
    def wanted(self) -> bool:
        """Whether something was seen to be missing, or a walk begun, and none has ended since."""
        return bool(self._wanted) or self._interrupted is not None

    def want(self, slot: Slot) -> None:
        """Asks for a walk: something is missing in that slot."""
        self._wanted.add(slot)
        if self.wake is not None:
            self.wake()

    async def walk(self) -> int:
        """Visits every record once. Returns how many jobs and schedules were put back in place.

        Does nothing if another process is walking; or has done so within the last minute, unless
        something is known to be missing.

        Raises:
            Unavailable: the server is. The next call goes on from here, for some minutes.
        """
        verdict = await self._ask_leave()
        if verdict == b"walking":
            return 0
        begun, self._interrupted = self._interrupted, None
        if verdict == b"walked":
            self._wanted.clear()  # They are wanted again, if that walk does not find it.
            if begun is not None and begun.is_over:  # It may be that very walk.
                self._tell(begun)
            return 0
        course = begun or self._new_course()
        if time.monotonic() - course.begun_s > COURSE_S:
            course = self._new_course()
        try:
            await self._make(course)
        except BaseException as error:
            if isinstance(error, Unavailable):
                course.was_interrupted = True
                self._interrupted = course
            else:
                self._wanted |= course.weighed.keys()
            # Not done: whoever tries next must not be held off.
            mark = self._engine.names.walk()
            self._engine.link.send("EVAL", MARK_WALK.source, 1, mark, self._name, "", 0)
            raise
        self._tell(course)
        return course.repaired

    async def _ask_leave(self) -> bytes:
        """What `walk.lua` says."""
        hold_off_s = WANTED_AGAIN_S if self.wanted else WALK_MARK_S
        marks_s = (WALKING_MARK_S, WALK_MARK_S, hold_off_s)
        marks_ms = [int(each * 1000) for each in marks_s]
        verdict: bytes = await self._engine.run(
            WALK, [self._engine.names.walk()], *marks_ms, self._name
        )
        return verdict

    async def _mark(self, state: str, life_s: float) -> None:
        """Says how far the walk is; see `mark_walk.lua`."""
        mark = self._engine.names.walk()
        await self._engine.run(MARK_WALK, [mark], self._name, state, int(life_s * 1000))

    def _new_course(self) -> _Course:
        return _Course(time.monotonic(), self._engine.link.stats.connects)

    async def _make(self, course: _Course) -> None:
        """A whole walk, or the rest of one."""
        await self._set_out(course)
        await self._walk(course)
        await self._weigh(course)
        await self._strike_dead(course)
        # What an outage cut in two shows less than a walk: another may be wanted at once.
        await self._mark("" if course.was_interrupted else "walked", WALK_MARK_S)

    async def _set_out(self, course: _Course) -> None:
        """Weighs the slots where something is missing, before any record of them is visited."""
        while self._wanted and not course.history:
            slot = next(iter(self._wanted))
            course.weighed[slot] = await self._engine.run(WEIGH, [slot.base], "")
            self._wanted.discard(slot)

    async def _walk(self, course: _Course) -> None:
        """Follows a course to its end, on one and the same server."""
        while True:
            history = await self._history()
            if history != course.history:
                course.start_on(history)
            elif course.is_over:
                return
            await self._follow(course)

    async def _follow(self, course: _Course) -> None:
        pattern = f"ps{{{self._engine.names.code}:*}}:[jy]:*"
        while not course.is_over:
            await self._mark("walking", WALKING_MARK_S)
            cursor, found = await self._call(
                "SCAN", course.cursor, "MATCH", pattern, "COUNT", KEYS_PER_STEP
            )
            await self._repair(course, found)
            course.cursor, course.is_over = cursor, cursor == b"0"
            if not course.is_over:
                await asyncio.sleep(STEP_PAUSE_S)

    async def _weigh(self, course: _Course) -> None:
        """Says where something was missing that the walk is over."""
        name = randbits(48)
        # Where something was put back, what is missing now may have gone behind the walk. So it may
        # behind one that stood still, or that put something back and never heard of it.
        has_gap = course.was_interrupted or course.connects != self._engine.link.stats.connects
        for slot, (missing, doubt) in course.weighed.items():
            before = SINCE if course.repaired or has_gap else missing
            await self._engine.run(WEIGH, [slot.base], before, doubt, name)

    def _tell(self, course: _Course) -> None:
        self.unreadable = course.unreadable
        if course.repaired:
            _log.warning("put back where their records say: %d", course.repaired)
        if course.unreadable:
            _log.warning("records that cannot be read, and stay as they are: %d", course.unreadable)

    async def _repair(self, course: _Course, record_keys: list[bytes]) -> None:
        found: defaultdict[tuple[Slot, Script], list[str]] = defaultdict(list)
        for key in record_keys:
            if name := _RECORD.fullmatch(key):
                code, partition, kind, tail = (part.decode() for part in name.groups())
                script = REPAIR if kind == "j" else REPAIR_SCHEDULE
                found[self._engine.slot(code, int(partition)), script].append(tail)
        batches = [
            (slot, script, tails[start : start + SCRIPT_BATCH])
            for (slot, script), tails in found.items()
            for start in range(0, len(tails), SCRIPT_BATCH)
        ]
        # Together, since it is the round trips that make a walk long, and some outages end one.
        answers = await asyncio.gather(*(self._repair_batch(*batch) for batch in batches))
        for (slot, *_), (count, failed, *entries) in zip(batches, answers, strict=True):
            course.repaired += int(count)
            if failed and not course.unreadable:
                tail, error = (part.decode(errors="replace") for part in failed[:2])
                base = slot.base.decode()
                _log.warning("a record of %s cannot be read: %s (%s)", base, tail, error)
            course.unreadable += len(failed) // 2
            if entries:
                await self._enlist(course, *entries)

    async def _repair_batch(self, slot: Slot, script: Script, tails: list[str]) -> Reply:
        await self._activity.mark(slot)
        return await self._engine.run(script, [slot.base], *tails)

    async def _enlist(self, course: _Course, *entries: bytes) -> None:
        """Puts schedules back that the list of ids, in another slot, has lost.

        Args:
            course: of the walk.
            entries: id, claim and queue of each schedule that was met.
        """
        course.met.update(entries[::3])
        enlisted, doubles = await self._ids.enlist(*entries)
        course.repaired += enlisted
        for start in range(0, len(doubles), 4):
            course.repaired += await self._settle(*doubles[start : start + 4])

    async def _settle(self, name: bytes, claim: bytes, queue: bytes, listed: bytes) -> int:
        """Buries the older one, where the list has the id of a schedule in another queue.

        So it is if an id was created anew after the list had been lost. Both would fire, and nobody
        could see the one that is not listed, or end it.
        """
        schedule_id, entry = name.decode(), entry_of(listed)
        met = entry_of(claim + b" " + queue)
        try:
            if int(claim) > int(entry.claim):
                await self._ids.bury(schedule_id, entry)
                _log.warning("schedule %r is in two queues: %r stays", schedule_id, met.queue)
            elif await self._ids.bury(schedule_id, entry, if_empty=True) == ALIVE:
                await self._ids.bury(schedule_id, met)
                _log.warning("schedule %r is in two queues: %r stays", schedule_id, entry.queue)
                return 0
        except NotFound:
            return 0  # A queue was lost, and is there again once somebody uses it.
        except ReplyError as error:
            if error.code != "WRONGTYPE":
                raise
            return 0  # The walk counts it, and a later one finds whether the way is free.
        await self._ids.strike(schedule_id, entry)
        enlisted, _ = await self._ids.enlist(name, claim, queue)
        return enlisted

    async def _strike_dead(self, course: _Course) -> None:
        """Takes entries off the list of ids that calls left which were cut between two writes."""
        for schedule_id, entry in (await self._ids.all()).items():
            if schedule_id.encode() in course.met:
                continue
            try:
                # Nothing can be stored under the claim any more, if nothing is there yet.
                buried = await self._ids.bury(schedule_id, entry, if_empty=True)
            except NotFound:
                continue  # Its queue was lost, and is there again once somebody uses it.
            except ReplyError as error:
                if error.code != "WRONGTYPE":
                    raise
                continue  # It was counted where the walk met it.
            if buried != ALIVE:
                await self._ids.strike(schedule_id, entry)

    async def _history(self) -> str:
        return history_of(parse_info(await self._call("INFO", "server", "replication")))

    async def _call(self, command: str, *args: Arg) -> Reply:
        link = self._engine.link
        return await with_retry(lambda: link.call(command, *args), link=link, budget_s=5.0)
