"""The list of schedules' ids, in the namespace's slot: in which queue each is, and by what claim.

An id is claimed here before anything is stored or deleted under it, and a claim that was overtaken
is void, so that no schedule is ever without its entry. An entry without a schedule, as a process
leaves it that dies between the two, means nothing.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final, NamedTuple

from penstock.broker import ids
from penstock.broker.engine import DEFAULT_BUDGET_S, Engine
from penstock.broker.errors import LimitExceeded, NotFound, ScheduleExists, Unavailable
from penstock.broker.record import fields_of
from penstock.broker.retry import with_retry
from penstock.broker.script import load_script

if TYPE_CHECKING:
    from collections.abc import Callable

    from penstock.broker.keys import Slot

ENROL = load_script("enrol")
ENLIST = load_script("enlist")
STRIKE = load_script("strike")
BURY = load_script("bury_schedule")

#: Each is a hash of its own, and is looked at whenever it fires.
MAX_SCHEDULES: Final = 10_000
#: Longer than any call lasts, so that a void claim is so for as long as it is used (ms).
BURIED_FOR_MS: Final = 3_600_000
#: How often a call begins anew, when others change the same schedule meanwhile.
TRIES: Final = 10
#: What a burial answers where there is a schedule, and only an entry without one was to go.
ALIVE: Final = -1


class Entry(NamedTuple):
    """What the list says of an id.

    Attributes:
        claim: under which the schedule is stored: a number.
        queue: that it is in.
        text: as it stands in the list.
    """

    claim: bytes
    queue: str
    text: bytes


class ScheduleIds:
    """The list. Every method retries by itself within budget_s (seconds)."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._key = engine.names.schedules()

    async def all(self, budget_s: float = DEFAULT_BUDGET_S) -> dict[str, Entry]:
        """All entries."""
        link = self._engine.link
        flat = await with_retry(
            lambda: link.call("HGETALL", self._key), link=link, budget_s=budget_s
        )
        # "#" counts the claims.
        return {
            name.decode(): entry_of(text) for name, text in fields_of(flat).items() if name != b"#"
        }

    async def find(self, schedule_id: str, budget_s: float = DEFAULT_BUDGET_S) -> Entry | None:
        """The entry of an id."""
        link = self._engine.link
        text: bytes | None = await with_retry(
            lambda: link.call("HGET", self._key, schedule_id), link=link, budget_s=budget_s
        )
        return None if text is None else entry_of(text)

    async def refuse(self, schedule_id: str, queue: str, budget_s: float) -> None:
        """Raises what `claim` would raise now, and writes nothing."""
        left_s = countdown(budget_s)
        entries = await self.all(left_s())
        entry = entries.get(schedule_id)
        if entry is None:
            if len(entries) >= MAX_SCHEDULES:
                raise _too_many()
        elif entry.queue != queue and await self._is_stored(schedule_id, entry.queue, left_s()):
            raise ScheduleExists(schedule_id)

    async def claim(self, schedule_id: str, queue: str, budget_s: float) -> int:
        """A new claim on an id for a queue.

        Raises:
            ScheduleExists: there is one of this id in another queue.
            LimitExceeded: there are too many.
        """
        left_s = countdown(budget_s)
        taken_over = b""
        for _ in range(TRIES):
            outcome, *rest = await self._engine.run(
                ENROL,
                [self._key],
                schedule_id,
                queue,
                MAX_SCHEDULES,
                taken_over,
                budget_s=left_s(),
            )
            if outcome == b"full":
                raise _too_many()
            if outcome == b"enrolled":
                claim: int = rest[0]
                return claim
            entry = entry_of(rest[0])
            # An entry without a schedule is taken over once nobody can store one under it any more.
            if await self.bury(schedule_id, entry, left_s(), if_empty=True) == ALIVE:
                raise ScheduleExists(schedule_id)
            taken_over = entry.text
        raise contended()

    async def bury(
        self,
        schedule_id: str,
        entry: Entry,
        budget_s: float = DEFAULT_BUDGET_S,
        *,
        if_empty: bool = False,
    ) -> int:
        """Deletes the schedule of an entry, and voids its claim.

        Args:
            schedule_id: of the schedule.
            entry: says where it is.
            budget_s: for all tries, in seconds.
            if_empty: leave a schedule that is there alone.

        Returns:
            1 if there was one, 0 if not, ALIVE if it was left alone.

        Raises:
            NotFound: there is no such queue.
        """
        slot, tail = await self.place(schedule_id, entry.queue, budget_s)
        unless = "empty" if if_empty else b""
        buried: int = await self._engine.write(
            BURY, [slot.base], tail, entry.claim, BURIED_FOR_MS, unless, budget_s=budget_s
        )
        return buried

    async def strike(
        self, schedule_id: str, entry: Entry, budget_s: float = DEFAULT_BUDGET_S
    ) -> None:
        """Takes an entry off the list, unless it is another by now."""
        await self._engine.run(STRIKE, [self._key], schedule_id, entry.text, budget_s=budget_s)

    async def enlist(self, *entries: bytes) -> tuple[int, list[bytes]]:
        """Puts ids back on the list that are missing from it.

        Args:
            entries: id, claim and queue of each.

        Returns:
            How many were missing; and of those that the list has in another queue id, claim, queue
            and the entry that it has.
        """
        enlisted, *doubles = await self._engine.run(ENLIST, [self._key], *entries)
        return int(enlisted), doubles

    async def _is_stored(self, schedule_id: str, queue: str, budget_s: float) -> bool:
        link = self._engine.link
        try:
            slot, tail = await self.place(schedule_id, queue, budget_s)
        except NotFound:
            return False
        key = slot.schedule(tail)
        found = await with_retry(lambda: link.call("EXISTS", key), link=link, budget_s=budget_s)
        return bool(found)

    async def place(
        self, schedule_id: str, queue: str, budget_s: float = DEFAULT_BUDGET_S
    ) -> tuple[Slot, str]:
        """Slot and tail of a schedule in a queue. Raises NotFound if there is no such queue."""
        info = await self._engine.queue(queue, budget_s)
        slot = self._engine.slot(info.code, ids.partition_of(schedule_id, info.partitions))
        return slot, ids.schedule_tail(self._engine.namespace, schedule_id)


def entry_of(text: bytes) -> Entry:
    """An entry as it stands in the list."""
    claim, _, queue = text.partition(b" ")
    return Entry(claim, queue.decode(), text)


def countdown(budget_s: float) -> Callable[[], float]:
    """What tells how much of a budget is left (s), for each step of a call that has several."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + budget_s
    return lambda: deadline - loop.time()


def _too_many() -> LimitExceeded:
    return LimitExceeded(f"the namespace has {MAX_SCHEDULES} schedules already")


def contended() -> Unavailable:
    """What a call ends with that others overtook again and again."""
    return Unavailable("others change the same schedule all the time")
