"""Which slots need housekeeping: a set in the namespace's slot, marked before jobs are stored.

Scripts cannot cross slots, so the mark is a write of its own, made at most every `MARK_EVERY_S` per
process and slot, and always before the job that needs it. A slot is dropped only when it is empty
and its last mark is so old that every process must have marked it again since.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final

from penstock.broker.engine import DEFAULT_BUDGET_S
from penstock.broker.retry import with_retry
from penstock.broker.script import load_script

if TYPE_CHECKING:
    from penstock.broker.engine import Engine
    from penstock.broker.keys import Slot

DROP = load_script("drop")

MARK_EVERY_S: Final = 30.0
DROP_AFTER_MS: Final = 600_000


class Activity:
    """The set of active slots of a namespace."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._marked: dict[Slot, float] = {}

    async def mark(self, slot: Slot, budget_s: float = DEFAULT_BUDGET_S) -> None:
        """Says that the slot has work. Cheap: mostly a look into a dict."""
        now = time.monotonic()
        marked = self._marked.get(slot)
        if marked is not None and now - marked < MARK_EVERY_S:
            return
        # Read before the call, so that the mark is never taken for younger than it is.
        wall_ms = int(time.time() * 1000)
        await self._call("ZADD", wall_ms, _member(slot), budget_s=budget_s)
        self._marked[slot] = now

    def forget(self) -> None:
        """Marks again at the next chance: the server may have lost what it knew."""
        self._marked.clear()

    async def slots(self) -> list[Slot]:
        """All active slots."""
        members = await self._call("ZRANGE", 0, -1)
        found = []
        for member in members:
            code, _, partition = member.decode().partition(":")
            found.append(self._engine.slot(code, int(partition)))
        return found

    async def drop(self, slot: Slot) -> None:
        """Drops a slot that was seen empty, unless it was marked lately."""
        score = await self._call("ZSCORE", _member(slot))
        if score is not None and time.time() * 1000 - float(score) > DROP_AFTER_MS:
            active = self._engine.names.active()
            await self._engine.run(DROP, [active], _member(slot), score)

    async def _call(
        self, command: str, *args: str | int, budget_s: float = DEFAULT_BUDGET_S
    ) -> Any:  # noqa: ANN401 - by command.
        link = self._engine.link
        return await with_retry(
            lambda: link.call(command, self._engine.names.active(), *args),
            link=link,
            budget_s=budget_s,
        )


def _member(slot: Slot) -> str:
    return f"{slot.queue_code}:{slot.partition}"
