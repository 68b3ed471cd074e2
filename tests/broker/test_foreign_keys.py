"""A key of another type in the place of one record: the housekeeping of all others goes on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from penstock.broker import JobState, ids
from penstock.broker.reclaimer import RECLAIM
from tests.broker.rig import LONG_AGO, Rig, tail_of
from tests.broker.scheduling import ID, come_due, created, fire

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

pytestmark = pytest.mark.foreign_hands


@pytest.fixture
async def rig(rig: Rig) -> AsyncIterator[Rig]:
    """The rig; what stands in the place of records is taken away in the end."""
    yield rig
    for key in await rig.call("KEYS", rig.slot.base + b":[jy]:*"):
        if await rig.call("TYPE", key) == b"string":
            await rig.call("DEL", key)


async def overwrite(rig: Rig, job_id: str) -> None:
    await rig.call("SET", rig.slot.record(tail_of(job_id)), "not a record")


async def test_a_lease_whose_record_cannot_be_read_holds_up_no_visit(
    rig: Rig, caplog: pytest.LogCaptureFixture
) -> None:
    await overwrite(rig, (await rig.granted()).job_id)
    delayed = await rig.submit(delay_ms=60_000)
    await rig.come_due(delayed)
    await rig.broker.housekeeper.visit(rig.slot)
    assert await rig.state(delayed) is JobState.QUEUED
    assert await rig.call("ZCARD", rig.slot.leases()) == 0
    assert "WRONGTYPE" in caplog.text


async def test_the_leases_of_others_are_taken_back_all_the_same(rig: Rig) -> None:
    jobs = [(await rig.granted()).job_id for _ in range(3)]
    lost = [part for job_id in jobs for part in (tail_of(job_id), await rig.tick(job_id) or 0)]
    await overwrite(rig, jobs[1])
    queued, ended, failed = await rig.broker.engine.run(RECLAIM, [rig.slot.base], 3, *lost)
    assert (queued, ended) == (2, 0)
    assert failed[0] == tail_of(jobs[1]).encode()
    assert {grant.job_id for grant in await rig.claim()} == {jobs[0], jobs[2]}


async def test_others_come_due_all_the_same(rig: Rig, caplog: pytest.LogCaptureFixture) -> None:
    jobs = [await rig.submit(delay_ms=60_000) for _ in range(3)]
    for job_id in jobs:
        await rig.come_due(job_id)
    await overwrite(rig, jobs[1])
    await rig.broker.housekeeper.visit(rig.slot)
    assert "cannot be queued: 1" in caplog.text
    assert await rig.call("ZCARD", rig.slot.due()) == 0
    assert {grant.job_id for grant in await rig.claim()} == {jobs[0], jobs[2]}


async def test_others_expire_all_the_same(rig: Rig, caplog: pytest.LogCaptureFixture) -> None:
    jobs = [await rig.submit(delay_ms=60_000, expires_in_ms=3_600_000) for _ in range(3)]
    for job_id in jobs:
        await rig.pass_deadline(job_id)
    await overwrite(rig, jobs[1])
    await rig.broker.housekeeper.visit(rig.slot)
    assert "cannot be expired: 1" in caplog.text
    assert await rig.call("ZCARD", rig.slot.deadlines()) == 0
    assert [await rig.state(jobs[0]), await rig.state(jobs[2])] == [JobState.EXPIRED] * 2


async def test_others_are_forgotten_all_the_same(rig: Rig) -> None:
    grants = [await rig.granted() for _ in range(3)]
    for grant in grants:
        await rig.complete(grant)
    await overwrite(rig, grants[1].job_id)
    ended = rig.slot.ended(JobState.SUCCEEDED)
    for grant in grants:
        await rig.call("ZADD", ended, "XX", LONG_AGO, tail_of(grant.job_id))
    await rig.broker.housekeeper.visit(rig.slot)
    assert await rig.call("ZCARD", ended) == 0
    assert await rig.record(grants[0].job_id) == await rig.record(grants[2].job_id) == {}


async def test_other_schedules_fire_all_the_same(rig: Rig) -> None:
    for name in (ID, "sound"):
        await come_due(rig, await created(rig, schedule_id=name))
    await rig.call("SET", rig.slot.schedule(ids.schedule_tail("default", ID)), "not a schedule")
    await fire(rig)
    assert [job.schedule_id for job in await rig.listed()] == ["sound"]
    assert await rig.call("ZCARD", rig.slot.schedules()) == 1


async def test_a_schedule_fires_whatever_stands_in_the_place_of_its_last_job(rig: Rig) -> None:
    schedule = await created(rig)
    await come_due(rig, schedule, late_ms=1)
    await fire(rig)
    (last,) = await rig.listed()
    await overwrite(rig, last.job_id)
    await come_due(rig, schedule)
    await fire(rig)
    assert (await rig.counters())["submitted"] == 2
