"""A worker that cannot reach the server for longer than a lease."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, ClassVar, Final

from tests.chaos.checks import (
    expect_newest_outcomes,
    expect_ordered_output,
    expect_rising_tokens,
    have_begun,
    starts_of,
)
from tests.chaos.link.proxy import FaultProxy
from tests.chaos.scenario import Scenario
from tests.chaos.waiting import PATIENCE_S, when
from tests.chaos.worlds.loop_lag import LoopLag
from tests.chaos.worlds.stage import Stage

if TYPE_CHECKING:
    import subprocess

    from penstock.client import AsyncClient
    from tests.chaos.history.journal import Line
    from tests.chaos.scenario import Run

__all__ = ["WorkerPartition"]

LEASE_S: Final = 2.0
LEASES: Final = 3
FAULT: Final = "a worker is cut off for three leases"
TYPES: Final = ("hold", "hold.thread", "hold.process", "talk")
WORKERS: Final = 2
JOBS_OF_A_TYPE: Final = 4
#: Longer than a cut and what comes before it, so that each job runs twice (s).
DURATION_S: Final = (LEASES + 3) * LEASE_S
#: Beside the lease: what a job needs to run elsewhere, and on however busy a machine (s).
ELSEWHERE_S: Final = 1.0
LATEST_S: Final = 15.0


class WorkerPartition(Scenario):
    """Nothing passes between a worker and the server for three leases: silently, or by refusals."""

    name: ClassVar = "worker_partition"
    rows: ClassVar = (13,)
    expects: ClassVar = (
        "its handlers are stopped by its own clock within a lease, its jobs run elsewhere within "
        "the lease and 1 s, and nothing that it writes after the heal is accepted"
    )
    seconds: ClassVar = 40.0

    async def run(self, run: Run) -> None:
        """See `Scenario`."""
        async with (
            Stage(run, lease_s=LEASE_S, slots=20, max_crashes=100) as stage,
            FaultProxy("127.0.0.1", stage.server.port) as link,
            LoopLag() as lag,
        ):
            await stage.start_gateway()
            victim = stage.start_worker(redis_url=link.url)
            stage.start_worker()
            async with stage.connect() as client:
                await stage.registered(client, WORKERS)
                await _warm_up(client)
                for number in range(run.scaled(2, at_least=2)):
                    cut = _Cut(run, stage, client, link, lag)
                    await cut.go(victim, hangs_up=bool(number % 2))
                stale = (await client.queue_stats()).stale_writes
            expect_rising_tokens(stage)
            run.result.figures["writes refused"] = str(stale)
            run.result.expect(
                stale, "partition", "no write was refused: the run proves nothing about them"
            )


async def _warm_up(client: AsyncClient) -> None:
    """Has the workers start their child processes, which takes longer than all else."""
    jobs = [await client.submit("hold.process", 0.5) for _ in range(4 * WORKERS)]
    await asyncio.gather(*(client.wait(job.job_id, timeout=PATIENCE_S) for job in jobs))


class _Cut:
    """One cut of a worker that has jobs, with another beside it."""

    def __init__(
        self, run: Run, stage: Stage, client: AsyncClient, link: FaultProxy, lag: LoopLag
    ) -> None:
        self._run = run
        self._stage = stage
        self._client = client
        self._link = link
        self._lag = lag
        self._jobs: list[str] = []

    async def go(self, victim: subprocess.Popen[bytes], *, hangs_up: bool) -> None:
        """Does it, and looks at what came of each job that the victim had."""
        how = "refused" if hangs_up else "silent"
        for type_ in TYPES * JOBS_OF_A_TYPE:
            self._jobs.append((await self._client.submit(type_, DURATION_S)).job_id)
        self._run.result.jobs += len(self._jobs)
        await when(partial(have_begun, self._stage, self._jobs), "all jobs have begun")
        running = [await self._client.status(job_id) for job_id in self._jobs]
        self._jobs = [job.job_id for job in running if f"-{victim.pid}-" in job.worker_id]
        began = self._strike(hangs_up=hangs_up)
        await asyncio.sleep(LEASES * LEASE_S)
        self._link.restore()
        healed = self._stage.journal.write("heal", fault=how)
        self._run.say(f"healed ({how}); waiting for the jobs")
        await self._look_at_outcomes()
        self._judge(began, healed, how)

    def _strike(self, *, hangs_up: bool) -> int:
        tally = self._run.result.tally(FAULT, WorkerPartition.rows)
        tally.strikes += 1
        began = self._stage.journal.write("strike", fault="refused" if hangs_up else "silent")
        self._link.cut_off(hangs_up=hangs_up)
        return began

    async def _look_at_outcomes(self) -> None:
        ended = await asyncio.gather(
            *(self._client.wait(job_id, timeout=PATIENCE_S) for job_id in self._jobs)
        )
        expect_newest_outcomes(self._stage, ended)
        for job_id, starts in self._starts().items():
            self._run.result.expect(
                len(starts) > 1, "partition", f"job {job_id} did not run elsewhere"
            )
        for job in ended:
            if job.type == "talk":
                await expect_ordered_output(self._stage, self._client, job.job_id)

    def _judge(self, began: int, healed: int, how: str) -> None:
        """How soon handlers stopped at the worker that was cut off, and ran at the other."""
        starts = self._starts()
        first = {(job, lines[0]["token"]) for job, lines in starts.items()}
        ends = [
            line
            for line in self._stage.lines()
            if line.kind == "end" and (line["job"], line["token"]) in first
        ]
        stopped_s = sorted((line.at - began) / 1e9 for line in ends) or [0.0]
        again_s = sorted((lines[1].at - began) / 1e9 for lines in starts.values() if lines[1:])
        again_s = again_s or [0.0]
        late_s = self._lag.worst_s
        result = self._run.result
        result.expect(
            first and len(ends) == len(first) and all(line["how"] == "stopped" for line in ends),
            "partition",
            f"{how}: of {len(first)} handlers, {len(ends)} ended: {[line['how'] for line in ends]}",
        )
        result.expect(
            all(line.at < healed for line in ends) and stopped_s[-1] <= LEASE_S + late_s,
            "partition",
            f"{how}: a handler went on for {stopped_s[-1]:.2f} s without its lease",
        )
        told = f"{how}: a job ran elsewhere only after {again_s[-1]:.2f} s"
        result.expect(again_s[-1] <= LEASE_S + LATEST_S, "recovery", told)
        result.aim(again_s[-1] <= LEASE_S + ELSEWHERE_S + late_s, told)
        result.tally(FAULT).recovery_ms += [each * 1000 for each in again_s]
        result.figures[f"{how}: handlers stopped, jobs ran elsewhere after"] = (
            f"at most {stopped_s[-1]:.2f} s, {again_s[-1]:.2f} s (timers were up to {late_s:.2f} s "
            "late)"
        )

    def _starts(self) -> dict[str, list[Line]]:
        return starts_of(self._stage.lines(), self._jobs)
