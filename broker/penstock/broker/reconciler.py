"""Rebuilds streams and sets from records, should the server have lost part of them.

That happens after a failover to a replica that was behind, or by foreign hands (a stream deleted,
entries trimmed). A walk is bounded per step and repairs only what is out of place, so any process
may do it at any time; after an outage of some seconds it begins anew. A mark keeps a fleet from
walking together.

Who keeps house sees about once a second whether a job is missing in a slot (`lib/balance.lua`),
and asks for a walk then. What no count can show is left to walks at long intervals.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections import defaultdict
from secrets import randbits
from typing import TYPE_CHECKING, Final

from penstock.broker.engine import SCRIPT_BATCH, Engine
from penstock.broker.errors import NotFound, ReplyError
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
#: A walker that was not heard of for so long has vanished (s).
WALKING_MARK_S: Final = 15.0

#: The key of a job's or schedule's record: queue code, partition, kind and tail.
_RECORD: Final = re.compile(rb"ps\{[^:]*:([^:]*):([0-9]{1,4})\}:([jy]):([0-9a-z]{26})")

_log = logging.getLogger(__name__)


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
        self._enlisted: set[bytes] = set()  # Ids of schedules that this walk has met.
        self._wanted: set[Slot] = set()

    @property
    def wanted(self) -> bool:
        """Whether something was seen to be missing, and nobody has walked here since."""
        return bool(self._wanted)

    def want(self, slot: Slot) -> None:
        """Asks for a walk: something is missing in that slot."""
        self._wanted.add(slot)
        if self.wake is not None:
            self.wake()

    async def walk(self) -> int:
        """Visits every record once. Returns how many jobs and schedules were put back in place.

        Does nothing if another process is walking; or has done so within the last minute, unless
        something is known to be missing.
        """
        wanted, self._wanted = self._wanted, set()
        hold_off_s = WANTED_AGAIN_S if wanted else WALK_MARK_S
        marks_s = (WALKING_MARK_S, WALK_MARK_S, hold_off_s)
        mark = self._engine.names.walk()
        if not await self._engine.run(WALK, [mark], *(int(each * 1000) for each in marks_s)):
            return 0
        try:
            weighed = {slot: await self._engine.run(WEIGH, [slot.base], "") for slot in wanted}
            repaired = await self._walk()
            name = randbits(48)
            for slot, (missing, doubt) in weighed.items():
                # Where something was put back, what is missing now may have gone behind the walk.
                before = SINCE if repaired else missing
                await self._engine.run(WEIGH, [slot.base], before, doubt, name)
        except BaseException:
            # Not done: whoever tries next must not be held off.
            self._engine.link.send("DEL", mark)
            raise
        self._engine.link.send("SET", mark, "walked", "PX", int(WALK_MARK_S * 1000))
        if repaired:
            _log.warning("put back where their records say: %d", repaired)
        if self.unreadable:
            _log.warning("records that cannot be read, and stay as they are: %d", self.unreadable)
        return repaired

    async def _walk(self) -> int:
        pattern = f"ps{{{self._engine.names.code}:*}}:[jy]:*"
        repaired, cursor = 0, b"0"
        mark, mark_ms = self._engine.names.walk(), int(WALKING_MARK_S * 1000)
        self._enlisted.clear()
        self.unreadable = 0
        while True:
            self._engine.link.send("PEXPIRE", mark, mark_ms)
            cursor, found = await self._call(
                "SCAN", cursor, "MATCH", pattern, "COUNT", KEYS_PER_STEP
            )
            repaired += await self._repair(found)
            if cursor == b"0":
                await self._strike_dead()
                return repaired
            await asyncio.sleep(STEP_PAUSE_S)

    async def _repair(self, record_keys: list[bytes]) -> int:
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
        # Together, since it is the round trips that make a walk long, and each outage ends one.
        return sum(await asyncio.gather(*(self._repair_batch(*batch) for batch in batches)))

    async def _repair_batch(self, slot: Slot, script: Script, tails: list[str]) -> int:
        await self._activity.mark(slot)
        count, failed, *entries = await self._engine.run(script, [slot.base], *tails)
        self._complain(slot, failed)
        return int(count) + await self._enlist(*entries)

    def _complain(self, slot: Slot, failed: list[bytes]) -> None:
        """Counts records that cannot be read, and names the first of a walk."""
        if failed and not self.unreadable:
            tail, error = (part.decode(errors="replace") for part in failed[:2])
            _log.warning("a record of %s cannot be read: %s (%s)", slot.base.decode(), tail, error)
        self.unreadable += len(failed) // 2

    async def _enlist(self, *entries: bytes) -> int:
        """Puts schedules back that the list of ids, in another slot, has lost; how many those are.

        Args:
            entries: id, claim and queue of each schedule that was met.
        """
        if not entries:
            return 0
        self._enlisted.update(entries[::3])
        enlisted, doubles = await self._ids.enlist(*entries)
        for start in range(0, len(doubles), 4):
            enlisted += await self._settle(*doubles[start : start + 4])
        return enlisted

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

    async def _strike_dead(self) -> None:
        """Takes entries off the list of ids that calls left which were cut between two writes."""
        for schedule_id, entry in (await self._ids.all()).items():
            if schedule_id.encode() in self._enlisted:
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

    async def _call(self, command: str, *args: Arg) -> Reply:
        link = self._engine.link
        return await with_retry(lambda: link.call(command, *args), link=link, budget_s=5.0)
