"""Which slots need housekeeping: a set in the namespace's slot, marked before jobs are stored.

Scripts cannot cross slots, so the mark is a write of its own, made at most every `MARK_EVERY_S` per
process and slot, and always before the job that needs it. A slot is dropped only when it is empty
and its last mark has stood there for so long that every process must have marked it again since:
by the clock of whoever drops it, since the server's may jump.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from penstock.broker.agenda import Agenda
from penstock.broker.engine import DEFAULT_BUDGET_S
from penstock.broker.retry import with_retry
from penstock.broker.script import load_script

if TYPE_CHECKING:
    from penstock.broker.engine import Engine
    from penstock.broker.keys import Slot
    from penstock.broker.script import Script

MARK = load_script("mark")
DROP = load_script("drop")

MARK_EVERY_S: Final = 30.0
DROP_AFTER_S: Final = 600.0


class Activity:
    """The set of active slots of a namespace.

    Attributes:
        agenda: when this process visits which of them; takes hints of what comes due soon.
    """

    def __init__(self, engine: Engine) -> None:
        self.agenda = Agenda()
        self._engine = engine
        self._marked: dict[Slot, float] = {}
        self._seen: dict[Slot, tuple[bytes, float]] = {}  # Marks, and since when each is seen (s).

    def is_marked(self, slot: Slot) -> bool:
        """Whether `mark` would have nothing to do."""
        marked = self._marked.get(slot)
        return marked is not None and time.monotonic() - marked < MARK_EVERY_S

    async def mark(self, slot: Slot, budget_s: float = DEFAULT_BUDGET_S) -> None:
        """Says that the slot has work. Cheap: mostly a look into a dict."""
        now = time.monotonic()  # Before the call: a mark is never taken for younger than it is.
        marked = self._marked.get(slot)
        if marked is not None and now - marked < MARK_EVERY_S:
            return
        await self._run(MARK, slot, budget_s=budget_s)
        self._marked[slot] = now

    def forget(self) -> None:
        """Marks again at the next chance: the server may have lost what it knew."""
        self._marked.clear()

    async def slots(self) -> list[Slot]:
        """All active slots."""
        link, active = self._engine.link, self._engine.names.active()
        members = await with_retry(
            lambda: link.call("ZRANGE", active, 0, -1, "WITHSCORES"),
            link=link,
            budget_s=DEFAULT_BUDGET_S,
        )
        seen, now = {}, time.monotonic()
        for member, mark in zip(members[::2], members[1::2], strict=True):
            code, _, partition = member.decode().partition(":")
            slot = self._engine.slot(code, int(partition))
            known = self._seen.get(slot)
            seen[slot] = known if known is not None and known[0] == mark else (mark, now)
        self._seen = seen
        return [*seen]

    async def drop(self, slot: Slot) -> None:
        """Drops a slot that was seen empty, unless it was marked lately. See `slots`."""
        mark, since = self._seen.get(slot, (b"", time.monotonic()))
        if time.monotonic() - since >= DROP_AFTER_S:
            await self._run(DROP, slot, mark)

    async def _run(
        self, script: Script, slot: Slot, *args: bytes, budget_s: float = DEFAULT_BUDGET_S
    ) -> None:
        member = f"{slot.queue_code}:{slot.partition}"
        keys = [self._engine.names.active()]
        await self._engine.run(script, keys, member, *args, budget_s=budget_s)
