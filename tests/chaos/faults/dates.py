"""The server's date jumps, as when somebody sets a clock. Only the server sees it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, ClassVar, Final

from tests.chaos.faults.fault import Fault

if TYPE_CHECKING:
    import random

    from tests.chaos.worlds.world import World

__all__ = ["DateAhead", "DateBack"]

#: The furthest that it jumps at once (s). What waits for a date waits for longer after a jump back,
#: and those who follow its job do not wait for ever.
_AHEAD_S: Final = 120.0
_BACK_S: Final = 45.0
_LEAST_S: Final = 2.0


class DateAhead(Fault):
    """By some seconds to minutes, and it goes on from there: delays are over, deadlines passed."""

    name: ClassVar[str] = "the server's date jumps ahead"
    rows: ClassVar[tuple[int, ...]] = (27,)
    # Not at once with others of this subject: a pause that a client asks for ends by the date.
    subject: ClassVar[str] = "data"
    outage: ClassVar[bool] = False
    needs: ClassVar[str] = "clock"

    async def strike(self, world: World, chance: random.Random) -> str:
        return world.date.jump(_some(chance, _AHEAD_S))


class DateBack(Fault):
    """By up to a minute, and it goes on from there: what waits for a date waits for longer."""

    name: ClassVar[str] = "the server's date jumps back"
    rows: ClassVar[tuple[int, ...]] = (27,)
    subject: ClassVar[str] = "data"
    outage: ClassVar[bool] = False
    needs: ClassVar[str] = "clock"

    async def strike(self, world: World, chance: random.Random) -> str:
        return world.date.jump(-_some(chance, _BACK_S))


def _some(chance: random.Random, most_s: float) -> int:
    """As often small as large (ms)."""
    least_ms, most_ms = math.log(_LEAST_S * 1000), math.log(most_s * 1000)
    return round(math.exp(chance.uniform(least_ms, most_ms)))
