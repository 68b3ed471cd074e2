"""A worker that is told to stop, as a deployment does it."""

from __future__ import annotations

import asyncio
import time
from functools import partial
from typing import TYPE_CHECKING, ClassVar, Final

from penstock.client import JobState
from tests.chaos.checks import have_begun
from tests.chaos.scenario import Scenario
from tests.chaos.waiting import PATIENCE_S, when
from tests.chaos.worlds.loop_lag import LoopLag
from tests.chaos.worlds.stage import Stage

if TYPE_CHECKING:
    from penstock.client import AsyncClient
    from tests.chaos.scenario import Run

__all__ = ["DrainedWorker"]

LEASE_S: Final = 10.0
GRACE_S: Final = 3.0
STOP_GRACE_S: Final = 1.0
#: How much later than its graces a worker has ended, and on however busy a machine (s).
EXIT_S: Final = 2.0
LATEST_EXIT_S: Final = 20.0
TYPES: Final = ("hold", "hold.thread", "hold.process") * 2
#: Of jobs that end within the grace, and of those that never end by themselves (s).
SHORT_S: Final = 0.5
FOR_EVER_S: Final = 3_600.0


class DrainedWorker(Scenario):
    """A worker is told to stop (SIGTERM); some jobs end within its grace, others do not."""

    name: ClassVar = "drained_worker"
    rows: ClassVar = (6,)
    expects: ClassVar = (
        "jobs end within the grace, or are handed back and run elsewhere, at no cost of an "
        "attempt; the worker exits in time"
    )
    seconds: ClassVar = 20.0

    async def run(self, run: Run) -> None:
        """See `Scenario`."""
        async with (
            Stage(run, lease_s=LEASE_S, drain_grace_s=GRACE_S, stop_grace_s=STOP_GRACE_S) as stage,
            LoopLag() as lag,
        ):
            await stage.start_gateway()
            exits_s = []
            async with stage.connect() as client:
                worker = stage.start_worker()
                await stage.registered(client)
                for _ in range(run.scaled(2, at_least=2)):
                    long = await self._begin(stage, client, FOR_EVER_S)
                    short = await self._begin(stage, client, SHORT_S)
                    began_s = time.monotonic()
                    worker.terminate()
                    heir = stage.start_worker()
                    status = await asyncio.to_thread(worker.wait)
                    worker = heir
                    exits_s.append(time.monotonic() - began_s)
                    run.result.expect(status == 0, "drain", f"the worker exited with {status}")
                    await when(
                        partial(have_begun, stage, long, times=2), "the long jobs run elsewhere"
                    )
                    await self._judge(run, client, long, short)
        run.result.tally("a worker is told to stop", self.rows).strikes += len(exits_s)
        run.result.figures[f"a worker with a grace of {GRACE_S:g} s exits after"] = (
            f"{max(exits_s):.1f} s at worst"
        )
        told = f"a worker took {max(exits_s):.1f} s to exit"
        run.result.expect(max(exits_s) <= GRACE_S + STOP_GRACE_S + LATEST_EXIT_S, "drain", told)
        run.result.aim(max(exits_s) <= GRACE_S + STOP_GRACE_S + EXIT_S + lag.worst_s, told)

    async def _begin(self, stage: Stage, client: AsyncClient, seconds: float) -> list[str]:
        """Ids of jobs of all kinds, all of which run."""
        jobs = [(await client.submit(type_, seconds)).job_id for type_ in TYPES]
        await when(partial(have_begun, stage, jobs), "the jobs have begun")
        return jobs

    async def _judge(
        self, run: Run, client: AsyncClient, long: list[str], short: list[str]
    ) -> None:
        """Looks at what became of the jobs, and ends them."""
        for job_id in short + long:
            job = await client.status(job_id)
            wanted = JobState.SUCCEEDED if job_id in short else JobState.RUNNING
            run.result.expect(
                (job.state, job.attempt, job.crashes) == (wanted, 1, 0),
                "drain",
                f"{job.type} is {job.state.name}, in attempt {job.attempt}, after "
                f"{job.crashes} crashes",
            )
        for job_id in long:
            await client.cancel(job_id)
            await client.wait(job_id, timeout=PATIENCE_S)
        run.result.jobs += len(short) + len(long)
