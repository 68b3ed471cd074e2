"""A worker that cannot reach the server for longer than a lease."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, ClassVar, Final

from penstock.client import ChunkEvent, JobState
from tests.chaos.link.proxy import FaultProxy
from tests.chaos.scenario import Scenario
from tests.chaos.worlds.stage import PATIENCE_S, Pulse, Stage, when
from tests.support.waiting import eventually

if TYPE_CHECKING:
    import subprocess

    from penstock.client import AsyncClient
    from tests.chaos.history.journal import Line
    from tests.chaos.scenario import Run

__all__ = ["WorkerPartition"]

LEASE_S: Final = 2.0
LEASES: Final = 3
TYPES: Final = ("hold", "hold.thread", "hold.process", "talk")
WORKERS: Final = 2
JOBS_OF_A_TYPE: Final = 4
#: Longer than a cut and what comes before it, so that each job runs twice (s).
DURATION_S: Final = (LEASES + 3) * LEASE_S
#: Beside the lease: what a job needs to run elsewhere (s).
ELSEWHERE_S: Final = 1.0


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
            Pulse() as pulse,
        ):
            await stage.gateway()
            victim = stage.worker(redis_url=link.url)
            stage.worker()
            async with stage.client(timeout_s=PATIENCE_S) as client:
                await eventually(
                    lambda: _registered(client), "both workers have registered", within_s=PATIENCE_S
                )
                await _warm_up(client)
                for number in range(max(2, round(2 * run.scale))):
                    cut = _Cut(run, stage, client, link, pulse)
                    await cut.go(victim, hangs_up=bool(number % 2))
                stale = (await client.queue_stats()).stale_writes
            run.result.figures["writes refused"] = str(stale)
            run.result.expect(
                stale, "partition", "no write was refused: the run proves nothing about them"
            )


async def _registered(client: AsyncClient) -> bool:
    return len(await client.workers()) == WORKERS


async def _warm_up(client: AsyncClient) -> None:
    """Has the workers start their child processes, which takes longer than all else."""
    jobs = [await client.submit("hold.process", 0.5) for _ in range(4 * WORKERS)]
    await asyncio.gather(*(client.wait(job.job_id, timeout=PATIENCE_S) for job in jobs))


class _Cut:
    """One cut of a worker that has jobs, with another beside it."""

    def __init__(
        self, run: Run, stage: Stage, client: AsyncClient, link: FaultProxy, pulse: Pulse
    ) -> None:
        self._run = run
        self._stage = stage
        self._client = client
        self._link = link
        self._pulse = pulse
        self._jobs: list[str] = []

    async def go(self, victim: subprocess.Popen[bytes], *, hangs_up: bool) -> None:
        """Does it, and looks at what came of each job that the victim had."""
        how = "refused" if hangs_up else "silent"
        for type_ in TYPES * JOBS_OF_A_TYPE:
            self._jobs.append((await self._client.submit(type_, DURATION_S)).job_id)
        self._run.result.jobs += len(self._jobs)
        await when(lambda: len(self._starts()) == len(self._jobs), "all jobs have begun")
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
        tally = self._run.result.tally("a worker is cut off for three leases", (13,))
        tally.strikes += 1
        began = self._stage.journal.write("strike", fault="refused" if hangs_up else "silent")
        if hangs_up:
            self._link.refusing = True
            self._link.reset()
        else:
            self._link.frozen = True
        return began

    async def _look_at_outcomes(self) -> None:
        ended = await asyncio.gather(
            *(self._client.wait(job_id, timeout=PATIENCE_S) for job_id in self._jobs)
        )
        for job in ended:
            tokens = [line["token"] for line in self._starts()[job.job_id]]
            self._run.result.expect(
                job.state is JobState.SUCCEEDED and job.result == max(tokens),
                "I5",
                f"{job.type} job {job.job_id} ended {job.state.name} with the result of token "
                f"{job.result}, and was granted under {tokens}",
            )
            self._run.result.expect(
                len(tokens) > 1, "partition", f"job {job.job_id} did not run elsewhere"
            )
            if job.type == "talk":
                await self._look_at_output(job.job_id)

    async def _look_at_output(self, job_id: str) -> None:
        """No chunk of an earlier attempt stands behind one of a later."""
        tokens = []
        async with asyncio.timeout(PATIENCE_S):
            async for event in self._client.watch(job_id):
                if isinstance(event, ChunkEvent):
                    tokens += [int(part.split(b":")[0]) for part in event.data.split(b";")[:-1]]
        self._run.result.expect(
            tokens == sorted(tokens),
            "I5",
            f"the output of job {job_id} goes on with that of the attempt that was cut off",
        )

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
        late_s = self._pulse.worst_s
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
        result.expect(
            again_s[-1] <= LEASE_S + ELSEWHERE_S + late_s,
            "recovery",
            f"{how}: a job ran elsewhere only after {again_s[-1]:.2f} s",
        )
        result.tally("a worker is cut off for three leases").recovery_ms += [
            each * 1000 for each in again_s
        ]
        result.figures[f"{how}: handlers stopped, jobs ran elsewhere after"] = (
            f"at most {stopped_s[-1]:.2f} s, {again_s[-1]:.2f} s (timers were up to {late_s:.2f} s "
            "late)"
        )

    def _starts(self) -> dict[str, list[Line]]:
        starts: dict[str, list[Line]] = {}
        for line in self._stage.lines():
            if line.kind == "start" and line["job"] in self._jobs:
                starts.setdefault(line["job"], []).append(line)
        return starts
