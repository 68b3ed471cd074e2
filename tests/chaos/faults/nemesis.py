"""Picks faults by seed, strikes, and measures how long the service takes to work again."""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from tests.chaos.faults.fault import InVain

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.chaos.faults.fault import Fault
    from tests.chaos.worlds.world import World

__all__ = ["ROUND_S", "Nemesis", "calm_left_s"]

#: Faults that overlap at most.
_HANDS: Final = 2
#: Between a strike's recovery and the next strike of the same hand (s), on average.
_PAUSE_S: Final = 2.0
_RECOVERY_S: Final = 60.0
#: At the end of each round nothing strikes for a while, so that nothing is excused by a strike (s).
ROUND_S: Final = 60.0
_CALM_S: Final = 15.0


@dataclass
class _Strike:
    """One that is under way, or whose recovery is awaited.

    Attributes:
        number: in the run.
        fault: that strikes.
        healed: its recovery is awaited.
        alone: no other has been under way since it was healed.
    """

    number: int
    fault: Fault
    healed: bool = False
    alone: bool = True


class Nemesis:
    """Strikes until it is told to end.

    Args:
        world: that is struck.
        faults: to choose from.
        pause_s: between two strikes of one of its hands, on average.
    """

    def __init__(self, world: World, faults: Sequence[Fault], pause_s: float = _PAUSE_S) -> None:
        self._world = world
        self._faults = faults
        self._pause_s = pause_s
        # Apart from all else that draws, so that a seed means the same faults in the same order.
        self._chance = random.Random(f"nemesis {world.run.seed}")  # noqa: S311 - no secret.
        self._under_way: list[_Strike] = []
        self._count = 0

    @property
    def strikes(self) -> int:
        """How many there were."""
        return self._count

    async def rage(self, seconds: float) -> None:
        """Strikes for so long, and returns when all is whole and works again."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        async with asyncio.TaskGroup() as group:
            for _ in range(_HANDS):
                group.create_task(self._hand(began, began + seconds))

    async def _hand(self, began: float, ends_at: float) -> None:
        loop = asyncio.get_running_loop()
        while True:
            pause_s = self._chance.expovariate(1 / self._pause_s)
            pause_s += calm_left_s(loop.time() + pause_s - began)
            if loop.time() + pause_s > ends_at:
                return
            await asyncio.sleep(pause_s)
            busy = {strike.fault.subject for strike in self._under_way}
            free = [fault for fault in self._faults if fault.subject not in busy]
            if free:
                (fault,) = self._chance.choices(free, [fault.weight for fault in free])
                await self._strike(fault, random.Random(self._chance.random()))  # noqa: S311

    async def _strike(self, fault: Fault, chance: random.Random) -> None:
        world, journal = self._world, self._world.journal
        self._count += 1
        strike = _Strike(self._count, fault)
        for other in self._under_way:
            other.alone = False
        self._under_way.append(strike)
        tally = world.run.result.tally(fault.name, fault.rows)
        named = {"fault": fault.name, "strike": strike.number}
        try:
            touches = {"outage": fault.outage, "displaces": fault.displaces}
            journal.write("strike", **named, target=fault.subject, **touches)
            try:
                target = await fault.strike(world, chance)
            except InVain:
                journal.write("heal", **named, target="nothing")
                return
            tally.strikes += 1
            journal.write("heal", **named, target=target)
            strike.healed = True
            strike.alone = all(other.healed for other in self._under_way)
            after_s = await world.working(_RECOVERY_S)
        except TimeoutError as error:
            world.run.result.expect(
                None, "recovery", f"{fault.name}, strike {strike.number}: {error}"
            )
        else:
            journal.write("recovered", **named, after_ms=after_s * 1000)
            if strike.alone:  # Else it is another fault's recovery as well.
                tally.recovery_ms.append(after_s * 1000)
        finally:
            self._under_way.remove(strike)


def calm_left_s(passed_s: float) -> float:
    """How long nothing is to strike, so long after the first round began (s); mostly 0."""
    left_s = ROUND_S - passed_s % ROUND_S
    return left_s if left_s < _CALM_S else 0.0
