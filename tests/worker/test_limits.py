"""Limits hold over the whole fleet, whatever its workers have room for, and cost no time."""

import asyncio
import contextlib
import signal
import time
from collections import Counter

import pytest

from penstock.broker import JobState, Policy, PolicyKey
from penstock.worker import Worker
from tests.support.waiting import eventually
from tests.worker.rig import Rig


@pytest.mark.parametrize("job_type", ["", "busy"])
async def test_a_fleet_runs_as_many_as_may_and_no_more(rig: Rig, job_type: str) -> None:
    app = Worker(slots=8)
    running: Counter[str] = Counter()
    most: Counter[str] = Counter()

    async def work(*names: str) -> None:
        running.update(names)
        most.update({name: max(0, running[name] - most[name]) for name in names})
        await asyncio.sleep(0.01)  # The work.
        running.subtract(names)

    @app.job("busy")
    async def busy() -> None:
        await work("busy", "")

    @app.job("other")
    async def other() -> None:
        await work("other", "")

    await rig.broker.policies.put(PolicyKey("default", job_type), Policy(concurrency=3))
    jobs = [await rig.submit(kind) for _ in range(30) for kind in ("busy", "other")]
    began = time.monotonic()
    async with contextlib.AsyncExitStack() as fleet:
        for _ in range(3):
            await fleet.enter_async_context(rig.working(app))
        for job_id in jobs:
            await rig.until(job_id, JobState.SUCCEEDED)
    assert most[job_type] == 3
    # Ten times three and more, of 10 ms each: if each place had waited for a poll, 10 s at least.
    assert time.monotonic() - began < 8


async def test_places_of_a_worker_that_was_killed_are_free_again(rig: Rig) -> None:
    await rig.broker.policies.put(PolicyKey("default", "endless"), Policy(concurrency=1))
    first, second = [await rig.submit("endless") for _ in range(2)]
    async with rig.process("app", lease_s=1) as worker:
        await rig.until(first, JobState.RUNNING)
        worker.signal(signal.SIGKILL)
        await worker.exited()
    async with rig.process("app", lease_s=1):
        await rig.until(second, JobState.RUNNING, within_s=30)
        states = [(await rig.job(job_id)).state for job_id in (first, second)]
        assert states.count(JobState.RUNNING) == 1
        for job_id in (first, second):
            await rig.broker.jobs.cancel(job_id, "enough")
            await rig.ended(job_id)
    await eventually(lambda: _nobody_holds(rig), "no place is taken")


async def _nobody_holds(rig: Rig) -> bool:
    stats = await rig.stats()
    return all(load.running == load.held == 0 for load in stats.types.values())
