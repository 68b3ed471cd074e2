"""A job that one more crash would have quarantined is run alone."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from penstock.broker import JobState, StaleToken
from penstock.broker.reclaimer import RECLAIM
from penstock.worker import Context, Worker, probation
from tests.broker.rig import tail_of
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from penstock.broker.keys import Slot
    from tests.worker.rig import Rig

CRASHES = 3


async def crash(rig: Rig, times: int = CRASHES - 1) -> None:
    """All jobs that wait are run by a worker that vanishes."""
    engine = rig.broker.engine
    (slot,) = engine.slots(await engine.ensure_queue("default"))
    for _ in range(times):
        for grant in await rig.broker.attempts.claim(slot, "gone", 100, 60_000):
            await lose_lease(rig, slot, grant.job_id)


async def lose_lease(rig: Rig, slot: Slot, job_id: str) -> None:
    tail = tail_of(job_id)
    tick = int(await rig.broker.link.call("ZSCORE", slot.leases(), tail))
    await rig.broker.engine.run(RECLAIM, [slot.base], CRASHES, tail, tick)


class Company:
    """Jobs that note who else runs."""

    def __init__(self) -> None:
        self.app = Worker(slots=10)
        self.running: set[str] = set()
        self.met: dict[str, set[str]] = {}
        self.may_end = asyncio.Event()
        self.app.job("work")(self._work)

    async def _work(self, name: str, ctx: Context) -> str:
        self.running.add(name)
        for each in self.running:
            self.met.setdefault(each, set()).update(self.running - {each})
        self.met.setdefault(name, set()).update(self.running - {name})
        try:
            if name == "long":
                await self.may_end.wait()
            else:
                await asyncio.sleep(0.05)
        finally:
            self.running.discard(name)
        del ctx
        return name


async def test_suspects_run_alone_and_one_after_the_other(rig: Rig) -> None:
    company = Company()
    suspects = [await rig.submit("work", f"suspect {number}") for number in range(3)]
    await crash(rig)
    others = [await rig.submit("work", f"other {number}") for number in range(5)]
    async with rig.working(company.app):
        for job_id in suspects + others:
            job = await rig.until(job_id, JobState.SUCCEEDED, within_s=30)
            assert (job.crashes, job.attempt) == ((2, 3) if job_id in suspects else (0, 1))
    assert not any(company.met[name] for name in company.met if name.startswith("suspect"))


async def beside_a_long_job(rig: Rig) -> str:
    """Id of a suspect that waits in a worker, since another job runs there."""
    suspect = await rig.submit("work", "suspect")
    await crash(rig)
    await rig.submit("work", "long")
    return suspect


async def held(rig: Rig, company: Company, suspect: str) -> None:
    await eventually(lambda: "long" in company.running, "the long job runs", within_s=15)
    await rig.until(suspect, JobState.RUNNING)


async def test_a_suspect_waits_for_who_runs_already(rig: Rig) -> None:
    company = Company()
    suspect = await beside_a_long_job(rig)
    async with rig.working(company.app):
        await held(rig, company, suspect)
        later = await rig.submit("work", "later")
        company.may_end.set()
        await rig.until(suspect, JobState.SUCCEEDED)
        await rig.until(later, JobState.SUCCEEDED)
    assert not company.met["suspect"]


async def test_a_suspect_keeps_nobody_waiting_for_ever(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A job that runs may need one that is queued."""
    monkeypatch.setattr(probation, "ALONE_WITHIN_S", 0.2)
    company = Company()

    @company.app.job("release")
    async def release() -> None:
        company.may_end.set()

    suspect = await beside_a_long_job(rig)
    async with rig.working(company.app):
        await held(rig, company, suspect)
        await rig.until(await rig.submit("release"), JobState.SUCCEEDED)
        job = await rig.until(suspect, JobState.SUCCEEDED)
    assert (job.attempt, job.crashes) == (3, 2)
    assert not company.met["suspect"]


async def test_a_suspect_that_waits_can_be_cancelled(rig: Rig) -> None:
    company = Company()
    suspect = await beside_a_long_job(rig)
    async with rig.working(company.app):
        await held(rig, company, suspect)
        await rig.broker.jobs.cancel(suspect, "no more")
        await rig.until(suspect, JobState.CANCELLED)
        company.may_end.set()
    assert "suspect" not in company.met


async def test_a_suspect_that_waits_is_handed_back_by_a_drain(rig: Rig) -> None:
    company = Company()
    suspect = await beside_a_long_job(rig)
    async with rig.working(company.app, drain_grace_s=0.1):
        await held(rig, company, suspect)
    job = await rig.job(suspect)
    assert (job.state, job.attempt, job.crashes) == (JobState.QUEUED, 2, 2)


async def test_a_suspect_is_charged_only_once_it_has_begun(rig: Rig) -> None:
    job_id = await rig.submit("work", "suspect")
    await crash(rig)
    engine, attempts = rig.broker.engine, rig.broker.attempts
    (slot,) = engine.slots(await engine.ensure_queue("default"))
    (grant,) = await attempts.claim(slot, "gone", 1, 60_000, max_crashes=CRASHES)
    assert grant.suspect
    await lose_lease(rig, slot, job_id)
    job = await rig.job(job_id)
    assert (job.state, job.attempt, job.crashes) == (JobState.QUEUED, 2, 2)
    (grant,) = await attempts.claim(slot, "gone", 1, 60_000, max_crashes=CRASHES)
    await attempts.begin(job_id, grant.fencing_token)
    await lose_lease(rig, slot, job_id)
    job = await rig.job(job_id)
    assert (job.state, job.attempt, job.crashes) == (JobState.FAILED, 3, 3)
    with pytest.raises(StaleToken):
        await attempts.begin(job_id, grant.fencing_token)
