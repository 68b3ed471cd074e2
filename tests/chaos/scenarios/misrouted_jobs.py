"""Jobs that no worker has a handler for, or can read."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, ClassVar, Final

from penstock.broker import Broker, Content, NewJob
from penstock.client import FailureReason, JobState
from tests.chaos.checks import expect_undisturbed
from tests.chaos.scenario import Scenario
from tests.chaos.waiting import PATIENCE_S
from tests.chaos.worlds.stage import Stage

if TYPE_CHECKING:
    from penstock.client import AsyncClient
    from tests.chaos.scenario import Run

__all__ = ["MisroutedJobs"]

LEASE_S: Final = 1.0
JOBS: Final = 10
#: For so long it is watched how often they come back (s).
WATCHED_S: Final = 10.0
#: Between two looks at one job (s): the first pause, less its jitter.
SHORTEST_PAUSE_S: Final = 1.6


class MisroutedJobs(Scenario):
    """Workers meet jobs of a type that they have no handler for, and payloads that are no JSON."""

    name: ClassVar = "misrouted_jobs"
    rows: ClassVar = (36,)
    expects: ClassVar = (
        "the jobs come back seldom, at no cost of an attempt, and run once somebody knows their "
        "type; what cannot be decoded is a dead letter at once"
    )
    seconds: ClassVar = 25.0

    async def run(self, run: Run) -> None:
        """See `Scenario`."""
        async with Stage(run, lease_s=LEASE_S) as stage:
            await stage.start_gateway()
            workers = [stage.start_worker() for _ in range(2)]
            async with stage.connect() as client:
                await stage.registered(client)
                jobs = [
                    (await client.submit("nobody", allow_unregistered=True)).job_id
                    for _ in range(JOBS)
                ]
                watched_s = WATCHED_S * max(1.0, run.scale)
                await asyncio.sleep(watched_s)
                released = (await client.queue_stats()).misrouted
                most = JOBS * (2 + watched_s / SHORTEST_PAUSE_S)
                rate = released / watched_s / JOBS
                run.result.figures["a job without a handler is handed back"] = f"{rate:.2f} times/s"
                run.result.expect(
                    0 < released <= most,
                    "misrouted",
                    f"{JOBS} jobs were handed back {released} times: {rate:.2f}/s each",
                )
                await self._send_nonsense(run, stage, client)
                stage.start_worker("tests.chaos.handlers.behaviours:latecomer")
                for worker in workers:  # As a deployment ends.
                    worker.terminate()
                ended = [await client.wait(job_id, timeout=PATIENCE_S) for job_id in jobs]
        expect_undisturbed(run.result, ended, "misrouted", "known at last")
        run.result.jobs += JOBS
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
