"""The reconciler: whatever a foreign hand took out of a structure is put back from the records."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pytest

from penstock.broker import (
    JobState,
    Priority,
    ReplyError,
    housekeeper,
    ids,
    reconciler,
)
from penstock.broker.reconciler import WEIGH
from penstock.broker.script import Script
from tests.broker.rig import QUEUE, Rig, tail_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from penstock.broker import Broker
    from penstock.broker.reconciler import _Course

    Damage = Callable[[Rig, str], Awaitable[object]]


@pytest.fixture(autouse=True)
def every_visit_looks_at_the_books(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(housekeeper, "BOOKS_EVERY_S", 0.0)


async def waiting(rig: Rig) -> str:
    return await rig.submit(expires_in_ms=3_600_000)


async def delayed(rig: Rig) -> str:
    return await rig.submit(delay_ms=60_000, expires_in_ms=3_600_000)


async def running(rig: Rig) -> str:
    return (await rig.granted(expires_in_ms=3_600_000)).job_id


async def ended(rig: Rig) -> str:
    grant = await rig.granted(retention_ms=60_000)
    await rig.complete(grant)
    return grant.job_id


async def delete_stream(rig: Rig, _: str) -> None:
    await rig.call("DEL", rig.slot.stream(Priority.DEFAULT))


async def delete_entry(rig: Rig, job_id: str) -> None:
    entry = (await rig.record(job_id))[b"x"]
    await rig.call("XDEL", rig.slot.stream(Priority.DEFAULT), entry)


async def read_past(rig: Rig, _: str) -> None:
    """Somebody else read the entry for the group, and kept it to himself."""
    stream = rig.slot.stream(Priority.DEFAULT)
    await rig.call("XGROUP", "CREATE", stream, "workers", "0", "MKSTREAM")
    read = ("XREADGROUP", "GROUP", "workers", "thief", "NOACK", "STREAMS", stream, ">")
    assert await rig.call(*read)


def drop_from(name: str) -> Damage:
    async def drop(rig: Rig, job_id: str) -> None:
        assert await rig.call("ZREM", rig.slot.base + b":" + name.encode(), tail_of(job_id)) == 1

    drop.__name__ = f"drop_from_{name}"
    return drop


#: What whoever keeps house sees at once; the rest is found by the walks now and then.
SEEN: Final = [
    (waiting, delete_stream),
    (waiting, delete_entry),
    (waiting, read_past),
    (delayed, drop_from("due")),
    (running, drop_from("lease")),
]


@pytest.mark.parametrize(("make", "damage"), [*SEEN, (ended, drop_from("z:D"))])
async def test_a_job_that_was_taken_out_of_its_place_is_put_back(
    rig: Rig, make: Callable[[Rig], Awaitable[str]], damage: Damage
) -> None:
    """In the right place, says the audit after the test."""
    job_id = await make(rig)
    before = await rig.events(job_id)
    await damage(rig, job_id)
    assert await rig.broker.reconciler.walk() == 1
    assert await rig.events(job_id) == before
    if make is waiting:
        assert [grant.job_id for grant in await rig.claim()] == [job_id]


@pytest.mark.parametrize(("make", "damage"), SEEN)
async def test_a_visit_sees_that_a_job_is_missing(
    rig: Rig, make: Callable[[Rig], Awaitable[str]], damage: Damage
) -> None:
    job_id = await make(rig)
    assert not await is_walk_wanted(rig)
    await damage(rig, job_id)
    assert await is_walk_wanted(rig)
    assert await rig.broker.reconciler.walk() == 1
    assert not await is_walk_wanted(rig)


@pytest.mark.foreign_hands
async def test_what_two_walks_cannot_find_is_asked_for_no_more(rig: Rig) -> None:
    kept, stream = await waiting(rig), rig.slot.stream(Priority.DEFAULT)
    for job_id in (await waiting(rig), await delayed(rig)):
        await rig.call("DEL", rig.slot.record(tail_of(job_id)))
    await rig.call("ZREM", rig.slot.due(), tail_of(job_id))  # It would have come due.
    await walk_twice_in_vain(rig)
    # What is missing beside that is still seen.
    await rig.call("DEL", stream)
    assert await is_walk_wanted(rig)
    await walked_before(rig)
    assert await rig.broker.reconciler.walk() == 1
    await walked_before(rig)  # One entry less than there was: that of the lost record.
    await walk_twice_in_vain(rig)
    assert [grant.job_id for grant in await rig.claim()] == [kept]


@pytest.mark.foreign_hands
async def test_foreign_entries_are_asked_for_no_more(rig: Rig) -> None:
    stream = rig.slot.stream(Priority.DEFAULT)
    await waiting(rig)
    await rig.claim()
    for number in range(3):
        await rig.call("XADD", stream, "*", "j", f"none of ours {number}")
    await rig.call("XREADGROUP", "GROUP", "workers", "thief", "NOACK", "STREAMS", stream, ">")
    assert await is_walk_wanted(rig)
    assert await rig.broker.reconciler.walk() == 0
    assert not await is_walk_wanted(rig)
    assert await rig.call("XLEN", stream) == 0


async def test_what_goes_missing_behind_a_walk_is_asked_for(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As many are missing after the walk as before it, but they are others."""
    found, lost_meanwhile = await waiting(rig), await waiting(rig)
    await delete_entry(rig, found)
    assert await is_walk_wanted(rig)
    walk = rig.broker.reconciler._walk

    async def walk_while_somebody_is_at_it(course: _Course) -> None:
        await walk(course)
        await delete_entry(rig, lost_meanwhile)

    monkeypatch.setattr(rig.broker.reconciler, "_walk", walk_while_somebody_is_at_it)
    assert await rig.broker.reconciler.walk() == 1
    monkeypatch.undo()
    assert await is_walk_wanted(rig)
    await walked_before(rig)
    assert await rig.broker.reconciler.walk() == 1
    assert not await is_walk_wanted(rig)


async def test_a_job_lost_behind_a_walk_is_asked_for_though_as_many_are_missing(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The walk puts back nothing, since the one that was missing before it ends by itself."""
    grant = await rig.granted()
    await drop_from("lease")(rig, grant.job_id)
    assert await is_walk_wanted(rig)

    async def walk_that_comes_too_late(_: _Course) -> None:
        await rig.complete(grant)
        await delete_entry(rig, await waiting(rig))

    monkeypatch.setattr(rig.broker.reconciler, "_walk", walk_that_comes_too_late)
    assert await rig.broker.reconciler.walk() == 0
    monkeypatch.undo()
    assert await is_walk_wanted(rig)
    await walked_before(rig)
    assert await rig.broker.reconciler.walk() == 1
    assert not await is_walk_wanted(rig)


@pytest.mark.foreign_hands
async def test_a_queue_is_counted_while_a_walk_is_in_doubt(rig: Rig) -> None:
    tail = tail_of(await delayed(rig))
    await rig.call("DEL", rig.slot.record(tail))
    await rig.call("ZREM", rig.slot.due(), tail)
    assert await is_walk_wanted(rig)
    assert await rig.broker.reconciler.walk() == 0
    assert (await rig.broker.queues.stats(QUEUE)).counters["submitted"] == 1


async def test_two_walks_at_once_give_nothing_up(rig: Rig) -> None:
    """A walker that stood still has lost its mark, and another walks beside it."""
    grant = await rig.granted()
    await drop_from("lease")(rig, grant.job_id)
    run, base = rig.broker.engine.run, rig.slot.base
    walks = {name: await run(WEIGH, [base], "") for name in (1, 2)}
    await rig.complete(grant)
    lost = await waiting(rig)
    await delete_entry(rig, lost)
    for name, (missing, doubt) in walks.items():
        for _ in range(2):  # An answer was lost, so it is asked again.
            await run(WEIGH, [base], missing, doubt, name)
    assert await is_walk_wanted(rig)
    assert await rig.broker.reconciler.walk() == 1
    assert [grant.job_id for grant in await rig.claim()] == [lost]


async def test_a_walk_that_is_wanted_waits_for_one_under_way(rig: Rig) -> None:
    job_id, mark = await delayed(rig), rig.broker.engine.names.walk()
    await rig.call("DEL", rig.slot.due())
    await rig.call("SET", mark, "walking", "PX", 15_000)
    assert await is_walk_wanted(rig)
    assert await rig.broker.reconciler.walk() == 0
    await rig.call("SET", mark, "walked", "PX", 60_000)  # Just now: maybe for the same reason.
    assert await is_walk_wanted(rig)
    assert await rig.broker.reconciler.walk() == 0
    await walked_before(rig)
    assert await is_walk_wanted(rig)
    assert await rig.broker.reconciler.walk() == 1
    assert await rig.state(job_id) is JobState.SCHEDULED


@pytest.mark.parametrize("mark", ["walking", "walked"])
async def test_a_mark_that_a_date_gone_back_made_last_holds_nobody_off(rig: Rig, mark: str) -> None:
    await delayed(rig)
    await rig.call("DEL", rig.slot.due())
    await rig.call("SET", rig.broker.engine.names.walk(), mark, "PX", 3_600_000)
    assert await rig.broker.reconciler.walk() == 1


async def walk_twice_in_vain(rig: Rig) -> None:
    """After that, what is missing is given up."""
    assert await is_walk_wanted(rig)
    assert await rig.broker.reconciler.walk() == 0
    assert await is_walk_wanted(rig)
    await walked_before(rig)
    assert await rig.broker.reconciler.walk() == 0
    assert not await is_walk_wanted(rig)


async def is_walk_wanted(rig: Rig) -> bool:
    """Whether one is, after a visit of the slot."""
    await rig.broker.housekeeper.visit(rig.slot)
    return rig.broker.reconciler.wanted


async def walked_before(rig: Rig) -> None:
    """Lets some time pass since the last walk, but less than a minute."""
    await rig.call("SET", rig.broker.engine.names.walk(), "walked", "PX", 50_000)


async def test_an_entry_is_not_taken_for_that_of_another_job(rig: Rig) -> None:
    """A stream that was deleted and begun anew within a millisecond gives out its ids again."""
    lost, present = await waiting(rig), await waiting(rig)
    stream, entry = rig.slot.stream(Priority.DEFAULT), (await rig.record(lost))[b"x"]
    await rig.call("DEL", stream)
    await rig.call("XADD", stream, entry, "j", tail_of(present))
    await rig.call("HSET", rig.slot.record(tail_of(present)), "x", entry)
    assert await rig.broker.reconciler.walk() == 1
    assert [grant.job_id for grant in await rig.claim()] == [present, lost]


@pytest.mark.parametrize("make", [waiting, delayed])
async def test_a_lost_deadline_is_put_back(rig: Rig, make: Callable[[Rig], Awaitable[str]]) -> None:
    job_id = await make(rig)
    await rig.call("DEL", rig.slot.deadlines())
    await rig.broker.reconciler.walk()
    await rig.pass_deadline(job_id)
    assert await rig.expire() == 1


async def test_what_is_in_its_place_is_left_alone(rig: Rig) -> None:
    jobs = [await make(rig) for make in (ended, running, delayed, waiting)]
    records = [await rig.record(job_id) for job_id in jobs]
    assert await rig.broker.reconciler.walk() == 0
    assert [await rig.record(job_id) for job_id in jobs] == records


async def test_a_fleet_walks_once_a_minute(rig: Rig, other: Broker) -> None:
    job_id = await delayed(rig)
    assert await rig.broker.reconciler.walk() == 0
    await rig.call("DEL", rig.slot.due())
    assert await other.reconciler.walk() == 0
    await rig.call("DEL", rig.broker.engine.names.walk())  # As its TTL does.
    assert await other.reconciler.walk() == 1
    assert await rig.state(job_id) is JobState.SCHEDULED


async def test_a_walk_that_fails_does_not_hold_off_the_next(
    rig: Rig, other: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    await delayed(rig)
    await rig.call("DEL", rig.slot.due())
    monkeypatch.setattr(reconciler, "REPAIR", Script("repair", "#!lua\nreturn no_such_name"))
    with pytest.raises(ReplyError, match="no_such_name"):
        await rig.broker.reconciler.walk()
    monkeypatch.undo()
    await other.reconciler.walk()
    assert await rig.call("ZCARD", rig.slot.due()) == 1


@pytest.mark.foreign_hands
async def test_a_foreign_key_in_the_place_of_a_record_stops_no_walk(
    rig: Rig, caplog: pytest.LogCaptureFixture
) -> None:
    lost = [await delayed(rig) for _ in range(3)]
    await rig.call("DEL", rig.slot.due())
    schedule = ids.schedule_tail("default", "nightly")
    names = rig.broker.engine.names
    await rig.call("HSET", names.schedules(), "nightly", "1 q", "#", 1)
    foreign = [rig.slot.record("0" * 26), rig.slot.schedule(schedule), rig.slot.base + b":j:\xff"]
    foreign.append(f"ps{{{names.code}:q:other}}:j:{'0' * 26}".encode())
    for key in foreign:
        await rig.call("SET", key, "not a record")
    assert await rig.broker.reconciler.walk() == 3
    assert rig.broker.reconciler.unreadable == 2
    assert "cannot be read, and stay as they are: 2" in caplog.text
    assert "WRONGTYPE" in caplog.text
    assert {await rig.state(job_id) for job_id in lost} == {JobState.SCHEDULED}
    for key in (*foreign, names.walk()):
        await rig.call("DEL", key)
    assert await rig.broker.reconciler.walk() == 0
    assert rig.broker.reconciler.unreadable == 0
    await rig.call("DEL", names.schedules())


@pytest.mark.foreign_hands
async def test_an_entry_whose_record_cannot_be_read_stops_no_walk(rig: Rig) -> None:
    """It was read by somebody else, so nobody will come upon it but the walk that it asks for."""
    stream, foreign = rig.slot.stream(Priority.DEFAULT), await waiting(rig)
    await read_past(rig, foreign)
    await rig.call("SET", rig.slot.record(tail_of(foreign)), "not a record")
    lost = await delayed(rig)
    await rig.call("DEL", rig.slot.due())
    assert await is_walk_wanted(rig)
    assert await rig.broker.reconciler.walk() == 1
    assert await rig.call("XLEN", stream) == 0
    assert await rig.state(lost) is JobState.SCHEDULED
    await rig.call("DEL", rig.slot.record(tail_of(foreign)))


async def test_many_records_of_many_queues(rig: Rig) -> None:
    for queue in ("a", "b"):
        await rig.broker.jobs.submit_many(
            [rig.new_job(queue=queue, delay_ms=60_000) for _ in range(700)]
        )
        info = await rig.broker.engine.queue(queue)
        await rig.call("DEL", rig.broker.engine.slots(info)[0].due())
    assert await rig.broker.reconciler.walk() == 1_400
    assert (await rig.broker.queues.stats("a")).scheduled == 700


@pytest.mark.foreign_hands
async def test_a_group_that_stands_ahead_of_its_stream_is_set_back(rig: Rig) -> None:
    await rig.submit()
    (first,) = await rig.claim()
    await rig.complete(first)
    stream = rig.slot.stream(Priority.DEFAULT)
    await rig.call("XGROUP", "SETID", stream, "workers", "99999999999999-0")
    waiting = {await rig.submit() for _ in range(3)}
    assert not await rig.claim()
    assert await rig.broker.reconciler.walk() == 1  # The others are delivered as they stand.
    assert {grant.job_id for grant in await rig.claim()} == waiting
