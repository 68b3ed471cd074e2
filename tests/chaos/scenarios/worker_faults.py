"""What handlers and deployments do to a worker: hogging it, stopping it, knowing too little."""

from __future__ import annotations

import asyncio
import time
from functools import partial
from typing import TYPE_CHECKING, ClassVar, Final

from penstock.broker import Broker, Content, NewJob
from penstock.client import FailureReason, JobState
from tests.chaos.checks import expect_undisturbed, starts_of
from tests.chaos.scenario import Scenario
from tests.chaos.waiting import PATIENCE_S, when
from tests.chaos.worlds.loop_lag import LoopLag
from tests.chaos.worlds.stage import Stage

if TYPE_CHECKING:
    from penstock.client import AsyncClient, Job
    from tests.chaos.history.journal import Line
    from tests.chaos.scenario import Run

__all__ = ["DrainedWorker", "HoggedWorker", "MisroutedJobs"]

LEASE_S: Final = 1.0
#: Of a job that is not to end by itself (s).
FOR_EVER_S: Final = 3_600.0


class HoggedWorker(Scenario):
    """A coroutine blocks its event loop, or C code the interpreter's lock, for three leases."""

    name: ClassVar = "hogged_worker"
    rows: ClassVar = (4,)
    expects: ClassVar = (
        "a blocked event loop costs no lease; a blocked interpreter does, the job runs elsewhere, "
        "and the outcome is that of its last attempt"
    )
    seconds: ClassVar = 12.0

    async def run(self, run: Run) -> None:
        """See `Scenario`."""
        async with Stage(run, lease_s=LEASE_S, max_crashes=100) as stage, LoopLag() as lag:
            await stage.start_gateway()
            for _ in range(2):
                stage.start_worker()
            async with stage.connect() as client:
                await stage.registered(client)
                for _ in range(run.scaled(1)):
                    spun = await _run_all(client, ["spin", "hold", "hold.thread"], 3 * LEASE_S)
                    # A machine on which nothing runs for so long costs leases, too.
                    excused = lag.worst_s > LEASE_S / 4
                    if excused:
                        name = "leases beside a blocked loop"
                        run.result.figures[name] = f"not judged: {lag.worst_s:.2f} s late here"
                    for job in spun:
                        run.result.expect(
                            excused or (job.crashes, job.attempt) == (0, 1),
                            "lease",
                            f"{job.type} lost its lease beside a coroutine that blocks the loop",
                        )
                    (gripped,) = await _run_all(client, ["grip"], 3 * LEASE_S)
                    tokens = _tokens_of(gripped.job_id, stage.lines())
                    run.result.expect(
                        gripped.result == max(tokens) and len(tokens) > 1 and gripped.crashes,
                        "I5",
                        f"a job that blocked the interpreter under tokens {tokens} ended with the "
                        f"result of {gripped.result}, after {gripped.crashes} crashes",
                    )
                    run.result.jobs += len(spun) + 1
                stats = await client.queue_stats()
        for fault in ("the event loop is blocked", "the interpreter is blocked"):
            run.result.tally(f"{fault} for three leases", self.rows).strikes += 1
        run.result.figures["writes refused"] = str(stats.stale_writes)


class DrainedWorker(Scenario):
    """A worker is told to stop (SIGTERM); some jobs end within its grace, others do not."""

    name: ClassVar = "drained_worker"
    rows: ClassVar = (6,)
    expects: ClassVar = (
        "jobs end within the grace, or are handed back and run elsewhere, at no cost of an "
        "attempt; the worker exits in time"
    )
    seconds: ClassVar = 20.0

    SHORT_S: ClassVar = 0.5
    GRACE_S: ClassVar = 3.0
    STOP_GRACE_S: ClassVar = 1.0
    #: How much later than its graces a worker has ended (s).
    EXIT_S: ClassVar = 2.0
    TYPES: ClassVar = ("hold", "hold.thread", "hold.process") * 2

    async def run(self, run: Run) -> None:
        """See `Scenario`."""
        async with (
            Stage(
                run, lease_s=10, drain_grace_s=self.GRACE_S, stop_grace_s=self.STOP_GRACE_S
            ) as stage,
            LoopLag() as lag,
        ):
            await stage.start_gateway()
            exits_s = []
            async with stage.connect() as client:
                worker = stage.start_worker()
                await stage.registered(client)
                for _ in range(run.scaled(2, at_least=2)):
                    long = await self._begin(stage, client, FOR_EVER_S)
                    short = await self._begin(stage, client, self.SHORT_S)
                    began_s = time.monotonic()
                    worker.terminate()
                    heir = stage.start_worker()
                    status = await asyncio.to_thread(worker.wait)
                    worker = heir
                    exits_s.append(time.monotonic() - began_s)
                    run.result.expect(status == 0, "drain", f"the worker exited with {status}")
                    await when(partial(_begun, stage, long, times=2), "the long jobs run elsewhere")
                    await self._judge(run, client, long, short)
        run.result.tally("a worker is told to stop", self.rows).strikes += len(exits_s)
        run.result.figures[f"a worker with a grace of {self.GRACE_S:g} s exits after"] = (
            f"{max(exits_s):.1f} s at worst"
        )
        run.result.expect(
            max(exits_s) <= self.GRACE_S + self.STOP_GRACE_S + self.EXIT_S + lag.worst_s,
            "drain",
            f"a worker took {max(exits_s):.1f} s to exit",
        )

    async def _begin(self, stage: Stage, client: AsyncClient, seconds: float) -> list[str]:
        """Ids of jobs of all kinds, all of which run."""
        jobs = [(await client.submit(type_, seconds)).job_id for type_ in self.TYPES]
        await when(partial(_begun, stage, jobs), "the jobs have begun")
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


class MisroutedJobs(Scenario):
    """Workers meet jobs of a type that they have no handler for, and payloads that are no JSON."""

    name: ClassVar = "misrouted_jobs"
    rows: ClassVar = (36,)
    expects: ClassVar = (
        "the jobs come back seldom, at no cost of an attempt, and run once somebody knows their "
        "type; what cannot be decoded is a dead letter at once"
    )
    seconds: ClassVar = 25.0

    JOBS: ClassVar = 10
    WATCHED_S: ClassVar = 10.0
    #: Between two looks at one job (s): the first pause, less its jitter.
    SHORTEST_PAUSE_S: ClassVar = 1.6

    async def run(self, run: Run) -> None:
        """See `Scenario`."""
        async with Stage(run, lease_s=LEASE_S) as stage:
            await stage.start_gateway()
            workers = [stage.start_worker() for _ in range(2)]
            async with stage.connect() as client:
                await stage.registered(client)
                jobs = [
                    (await client.submit("nobody", allow_unregistered=True)).job_id
                    for _ in range(self.JOBS)
                ]
                watched_s = self.WATCHED_S * max(1.0, run.scale)
                await asyncio.sleep(watched_s)
                released = (await client.queue_stats()).misrouted
                most = self.JOBS * (2 + watched_s / self.SHORTEST_PAUSE_S)
                rate = released / watched_s / self.JOBS
                run.result.figures["a job without a handler is handed back"] = f"{rate:.2f} times/s"
                run.result.expect(
                    0 < released <= most,
                    "misrouted",
                    f"{self.JOBS} jobs were handed back {released} times: {rate:.2f}/s each",
                )
                await self._send_nonsense(run, stage, client)
                stage.start_worker("tests.chaos.handlers.behaviours:latecomer")
                for worker in workers:  # As a deployment ends.
                    worker.terminate()
                ended = [await client.wait(job_id, timeout=PATIENCE_S) for job_id in jobs]
        expect_undisturbed(run.result, ended, "misrouted", "known at last")
        run.result.jobs += self.JOBS
        run.result.tally("no worker has a handler for a type", self.rows).strikes += 1

    async def _send_nonsense(self, run: Run, stage: Stage, client: AsyncClient) -> None:
        """Past the gateway, which would refuse it."""
        async with Broker(stage.server.url) as broker:
            for number, text in enumerate((b"{", b"\xff\xfe", b'"no number"')):
                new = NewJob(
                    "hold", "default", f"nonsense {number}", Content(text, "application/json")
                )
                job_id = (await broker.jobs.submit(new)).job_id
                job = await client.wait(job_id, timeout=PATIENCE_S)
                reason = job.failure.reason if job.failure else None
                run.result.expect(
                    (job.state, reason, job.attempt)
                    == (JobState.FAILED, FailureReason.NON_RETRYABLE, 1),
                    "undecodable",
                    f"{text!r} ended {job.state.name} for {reason} in attempt {job.attempt}",
                )


async def _run_all(client: AsyncClient, types: list[str], seconds: float) -> list[Job]:
    handles = [await client.submit(type_, seconds) for type_ in types]
    return [await handle.wait(timeout=PATIENCE_S) for handle in handles]


def _tokens_of(job_id: str, lines: list[Line]) -> list[int]:
    return [line["token"] for line in starts_of(lines).get(job_id, ())]


def _begun(stage: Stage, jobs: list[str], times: int = 1) -> bool:
    """Whether each has been begun so often."""
    starts = starts_of(stage.lines(), jobs)
    return len(starts) == len(jobs) and all(len(each) >= times for each in starts.values())
