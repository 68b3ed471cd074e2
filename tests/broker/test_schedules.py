"""Schedules: stored under claims on their ids, read, changed, paused and deleted."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from penstock.broker import (
    Broker,
    Content,
    FailedPrecondition,
    InvalidArgument,
    LimitExceeded,
    NotFound,
    ids,
    schedule_ids,
)
from penstock.broker.errors import ScheduleExists
from penstock.broker.schedule import Overlap
from penstock.broker.schedule_ids import ENROL
from penstock.broker.schedules import CREATE
from penstock.broker.timing import Timing
from tests.broker.rig import QUEUE, Rig
from tests.broker.scheduling import HOUR, ID, come_due, created, definition, fire, jobs_of, template

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


async def test_who_is_refused_leaves_the_list_of_ids_as_it_was(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else ids of schedules that nobody has would count, until none can be created."""
    await created(rig)
    create, key = rig.broker.schedules.create, rig.broker.engine.names.schedules()
    before = await rig.call("HGETALL", key)
    with pytest.raises(InvalidArgument):
        await create(definition("late", Timing(cron="0 0 1 1 *", end_ms=1)))
    with pytest.raises(ScheduleExists):
        await create(definition(overlap=Overlap.ALLOW))
    assert await rig.call("HGETALL", key) == before
    monkeypatch.setattr(schedule_ids, "MAX_SCHEDULES", 2)
    await created(rig, schedule_id="second")


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
    _, claim = await broker.engine.run(ENROL, [names.schedules()], ID, QUEUE, 10, b"")
    await broker.schedules.delete(ID)
    tail = ids.schedule_tail("default", ID)
    late = await broker.engine.run(CREATE, [rig.slot.base], tail, claim, b"h", b"", b"", "id", ID)
    assert late == b"void"
    await created(rig)


async def test_an_entry_without_a_schedule_means_nothing(rig: Rig) -> None:
    """A creator died between the two writes: any queue may have the id."""
    names = rig.broker.engine.names
    _, claim = await rig.broker.engine.run(ENROL, [names.schedules()], ID, QUEUE, 10, b"")
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
