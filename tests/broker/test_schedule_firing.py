"""Schedules whose time has come: each occurrence makes one job, by whoever comes first."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from penstock.broker import (
    Broker,
    BrokerOptions,
    Content,
    Janitor,
    Job,
    JobState,
    Keep,
    NotFound,
    Policy,
    PolicyKey,
    Priority,
    StorageFull,
    SubmitOutcome,
)
from penstock.broker.info import parse_info
from penstock.broker.schedule import CatchUp, Overlap
from penstock.broker.timing import Timing
from tests.broker.rig import QUEUE, Rig
from tests.broker.scheduling import HOUR, ID, come_due, created, definition, fire, jobs_of, template
from tests.support.waiting import eventually


async def test_an_occurrence_becomes_a_job(rig: Rig) -> None:
    schedule = await created(
        rig, job=template(payload=Content(b"y" * 200, "text/plain"), expires_in_ms=60_000)
    )
    occurrence = await come_due(rig, schedule)
    await fire(rig)
    (listed,) = await jobs_of(rig)
    job = await rig.job(listed.job_id)
    assert (job.schedule_id, job.occurrence_ms, job.state) == (ID, occurrence, JobState.QUEUED)
    assert job.payload == Content(b"y" * 200, "text/plain")
    assert job.deadline_ms == job.created_ms + 60_000
    after = await rig.broker.schedules.get(ID)
    assert (after.fired, after.last_job_id, after.last_run_ms) == (1, job.job_id, job.created_ms)
    assert after.next_ms == occurrence + HOUR
    (grant,) = await rig.claim()
    assert (grant.schedule_id, grant.occurrence_ms) == (ID, occurrence)
    await rig.fail(grant, "final")
    # Run anew, it still knows what it stands for.
    again = await rig.broker.jobs.retry(job.job_id, "again")
    assert (await rig.job(again.job_id)).occurrence_ms == occurrence


async def test_each_occurrence_is_fired_once_whoever_comes(rig: Rig, other: Broker) -> None:
    late_ms = 50_000
    for number in range(5):
        timing = Timing(interval_ms=1_000)
        schedule = await created(
            rig, schedule_id=f"s{number}", timing=timing, overlap=Overlap.ALLOW
        )
        await come_due(rig, schedule, late_ms)
    for _ in range(12):
        await asyncio.gather(fire(rig), fire(rig), fire(rig, other), fire(rig, other))
    found = await jobs_of(rig)
    by_schedule: dict[str, list[int]] = {}
    for job in found:
        assert job.occurrence_ms is not None
        by_schedule.setdefault(job.schedule_id, []).append(job.occurrence_ms)
    assert len(by_schedule) == 5
    for schedule_id, occurrences in by_schedule.items():
        first = occurrences[0]
        assert occurrences == [first + 1_000 * n for n in range(len(occurrences))]
        assert len(occurrences) >= 50
        assert (await rig.broker.schedules.get(schedule_id)).fired == len(occurrences)


@pytest.mark.parametrize("state", ["QUEUED", "RUNNING"])
async def test_overlap_skip_leaves_the_occurrence_out(rig: Rig, state: str) -> None:
    schedule = await created(rig)
    await come_due(rig, schedule, 2_000)
    await fire(rig)
    if state == "RUNNING":
        await rig.claim()
    occurrence = await come_due(rig, schedule)
    await fire(rig)
    assert len(await jobs_of(rig)) == 1
    after = await rig.broker.schedules.get(ID)
    assert (after.fired, after.skipped, after.next_ms) == (1, 1, occurrence + HOUR)


async def test_overlap_queue_waits_for_the_end_of_the_last_job(rig: Rig) -> None:
    schedule = await created(rig, overlap=Overlap.QUEUE)
    await come_due(rig, schedule, 2_000)
    await fire(rig)
    (grant,) = await rig.claim()
    occurrence = await come_due(rig, schedule, 1_000)
    await fire(rig)
    held = await rig.broker.schedules.get(ID)
    assert (held.fired, held.skipped, held.next_ms) == (1, 0, occurrence)
    await rig.complete(grant)

    async def fired() -> bool:
        await fire(rig)
        return len(await jobs_of(rig)) == 2

    await eventually(fired, "the occurrence that waited is fired")
    assert (await jobs_of(rig))[-1].occurrence_ms == occurrence


@pytest.mark.parametrize("state", ["QUEUED", "RUNNING"])
async def test_overlap_cancel_stops_the_last_job_and_fires(rig: Rig, state: str) -> None:
    schedule = await created(rig, overlap=Overlap.CANCEL_RUNNING)
    await come_due(rig, schedule, 2_000)
    await fire(rig)
    if state == "RUNNING":
        await rig.claim()
    await come_due(rig, schedule)
    await fire(rig)
    first, second = await jobs_of(rig)
    assert second.state is JobState.QUEUED
    assert first.cancel_reason == "the next occurrence of its schedule is due"
    assert first.cancel_requested == (state == "RUNNING")
    assert (first.state is JobState.CANCELLED) == (state == "QUEUED")


@pytest.mark.parametrize("overlap", [Overlap.SKIP, Overlap.QUEUE, Overlap.CANCEL_RUNNING])
async def test_a_job_by_hand_does_not_hide_the_one_of_the_last_occurrence(
    rig: Rig, overlap: Overlap
) -> None:
    schedule = await created(rig, overlap=overlap)
    await come_due(rig, schedule, 2_000)
    await fire(rig)
    await rig.claim()
    by_hand = await rig.broker.schedules.trigger(ID, "by hand")
    if overlap is not Overlap.CANCEL_RUNNING:
        (grant,) = await rig.claim()
        await rig.complete(grant)
    await come_due(rig, schedule)
    await fire(rig)
    _, first, *second = await jobs_of(rig)
    assert len(second) == (overlap is Overlap.CANCEL_RUNNING)
    assert first.cancel_requested == (overlap is Overlap.CANCEL_RUNNING)
    expected = JobState.CANCELLED if overlap is Overlap.CANCEL_RUNNING else JobState.SUCCEEDED
    assert await rig.state(by_hand.job_id) is expected


async def test_overlap_allow_fires_all_the_same(rig: Rig) -> None:
    schedule = await created(rig, overlap=Overlap.ALLOW)
    for late_ms in (2_000, 1_000):
        await come_due(rig, schedule, late_ms)
        await fire(rig)
    assert [job.state for job in await jobs_of(rig)] == [JobState.QUEUED] * 2


@pytest.mark.parametrize(
    ("catch_up", "jobs", "missed"),
    [(CatchUp.NONE, 0, 3), (CatchUp.LAST, 1, 2), (CatchUp.ALL, 2, 1)],
)
async def test_after_an_outage(rig: Rig, catch_up: CatchUp, jobs: int, missed: int) -> None:
    schedule = await created(rig, overlap=Overlap.ALLOW, catch_up=catch_up, limit=2)
    oldest = await come_due(rig, schedule, 2 * HOUR + HOUR // 2)
    await fire(rig)
    found = [job.occurrence_ms for job in await jobs_of(rig)]
    assert found == [oldest + HOUR * n for n in range(3 - jobs, 3)]
    after = await rig.broker.schedules.get(ID)
    assert (after.fired, after.missed, after.skipped) == (jobs, missed, 0)
    assert after.next_ms == oldest + 3 * HOUR


async def test_a_backlog_keeps_no_other_schedule_waiting(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else others would be taken for missed, though somebody was there all the time."""
    monkeypatch.setattr("penstock.broker.scheduler.SCRIPT_BATCH", 1)
    monkeypatch.setattr("penstock.broker.scheduler.STEPS_AT_ONCE", 1)
    behind = await created(
        rig,
        schedule_id="behind",
        timing=Timing(interval_ms=1_000),
        overlap=Overlap.ALLOW,
        catch_up=CatchUp.ALL,
    )
    in_time = await created(rig)
    await come_due(rig, behind, 30_000)
    await come_due(rig, in_time)
    for _ in range(2):
        await fire(rig)
    assert {job.schedule_id for job in await jobs_of(rig)} == {"behind", ID}


async def test_a_schedule_ends_after_its_last_occurrence(rig: Rig) -> None:
    schedule = await created(rig, timing=Timing(interval_ms=HOUR, end_ms=2 * 10**12))
    last = replace(schedule, timing=replace(schedule.timing, end_ms=schedule.now_ms + 10))
    await come_due(rig, last)
    await fire(rig)
    after = await rig.broker.schedules.get(ID)
    assert (after.fired, after.next_ms, after.run_times(3)) == (1, None, [])


async def test_a_firing_that_a_change_overtook_is_void(rig: Rig, other: Broker) -> None:
    schedule = await created(rig)
    await come_due(rig, schedule)
    await asyncio.gather(
        fire(rig), other.schedules.pause(ID), fire(rig, other), other.schedules.resume(ID)
    )
    after = await rig.broker.schedules.get(ID)
    assert after.fired == len(await jobs_of(rig)) <= 1


async def test_a_job_made_by_hand(rig: Rig) -> None:
    schedules = rig.broker.schedules
    await created(rig)
    await schedules.pause(ID)
    first = await schedules.trigger(ID, "r1")
    again = await schedules.trigger(ID, "r1")
    second = await schedules.trigger(ID, "r2")
    assert (first.outcome, first.state) == (SubmitOutcome.CREATED, JobState.QUEUED)
    assert (again.job_id, again.outcome) == (first.job_id, SubmitOutcome.REPEATED)
    assert second.job_id != first.job_id
    job = await rig.job(first.job_id)
    assert (job.schedule_id, job.occurrence_ms) == (ID, None)
    after = await schedules.get(ID)
    assert (after.triggered, after.fired, after.last_job_id) == (2, 0, second.job_id)
    with pytest.raises(NotFound):
        await schedules.trigger("nobody", "r1")


async def test_jobs_of_a_schedule_that_is_created_anew_are_new(rig: Rig) -> None:
    await created(rig)
    first = await rig.broker.schedules.trigger(ID, "r")
    await rig.broker.schedules.delete(ID)
    await created(rig)
    second = await rig.broker.schedules.trigger(ID, "r")
    assert second.job_id != first.job_id


async def test_whoever_keeps_house_fires_in_time(rig: Rig) -> None:
    """By itself, and without anybody who asks."""
    async with Janitor(rig.broker.housekeeper):
        timing = Timing(interval_ms=1_000)
        await rig.broker.schedules.create(definition(timing=timing, overlap=Overlap.ALLOW))

        async def two() -> bool:
            return len(await jobs_of(rig)) >= 2

        await eventually(two, "it has fired twice", within_s=10)
        await rig.broker.schedules.delete(ID)
    for job in await jobs_of(rig):
        assert job.occurrence_ms is not None
        assert job.created_ms >= job.occurrence_ms


async def test_what_a_definition_leaves_open_follows_the_policy_of_the_moment(rig: Rig) -> None:
    policies = rig.broker.policies
    await created(rig, schedule_id="open", overlap=Overlap.ALLOW)
    asked = template(max_attempts=3, retention_ms=86_400_000, priority=Priority.DEFAULT)
    await created(rig, schedule_id="asked", job=asked)
    policy = Policy(
        max_attempts=7,
        priority=Priority.LOW,
        timeout_ms=9_000,
        succeeded=Keep(age_ms=60_000),
        failed=Keep(age_ms=120_000),
    )
    await policies.put(PolicyKey(QUEUE), policy)

    async def made(schedule_id: str) -> Job:
        return await rig.job((await rig.broker.schedules.trigger(schedule_id, "r")).job_id)

    job = await made("open")
    assert (job.max_attempts, job.priority, job.timeout_ms) == (7, Priority.LOW, 9_000)
    assert (job.retention_ms, job.retention_succeeded_ms) == (120_000, 60_000)
    job = await made("asked")
    assert (job.max_attempts, job.priority, job.timeout_ms) == (3, Priority.DEFAULT, 9_000)
    assert (job.retention_ms, job.retention_succeeded_ms) == (86_400_000, None)
    await come_due(rig, await rig.broker.schedules.get("open"))
    await fire(rig)
    (fired,) = [job for job in await jobs_of(rig) if job.occurrence_ms is not None]
    assert (fired.max_attempts, fired.timeout_ms) == (7, 9_000)


async def test_on_a_server_that_is_nearly_full_schedules_leave_room_for_what_runs(
    url: str,
) -> None:
    async with Broker(url, BrokerOptions(memory_high_water=0.8)) as broker:
        rig = await Rig.on(broker)
        occurrence = await come_due(rig, await created(rig), 1_000)
        used = int(parse_info(await rig.call("INFO", "memory"))["used_memory"])
        await rig.call("CONFIG", "SET", "maxmemory", used * 100 // 88)
        try:
            assert await broker.housekeeper.visit(rig.slot) > 0
            assert not await jobs_of(rig)
            # It is not full yet.
            await rig.submit()
        finally:
            await rig.call("CONFIG", "SET", "maxmemory", 0)
        await fire(rig)
        assert occurrence in [job.occurrence_ms for job in await jobs_of(rig)]


async def test_on_a_full_server_schedules_wait_and_lose_nothing(rig: Rig) -> None:
    await come_due(rig, await created(rig, schedule_id="a"), 1_000)
    occurrence = await come_due(rig, await created(rig, schedule_id="b"), 1_000)
    await rig.call("CONFIG", "SET", "maxmemory", 1)
    try:
        assert await rig.broker.housekeeper.visit(rig.slot) > 0
        with pytest.raises(StorageFull):
            await rig.broker.schedules.create(definition("c"))
        with pytest.raises(StorageFull):
            await rig.broker.schedules.trigger("a", "r")
        assert (await rig.broker.schedules.get("b")).next_ms == occurrence
        assert (await rig.broker.schedules.pause("a")).paused
        assert await rig.broker.schedules.delete("a")
    finally:
        await rig.call("CONFIG", "SET", "maxmemory", 0)
    await fire(rig)
    (job,) = await jobs_of(rig)
    assert (job.schedule_id, job.occurrence_ms) == ("b", occurrence)
