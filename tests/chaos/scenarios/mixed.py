"""All faults of the catalogue, at random, on everything at once."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, ClassVar, Final

from tests.chaos.nemesis import Nemesis
from tests.chaos.progress import Progress
from tests.chaos.scenario import Scenario
from tests.chaos.world import World

if TYPE_CHECKING:
    from tests.chaos.scenario import Run

__all__ = ["Mixed"]

#: How long scale 1 lasts (s).
SECONDS: Final = 180.0
PARTITIONS: Final = 2
_TELL_S: Final = 2.0


class Mixed(Scenario):
    """Clients submit, follow, cancel and retry jobs of all kinds while faults strike at random."""

    name: ClassVar[str] = "mixed"
    rows: ClassVar[tuple[int, ...]] = ()
    expects: ClassVar[str] = "No invariant is violated, and all jobs end."
    seconds: ClassVar[float] = SECONDS

    async def run(self, run: Run) -> None:
        from tests.chaos.catalogue import FAULTS  # noqa: PLC0415 - which names this scenario, too.

        partitions = {"partitions": PARTITIONS}
        async with World(
            run,
            gateway_settings=partitions,
            worker_settings=partitions,
            shims=("fsyncspy",),
        ) as world:
            nemesis = Nemesis(world, [fault() for fault in FAULTS])
            telling = asyncio.create_task(_tell(world, nemesis))
            try:
                await nemesis.rage(SECONDS * run.scale)
            finally:
                telling.cancel()
            await world.finish()


async def _tell(world: World, nemesis: Nemesis) -> None:
    progress = Progress(world.journals)
    while True:
        await asyncio.sleep(_TELL_S)
        found = len(world.run.result.violations)
        world.run.say(f"{progress.read()}, {nemesis.strikes} faults, {found} violations")
