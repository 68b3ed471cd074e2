"""Jobs that end the process that runs them, among others that do no harm."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, ClassVar, Final

from penstock.client import FailureReason, JobState
from tests.chaos.scenario import Scenario
from tests.chaos.waiting import PATIENCE_S
from tests.chaos.worlds.stage import Stage

if TYPE_CHECKING:
    import subprocess

    from penstock.client import AsyncClient
    from tests.chaos.scenario import Run

__all__ = ["PoisonJobs"]

#: No neighbour may lose its lease to a stall of the machine: it runs one crash short of quarantine
#: (s).
LEASE_S: Final = 4.0
MAX_CRASHES: Final = 3
NEIGHBOURS: Final = 12
#: A neighbour runs longer than a poison takes to work, so that each crash meets some (s).
NEIGHBOUR_S: Final = 0.8
WAYS: Final = ("abort", "kill", "memory")
_LOOK_EVERY_S: Final = 0.05


class PoisonJobs(Scenario):
    """Jobs abort their process, kill it, or run out of memory in C; workers are started again."""

    name: ClassVar = "poison_jobs"
    rows: ClassVar = (5,)
    expects: ClassVar = (
        "each is quarantined after 3 crashes, one in a child process alone fails; no neighbour is "
        "quarantined for what it was beside"
    )
    seconds: ClassVar = 100.0

    async def run(self, run: Run) -> None:
        """See `Scenario`."""
        async with Stage(run, lease_s=LEASE_S, slots=20, max_crashes=MAX_CRASHES) as stage:
            await stage.start_gateway()
            # In a single worker, all of them meet again after each crash.
            supervisor = asyncio.create_task(_keep_alive(run, stage))
            async with stage.connect() as client:
                await stage.registered(client)
                for _ in range(run.scaled(1)):
                    for poisons in ([way] for way in WAYS):
                        await _poison(run, client, poisons)
                    await _poison(run, client, list(WAYS))
                await _poison_a_child(run, client)
            supervisor.cancel()
            await asyncio.wait({supervisor})


async def _keep_alive(run: Run, stage: Stage) -> None:
    """Starts a worker for each that has ended, as a supervisor does."""
    worker: subprocess.Popen[bytes] = stage.start_worker()
    tally = run.result.tally("a job ends its worker", PoisonJobs.rows)
    while True:
        if worker.poll() is not None:
            tally.strikes += 1
            worker = stage.start_worker()
        await asyncio.sleep(_LOOK_EVERY_S)


async def _poison(run: Run, client: AsyncClient, ways: list[str]) -> None:
    run.say(f"poison: {', '.join(ways)}")
    neighbours = [await client.submit("hold", NEIGHBOUR_S) for _ in range(NEIGHBOURS // 2)]
    poisons = [await client.submit("poison", way) for way in ways]
    neighbours += [await client.submit("hold", NEIGHBOUR_S) for _ in range(NEIGHBOURS // 2)]
    for way, handle in zip(ways, poisons, strict=True):
        job = await handle.wait(timeout=3 * PATIENCE_S)
        reason = job.failure.reason if job.failure else None
        run.result.expect(
            (job.state, reason, job.crashes)
            == (JobState.FAILED, FailureReason.QUARANTINED, MAX_CRASHES),
            "I9",
            f"a poison ({way}) ended {job.state.name} for {reason} after {job.crashes} crashes",
        )
    crashes = []
    for handle in neighbours:
        job = await handle.wait(timeout=3 * PATIENCE_S)
        crashes.append(job.crashes)
        run.result.expect(
            job.state is JobState.SUCCEEDED,
            "neighbours",
            f"beside {len(ways)} poisons a job ended {job.state.name} after {job.crashes} crashes",
        )
    run.result.jobs += len(neighbours) + len(poisons)
    figure = f"crashes of {len(neighbours)} neighbours of {len(ways)} poison(s)"
    run.result.figures[figure] = f"{sum(crashes)}, {max(crashes)} at most"


async def _poison_a_child(run: Run, client: AsyncClient) -> None:
    """A handler in a child process ends that alone."""
    neighbour = await client.submit("hold", 3 * NEIGHBOUR_S)
    handle = await client.submit("poison.process", "kill", max_attempts=1)
    job = await handle.wait(timeout=PATIENCE_S)
    reason = job.failure.reason if job.failure else None
    run.result.expect(
        (job.state, reason, job.crashes) == (JobState.FAILED, FailureReason.EXHAUSTED, 0),
        "I9",
        f"a poison in a child process ended {job.state.name} for {reason}",
    )
    beside = await neighbour.wait(timeout=PATIENCE_S)
    run.result.expect(
        (beside.state, beside.crashes) == (JobState.SUCCEEDED, 0),
        "neighbours",
        f"beside a child that died a job ended {beside.state.name}, {beside.crashes} crashes",
    )
