"""Schedules of which something is lost, or that stand twice: put back, buried or left alone."""

from __future__ import annotations

import pytest

from penstock.broker import Broker, NotFound, ids
from tests.broker.rig import QUEUE, Rig
from tests.broker.scheduling import ID, come_due, created, definition, fire, jobs_of, template


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
async def test_a_foreign_key_in_the_place_of_the_listed_one_stops_no_walk(
    rig: Rig, other: Broker
) -> None:
    names, place = rig.broker.engine.names, rig.slot.schedule(ids.schedule_tail("default", ID))
    await rig.broker.schedules.create(definition(job=template(queue="another")))
    await rig.call("HSET", names.schedules(), ID, f"1 {QUEUE}")
    await rig.call("SET", place, "not a schedule")
    await created(rig, schedule_id="lost")
    await rig.call("DEL", rig.slot.schedules())
    assert await other.reconciler.walk() == 1
    assert other.reconciler.unreadable == 1
    # Once the way is free, the one that is there is listed.
    for key in (place, names.walk()):
        await rig.call("DEL", key)
    assert await other.reconciler.walk() == 1
    assert (await rig.broker.schedules.get(ID)).queue == "another"


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
