"""All faults of the catalogue, at random, on everything at once."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, ClassVar, Final

from tests.chaos.checker.scene import OUTSIDE, WORKED
from tests.chaos.faults.nemesis import ROUND_S, Nemesis
from tests.chaos.history.progress import Progress
from tests.chaos.load.plan import QUEUE
from tests.chaos.scenario import Scenario, Skipped
from tests.chaos.server.preload import shims_to_be_had
from tests.chaos.worlds.world import World

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.chaos.scenario import Run

__all__ = ["Mixed"]

#: How long scale 1 lasts (s).
SECONDS: Final = 180.0
PARTITIONS: Final = 2
#: How many jobs of a type run at once, over all workers; the others are held, under faults as well.
#: Without it, each new worker would start 16 child processes at once, which takes all of two cores.
AT_ONCE: Final[Mapping[str, int]] = {"chaos.sync": 12, "chaos.process": 4}
#: Of each process of clients.
PUBLISHERS: Final = 2
PLANNERS: Final = 3
#: So that kills and power cuts find the append-only file being rewritten, also in a short run.
REWRITE_OFTEN: Final = {"auto-aof-rewrite-min-size": "4mb"}
#: For so long after an outage calls may fail by it (s).
RECOVERY_S: Final = 5.0
#: Within this a job ends that is waited for (s).
PATIENCE_S: Final = 60.0
#: And of 10,000 calls so many at any time, one at least, should the machine be busy with other
#: things.
STRAYS: Final = 1.0
_TELL_S: Final = 2.0
#: What happens in each second, at the least: about a tenth of what does on two busy cores. A run in
#: which a kind of call or effect hardly occurs shows nothing about it.
_LEAST: Final[Mapping[str, float]] = {
    "job acknowledged": 5,
    "start": 5,
    "end": 5,
    "final": 5,
    "status answered": 1,
    "wait answered": 0.5,
    "watch event": 1,
    "chunk": 0.5,
    "saved": 0.3,
    "resumed": 0.2,
    "retry": 0.05,
    "cancel answered": 0.03,
    "strike": 0.03,
    "publish answered": 0.1,
    "message delivered": 0.2,
    "start of a message": 0.2,
    "subscribe answered": 0.02,
    "start of an occurrence": 0.2,
    "create answered": 0.02,
    "update answered": 0.01,
    "pause answered": 0.01,
    "resume answered": 0.01,
    "trigger answered": 0.01,
    "delete answered": 0.01,
}


class Mixed(Scenario):
    """Clients submit, follow, cancel and retry jobs of all kinds while faults strike at random.

    They publish messages, subscribe for a while, and make schedules, which they change and end.
    """

    name: ClassVar[str] = "mixed"
    rows: ClassVar[tuple[int, ...]] = ()
    expects: ClassVar[str] = "No invariant is violated, and all jobs end."
    seconds: ClassVar[float] = SECONDS
    has_history: ClassVar[bool] = True

    async def run(self, run: Run) -> None:
        from tests.chaos.catalogue import FAULTS  # noqa: PLC0415 - which names this scenario, too.

        shims = shims_to_be_had("fsyncspy", "slowfsync", "clock")
        wanted = [fault for fault in FAULTS if not run.faults or fault.name in run.faults]
        faults = [fault() for fault in wanted if not fault.needs or fault.needs in shims]
        if left_out := [fault.name for fault in wanted if fault.needs and fault.needs not in shims]:
            run.result.figures["left out, for want of a C compiler"] = ", ".join(left_out)
        if not faults:
            raise Skipped("needs a C compiler")
        partitions = {"partitions": PARTITIONS}
        async with World(
            run,
            server_options=REWRITE_OFTEN,
            gateway_settings=partitions,
            worker_settings=partitions,
            client_settings={"publishers": PUBLISHERS, "planners": PLANNERS},
            shims=shims,
        ) as world:
            await world.subscribe()
            async with world.client() as client:
                for job_type, limit in AT_ONCE.items():
                    await client.set_queue_policy(QUEUE, job_type, concurrency=limit)
            nemesis = Nemesis(world, faults)
            telling = asyncio.create_task(_tell(world, nemesis))
            try:
                await nemesis.rage(SECONDS * run.scale)
            finally:
                telling.cancel()
            await world.finish(
                world.expectations(
                    least=_least(SECONDS * run.scale),
                    recovery_s=RECOVERY_S,
                    patience_s=PATIENCE_S,
                    strays=STRAYS,
                )
            )


def _least(seconds: float) -> dict[str, int]:
    """What must have happened in so long, or the run shows nothing."""
    at_rates = {kind: int(rate * seconds) for kind, rate in _LEAST.items()}
    # In each calm, if in none of the moments between strikes.
    return {**WORKED, **at_rates, OUTSIDE: int(seconds / ROUND_S)}


async def _tell(world: World, nemesis: Nemesis) -> None:
    progress = Progress(world.journals)
    while True:
        await asyncio.sleep(_TELL_S)
        found = len(world.run.result.violations)
        world.run.say(f"{progress.read()}, {nemesis.strikes} faults, {found} violations")
