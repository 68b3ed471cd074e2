"""Schedules: stored under claims on their ids, and fired once each, by whoever comes first."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from penstock.broker import (
    Broker,
    BrokerOptions,
    Content,
    FailedPrecondition,
    InvalidArgument,
    Janitor,
    Job,
    JobState,
    Keep,
    LimitExceeded,
    NewJob,
    NotFound,
    Policy,
    PolicyKey,
    Priority,
    StorageFull,
    SubmitOutcome,
    ids,
    schedule_ids,
)
from penstock.broker.errors import ScheduleExists
from penstock.broker.info import parse_info
from penstock.broker.schedule import CatchUp, NewSchedule, Overlap, Schedule, SchedulePolicy
from penstock.broker.schedule_ids import ENROL
from penstock.broker.schedules import CREATE
from penstock.broker.timing import Timing, write_timing
from tests.broker.rig import QUEUE, Rig
from tests.support.waiting import eventually

HOUR = 3_600_000
ID = "nightly"


def template(**options: Any) -> NewJob:  # noqa: ANN401 - the fields of NewJob.
    return NewJob(**{"type": "work", "queue": QUEUE, "request_id": "", **options})


def definition(
    schedule_id: str = ID,
    timing: Timing | None = None,
    job: NewJob | None = None,
    **policies: Any,  # noqa: ANN401 - the fields of SchedulePolicy.
) -> NewSchedule:
    """A schedule of an hour's interval."""
    return NewSchedule(
        schedule_id,
        timing or Timing(interval_ms=HOUR),
        job or template(payload=Content(b'{"n":1}')),
        SchedulePolicy(**policies),
        repr((timing, job, policies)).encode(),
    )


async def created(rig: Rig, **options: Any) -> Schedule:  # noqa: ANN401 - as definition.
    schedule, new = await rig.broker.schedules.create(definition(**options))
    assert new
    return schedule


async def come_due(rig: Rig, schedule: Schedule, late_ms: int = 0) -> int:
    """Its time comes, or came so long ago; returns the occurrence that it waits for now."""
    occurrence = schedule.now_ms - late_ms
    tail = ids.schedule_tail("default", schedule.schedule_id)
    anchor = replace(schedule.timing, anchor_ms=occurrence)
    key = rig.slot.schedule(tail)
    await rig.call("HSET", key, "nx", occurrence, "tm", write_timing(anchor))
    await rig.call("HDEL", key, "lt")
    await rig.call("ZADD", rig.slot.schedules(), "XX", occurrence, tail)
    return occurrence


async def jobs_of(rig: Rig) -> list[Job]:
    """Its jobs, in the order of their occurrences."""
    return sorted(await rig.listed(), key=lambda job: job.occurrence_ms or 0)


async def fire(rig: Rig, broker: Broker | None = None) -> None:
    """A visit by somebody who keeps house."""
    await (broker or rig.broker).housekeeper.visit(rig.slot)


# Stored.


async def test_a_schedule_is_read_back(rig: Rig) -> None:
    schedule = await created(rig)
    assert (schedule.schedule_id, schedule.queue, schedule.version) == (ID, QUEUE, 1)
    assert schedule.payload == b'{"n":1}'
    assert schedule.next_ms is not None
    assert abs(schedule.next_ms - schedule.created_ms - HOUR) < 1_000
    assert schedule.run_times(2) == [schedule.next_ms, schedule.next_ms + HOUR]
    assert not schedule.paused
    again = await rig.broker.schedules.get(ID)
    assert replace(again, now_ms=0) == replace(schedule, now_ms=0)


async def test_creating_the_same_again_changes_nothing(rig: Rig) -> None:
    schedule = await created(rig)
    again, new = await rig.broker.schedules.create(definition())
    assert not new
    assert again.created_ms == schedule.created_ms
    with pytest.raises(ScheduleExists):
        await rig.broker.schedules.create(definition(overlap=Overlap.ALLOW))
    with pytest.raises(ScheduleExists):
        await rig.broker.schedules.create(definition(job=template(queue="other")))


async def test_who_is_refused_leaves_no_queue_behind(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    await created(rig)
    names = rig.broker.engine.names
    before = [await rig.call("HGETALL", key) for key in (names.queues(), names.schedules())]
    create, other = rig.broker.schedules.create, template(queue="other")
    with pytest.raises(ScheduleExists):
        await create(definition(job=other))
    with pytest.raises(InvalidArgument):
        await create(definition("late", Timing(cron="0 0 1 1 *", end_ms=1), other))
    monkeypatch.setattr(schedule_ids, "MAX_SCHEDULES", 1)
    with pytest.raises(LimitExceeded):
        await create(definition("second", job=other))
    after = [await rig.call("HGETALL", key) for key in (names.queues(), names.schedules())]
    assert after == before


async def test_an_id_whose_queue_was_lost_is_free(rig: Rig, other: Broker) -> None:
    await created(rig, job=template(queue="lost"))
    names = rig.broker.engine.names
    assert await rig.call("HDEL", names.queues(), "lost") == 1
    schedule, new = await other.schedules.create(definition(job=template(queue="lost")))
    assert new is False
    assert schedule.queue == "lost"


async def test_the_steps_of_a_creation_share_one_budget(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[float] = []
    run = rig.broker.engine.run

    async def noted(*args: Any, budget_s: float) -> Any:  # noqa: ANN401 - as run.
        given.append(budget_s)
        # Some event loops count whole milliseconds: no step may pass within one.
        await asyncio.sleep(0.002)
        return await run(*args, budget_s=budget_s)

    monkeypatch.setattr(rig.broker.engine, "run", noted)
    await created(rig)
    assert given == sorted(set(given), reverse=True)
    assert len(given) >= 3, "it claims the id, stores the schedule, and reads it"


async def test_one_that_never_fires_is_not_stored(rig: Rig) -> None:
    timing = Timing(cron="0 0 1 1 *", end_ms=1)
    with pytest.raises(InvalidArgument):
        await rig.broker.schedules.create(definition(timing=timing))
    with pytest.raises(NotFound):
        await rig.broker.schedules.get(ID)


async def test_a_deleted_schedule_is_gone_and_may_come_again(rig: Rig) -> None:
    await created(rig)
    assert await rig.broker.schedules.delete(ID)
    assert not await rig.broker.schedules.delete(ID)
    with pytest.raises(NotFound):
        await rig.broker.schedules.get(ID)
    assert await rig.broker.schedules.list() == ([], "")
    await created(rig)
    # In another queue, too.
    await rig.broker.schedules.delete(ID)
    schedule = await created(rig, job=template(queue="other"))
    assert schedule.queue == "other"


async def test_a_claim_that_a_deletion_overtook_is_void(rig: Rig) -> None:
    """The creator stalls between claim and store, and the schedule is deleted meanwhile."""
    broker = rig.broker
    names = broker.engine.names
    _, claim, _ = await broker.engine.run(ENROL, [names.schedules()], ID, QUEUE, 10, b"")
    await broker.schedules.delete(ID)
    tail = ids.schedule_tail("default", ID)
    late = await broker.engine.run(CREATE, [rig.slot.base], tail, claim, b"h", b"", b"", "id", ID)
    assert late == b"void"
    await created(rig)


async def test_an_entry_without_a_schedule_means_nothing(rig: Rig) -> None:
    """A creator died between the two writes: any queue may have the id."""
    names = rig.broker.engine.names
    _, claim, _ = await rig.broker.engine.run(ENROL, [names.schedules()], ID, QUEUE, 10, b"")
    with pytest.raises(NotFound):
        await rig.broker.schedules.get(ID)
    assert await rig.broker.schedules.list() == ([], "")
    schedule = await created(rig, job=template(queue="other"))
    assert schedule.queue == "other"
    # And should the creator be alive after all, its claim is void.
    tail = ids.schedule_tail("default", ID)
    late = await rig.broker.engine.run(CREATE, [rig.slot.base], tail, claim, b"h", b"", b"", "i", 1)
    assert late == b"void"


async def test_what_calls_left_that_were_cut_does_not_fill_the_list(
    rig: Rig, other: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(schedule_ids, "MAX_SCHEDULES", 2)
    kept = await created(rig, schedule_id="kept")
    names = rig.broker.engine.names
    await rig.broker.engine.run(ENROL, [names.schedules()], ID, QUEUE, 10, b"")
    with pytest.raises(LimitExceeded):
        await rig.broker.schedules.create(definition("c"))
    assert await other.reconciler.walk() == 0
    await created(rig, schedule_id="c")
    found, _ = await rig.broker.schedules.list()
    assert [each.schedule_id for each in found] == ["c", kept.schedule_id]


async def test_of_many_who_create_at_once_one_does(rig: Rig, other: Broker) -> None:
    queues = [QUEUE, "a", "b"]
    outcomes = await asyncio.gather(
        *(
            broker.schedules.create(definition(job=template(queue=queue)))
            for broker in (rig.broker, other)
            for queue in queues
        ),
        return_exceptions=True,
    )
    stored = [outcome for outcome in outcomes if not isinstance(outcome, BaseException)]
    assert [new for _, new in stored].count(True) == 1
    assert all(isinstance(o, ScheduleExists) for o in outcomes if isinstance(o, BaseException))
    keys = await rig.call("KEYS", "*:y:*")
    assert len(keys) == 1


async def test_the_number_of_schedules_is_bounded(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(schedule_ids, "MAX_SCHEDULES", 2)
    for schedule_id in ("a", "b"):
        await created(rig, schedule_id=schedule_id)
    with pytest.raises(LimitExceeded):
        await rig.broker.schedules.create(definition("c"))
    await rig.broker.schedules.delete("a")
    await created(rig, schedule_id="c")


async def test_a_list_is_by_id_page_by_page(rig: Rig) -> None:
    for number in (3, 1, 2):
        await created(rig, schedule_id=f"s{number}")
    await created(rig, schedule_id="s0", job=template(queue="other"))

    async def pages(queue: str = "") -> list[list[str]]:
        found: list[list[str]] = []
        after = ""
        while not found or after:
            page, after = await rig.broker.schedules.list(queue, after=after, limit=2)
            found.append([schedule.schedule_id for schedule in page])
        return found

    assert await pages() == [["s0", "s1"], ["s2", "s3"]]
    assert await pages("other") == [["s0"]]
    assert await pages("none") == [[]]


# Changed.


async def test_a_list_does_not_carry_payloads(rig: Rig) -> None:
    """A thousand of a megabyte each would be a gigabyte in one gateway, for nothing."""
    payload = Content(b'"' + 100_000 * b"x" + b'"')
    schedule = await created(rig, job=template(payload=payload))
    assert schedule.payload == payload.data
    ((listed,), _) = await rig.broker.schedules.list()
    assert replace(listed, now_ms=schedule.now_ms) == replace(schedule, payload=b"")


async def test_an_update_replaces_the_definition(rig: Rig) -> None:
    schedule = await created(rig, job=template(payload=Content(b"x" * 500), max_attempts=9))
    job = template(payload=Content(b"{}"))
    changed = await rig.broker.schedules.update(definition(job=job))
    assert (changed.version, changed.payload) == (2, b"{}")
    assert changed.next_ms == schedule.next_ms  # The timing is as it was.
    assert (await rig.broker.schedules.update(definition(job=job))).version == 2
    await come_due(rig, changed)
    await fire(rig)
    (made,) = await jobs_of(rig)
    assert (await rig.job(made.job_id)).payload == Content(b"{}")
    assert made.max_attempts == 3


async def test_an_update_of_the_timing_counts_from_now(rig: Rig) -> None:
    await created(rig)
    changed = await rig.broker.schedules.update(definition(timing=Timing(interval_ms=5_000)))
    assert changed.next_ms is not None
    assert abs(changed.next_ms - changed.now_ms - 5_000) < 1_000


async def test_an_update_may_name_the_version_that_it_replaces(rig: Rig) -> None:
    await created(rig)
    schedules = rig.broker.schedules
    await schedules.update(definition(limit=7), version=1)
    await schedules.update(definition(limit=7), version=1)  # Repeated: it is as wanted.
    with pytest.raises(FailedPrecondition) as refusal:
        await schedules.update(definition(limit=8), version=1)
    assert (refusal.value.reason, refusal.value.metadata) == ("VERSION_CHANGED", {"version": "2"})
    with pytest.raises(FailedPrecondition) as refusal:
        await schedules.update(definition(job=template(queue="other")))
    assert refusal.value.reason == "QUEUE_FIXED"
    with pytest.raises(NotFound):
        await schedules.update(definition("nobody"))


async def test_a_paused_schedule_does_not_fire(rig: Rig) -> None:
    schedule = await created(rig)
    await come_due(rig, schedule)
    paused = await rig.broker.schedules.pause(ID)
    assert paused.paused
    assert paused.run_times(5) == []
    assert (await rig.broker.schedules.pause(ID)).version == paused.version
    await fire(rig)
    assert await jobs_of(rig) == []
    # An update leaves it paused.
    await rig.broker.schedules.update(definition(timing=Timing(cron="* * * * *")))
    resumed = await rig.broker.schedules.resume(ID)
    assert not resumed.paused
    assert resumed.next_ms is not None
    assert resumed.next_ms > resumed.now_ms - 1_000
    assert resumed.missed == 0


async def test_after_a_leap_of_the_clock_a_pause_and_a_resume_begin_from_now(rig: Rig) -> None:
    schedule = await created(rig)
    occurrence = await come_due(rig, schedule)
    await fire(rig)
    tail = ids.schedule_tail("default", ID)
    key = rig.slot.schedule(tail)
    await rig.call("HSET", key, "nx", occurrence + 24 * HOUR)
    await rig.broker.schedules.pause(ID)
    resumed = await rig.broker.schedules.resume(ID)
    assert resumed.next_ms == occurrence + HOUR
    # An occurrence that was fired while the clock was wrong comes again.
    await rig.call("HSET", key, "nx", occurrence)
    await rig.call("ZADD", rig.slot.schedules(), occurrence, tail)
    await fire(rig)
    assert len(await jobs_of(rig)) == 1
    assert (await rig.broker.schedules.get(ID)).fired == 1


async def test_a_schedule_may_begin_paused(rig: Rig) -> None:
    schedule, _ = await rig.broker.schedules.create(definition(), paused=True)
    assert (schedule.paused, schedule.next_ms) == (True, None)
    assert (await rig.broker.schedules.resume(ID)).next_ms is not None


# Fired.


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


@pytest.mark.foreign_hands
async def test_a_schedule_that_fell_out_of_the_set_is_put_back(rig: Rig, other: Broker) -> None:
    schedule = await created(rig)
    for key in (rig.slot.schedules(), rig.broker.engine.names.active()):
        await rig.call("DEL", key)
    assert await other.reconciler.walk() == 1
    assert rig.slot in await rig.broker.activity.slots()
    await come_due(rig, schedule)
    await fire(rig)
    assert len(await jobs_of(rig)) == 1


@pytest.mark.foreign_hands
async def test_a_schedule_that_fell_off_the_list_of_ids_is_put_back(
    rig: Rig, other: Broker
) -> None:
    """Else it would fire on, and nobody could see or end it."""
    schedule = await created(rig)
    await created(rig, schedule_id="another")
    await rig.call("DEL", rig.broker.engine.names.schedules())
    assert await other.reconciler.walk() == 2
    found, _ = await rig.broker.schedules.list()
    assert [each.schedule_id for each in found] == ["another", ID]
    assert await rig.broker.schedules.delete(ID)
    with pytest.raises(NotFound):
        await rig.broker.schedules.get(ID)
    assert (await created(rig)).created_ms >= schedule.created_ms


@pytest.mark.foreign_hands
@pytest.mark.parametrize("listed", ["older", "newer"])
async def test_of_two_of_one_id_the_older_is_buried(
    rig: Rig, other: Broker, caplog: pytest.LogCaptureFixture, listed: str
) -> None:
    """The list was lost, and the id was created again, in another queue, before anybody walked."""
    key = rig.broker.engine.names.schedules()
    await created(rig)
    older = await rig.call("HGET", key, ID)
    await rig.call("DEL", key)
    await rig.broker.schedules.create(definition(job=template(queue="another")))
    if listed == "older":  # A walk met that one first.
        await rig.call("HSET", key, ID, older)
    await other.reconciler.walk()
    assert "is in two queues: 'another' stays" in caplog.text
    found, _ = await rig.broker.schedules.list()
    assert [each.queue for each in found] == ["another"]
    assert await rig.call("ZCARD", rig.slot.schedules()) == 0
    assert await rig.broker.schedules.delete(ID)


@pytest.mark.foreign_hands
async def test_one_is_not_buried_for_a_call_that_was_cut(rig: Rig, other: Broker) -> None:
    """It had claimed the id for another queue, and stored nothing there."""
    await created(rig)
    await rig.broker.engine.ensure_queue("another")
    claim = 10**16
    await rig.call("HSET", rig.broker.engine.names.schedules(), ID, f"{claim} another")
    assert await other.reconciler.walk() == 1
    assert (await rig.broker.schedules.get(ID)).queue == QUEUE


@pytest.mark.foreign_hands
async def test_claims_that_the_server_lost_are_never_given_again(rig: Rig) -> None:
    """Else a schedule whose entry is made anew could not be deleted any more."""
    for schedule_id in ("a", "b", ID):
        await created(rig, schedule_id=schedule_id)
    await rig.call("DEL", rig.broker.engine.names.schedules())
    assert not (await rig.broker.schedules.create(definition()))[1]
    assert await rig.broker.schedules.delete(ID)
    assert await rig.call("ZCARD", rig.slot.schedules()) == 2


@pytest.mark.foreign_hands
async def test_what_stands_in_the_set_without_a_schedule_is_dropped(rig: Rig) -> None:
    await rig.call("ZADD", rig.slot.schedules(), 1, ids.schedule_tail("default", "ghost"))
    await fire(rig)
    assert await rig.call("EXISTS", rig.slot.schedules()) == 0


@pytest.mark.foreign_hands
@pytest.mark.parametrize(
    "timing",
    [
        '{"cron":"* * * * *","time_zone":"Atlantis/Poseidonis"}',
        '{"cron":"when it rains"}',
        '{"tides":"high"}',
    ],
)
async def test_one_that_a_newer_process_stored_keeps_no_others_waiting(
    rig: Rig, caplog: pytest.LogCaptureFixture, timing: str
) -> None:
    await come_due(rig, await created(rig))
    await rig.call("HSET", rig.slot.schedule(ids.schedule_tail("default", ID)), "tm", timing)
    await come_due(rig, await created(rig, schedule_id="sound"))
    for _ in range(2):
        await fire(rig)
    assert [job.schedule_id for job in await jobs_of(rig)] == ["sound"]
    assert [record.message for record in caplog.records] == [
        f"schedule {ID.encode()!r} cannot be read here"
    ]
    # Whoever can read it finds it where it was.
    assert await rig.call("ZCARD", rig.slot.schedules()) == 2


async def test_a_slot_that_has_schedules_alone_stays_active(rig: Rig) -> None:
    await created(rig)
    mark = rig.broker.engine.names.active()
    (member,) = await rig.call("ZRANGE", mark, 0, -1)
    await rig.call("ZADD", mark, 1, member)
    await fire(rig)
    assert await rig.call("ZRANGE", mark, 0, -1) == [member]


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
