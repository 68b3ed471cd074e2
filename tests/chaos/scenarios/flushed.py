"""Everything is deleted (FLUSHALL)."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from typing import TYPE_CHECKING, ClassVar, Final

from penstock.client import JobState, NewJob, NotFound, Schedule, StatusError
from tests.chaos.load.callers import Callers
from tests.chaos.scenario import Scenario
from tests.chaos.waiting import PATIENCE_S, when
from tests.chaos.worlds.stage import Stage

if TYPE_CHECKING:
    import subprocess

    from penstock.client import AsyncClient
    from tests.chaos.scenario import Run

__all__ = ["Flushed"]

LEASE_S: Final = 2.0
SUBMITTERS: Final = 4
FLUSHES: Final = 3
#: New jobs run after it (s), whatever was lost: workers look every 10 s what is known of them.
WORKS_WITHIN_S: Final = 15.0


class Flushed(Scenario):
    """FLUSHALL under load, several times: all that was acknowledged is lost, as documented."""

    name: ClassVar = "flushed"
    rows: ClassVar = (22,)
    expects: ClassVar = (
        "without a restart of anything, types are known and new jobs run within 15 s; old handles "
        "answer NOT_FOUND, watches end, schedules are gone; no process crashes or loops"
    )
    seconds: ClassVar = 60.0

    async def run(self, run: Run) -> None:
        """See `Scenario`."""
        async with Stage(run, lease_s=LEASE_S) as stage:
            gateways = [await stage.start_gateway() for _ in range(2)]
            workers = [stage.start_worker() for _ in range(2)]
            async with stage.connect(timeout=5.0) as client:
                await stage.registered(client)
                async with Callers() as load:
                    for _ in range(SUBMITTERS):
                        load.submit_by(client)
                    for number in range(run.scaled(FLUSHES)):
                        await self._flush(run, stage, client)
                        run.say(f"flushed {number + 1} times")
                # What they were told of jobs that were lost is no matter.
                run.result.jobs += load.calls["submit"]
            for process in (*gateways, *workers):
                _look_at(run, stage, process)

    @staticmethod
    async def _flush(run: Run, stage: Stage, client: AsyncClient) -> None:
        result = run.result
        tally = result.tally("FLUSHALL", Flushed.rows)
        tally.strikes += 1
        old = await client.submit("hold", 60.0)
        schedule = f"schedule-{tally.strikes}"
        await client.create_schedule(schedule, Schedule(NewJob("hold", 0.0), every=60))
        await when(lambda: _runs(client, old.job_id), "a job runs")
        waiting = asyncio.create_task(_outcome(client, old.job_id))
        await asyncio.to_thread(stage.server.ask, "FLUSHALL")
        flushed_s = time.monotonic()

        async def works() -> bool:
            with suppress(StatusError, TimeoutError):
                job = await client.submit("hold", 0.0)
                return (await client.wait(job.job_id, timeout=5)).state is JobState.SUCCEEDED
            return False

        await when(works, "new jobs run", 4 * PATIENCE_S)
        took_s = time.monotonic() - flushed_s
        tally.recovery_ms.append(took_s * 1000)
        result.expect(
            took_s <= WORKS_WITHIN_S, "recovery", f"new jobs ran only {took_s:.1f} s after FLUSHALL"
        )
        for what, call in {
            "the status of an old job": client.status(old.job_id),
            "an old schedule": client.get_schedule(schedule),
        }.items():
            try:
                found = await call
            except NotFound:
                continue
            result.expect(None, "flushed", f"{what} is not NOT_FOUND, but {found}")
        told = await asyncio.wait_for(waiting, PATIENCE_S)
        result.expect(told == "NOT_FOUND", "flushed", f"who waited for an old job was told {told}")


async def _runs(client: AsyncClient, job_id: str) -> bool:
    with suppress(StatusError):
        return (await client.status(job_id)).state is JobState.RUNNING
    return False


async def _outcome(client: AsyncClient, job_id: str) -> str:
    """What somebody is told who waits for a job."""
    try:
        return (await client.wait(job_id, timeout=PATIENCE_S)).state.name
    except StatusError as error:
        return error.code
    except TimeoutError:
        return "nothing"


def _look_at(run: Run, stage: Stage, process: subprocess.Popen[bytes]) -> None:
    log = stage.log_of(process)
    run.result.expect(process.poll() is None, "flushed", f"a process has ended: {log[-500:]}")
    crashes = [line for line in log.splitlines() if '"crashed"' in line or "Traceback" in line]
    run.result.expect(not crashes, "flushed", "a component crashed", *crashes[:3])
