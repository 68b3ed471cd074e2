"""Leases: they expire by the observer's own clock, and a lost one is found whatever happens."""

from __future__ import annotations

import asyncio
import re
import time
from typing import TYPE_CHECKING, Final

import pytest

from penstock.broker import Grant, JobState, Renewal, StaleToken
from penstock.broker.housekeeper import LOOK
from penstock.broker.observer import (
    LONGEST_GAP_S,
    LOOK_AGAIN_EVERY_S,
    LeaseObserver,
    WatchedClock,
)
from penstock.broker.script import all_scripts
from tests.broker.rig import LEASE_MS, Rig, tail_of
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from penstock.broker import Broker

SHORT_MS: Final = 250


# The clock and the observer alone: plain arithmetic on times that are given to them.


def watching(seconds: float = 0.0) -> tuple[WatchedClock, LeaseObserver]:
    clock = WatchedClock()
    clock.now_s = seconds
    return clock, LeaseObserver(clock)


def test_time_that_was_not_watched_is_not_counted() -> None:
    """The process was suspended, or the server away: nobody could renew, or be seen to."""
    clock = WatchedClock()
    clock.answered(100.0)
    clock.answered(100.25)
    assert clock.now_s == 0.25
    clock.answered(4_000.0)
    assert clock.now_s == 0.25 + LONGEST_GAP_S
    clock.restart()
    clock.answered(4_000.5)
    clock.answered(4_000.75)
    assert clock.now_s == 0.5 + LONGEST_GAP_S


def test_a_lease_expires_when_it_has_stood_still_for_its_length() -> None:
    clock, observer = watching(100.0)
    observer.look(1, [("a", 1, 5_000)])
    assert observer.next_expiry_s() == 5.0
    clock.now_s = 104.9
    observer.look(1, [])
    assert observer.expired() == []
    clock.now_s = 105.0
    observer.look(1, [])
    assert observer.expired() == [("a", 1)]
    observer.forget(["a"])
    assert (observer.expired(), observer.next_expiry_s()) == ([], None)


def test_a_lease_that_moves_begins_anew() -> None:
    clock, observer = watching(100.0)
    observer.look(1, [("a", 1, 5_000), ("b", 1, 5_000)])
    clock.now_s = 104.0
    observer.look(2, [("a", 2, 5_000)])
    clock.now_s = 106.0
    observer.look(2, [])
    assert observer.expired() == [("b", 1)]
    clock.now_s = 109.0
    observer.look(2, [])
    assert observer.expired() == [("a", 2), ("b", 1)]


def test_only_what_moved_is_asked_for() -> None:
    _, observer = watching()
    assert observer.cursor() == 0
    observer.look(9, [("a", 4, 5_000), ("b", 7, 5_000)])
    assert observer.cursor() == 7


def test_a_server_that_lost_its_ticks_is_observed_anew() -> None:
    clock, observer = watching()
    observer.look(50, [("a", 50, 1_000)])
    clock.now_s = 0.5
    observer.look(3, [])
    assert (observer.cursor(), observer.next_expiry_s()) == (0, None)
    clock.now_s = 1.0
    observer.look(3, [("b", 3, 1_000)])
    clock.now_s = 2.0
    observer.look(3, [])
    assert observer.expired() == [("b", 3)]


def test_all_leases_are_looked_at_again_now_and_then_at_no_cost_to_their_age() -> None:
    """Else ticks that were lost and given out again, unseen, would hide a dead worker's lease."""
    clock, observer = watching()
    observer.look(5, [("a", 5, 90_000)])
    cursors = []
    for second in range(1, int(LOOK_AGAIN_EVERY_S) + 2):
        clock.now_s = float(second)
        cursors.append(observer.cursor())
        moved = [("a", 5, 90_000)] if cursors[-1] == 0 else []
        observer.look(5, moved)
    assert cursors.count(0) == 1
    assert observer.next_expiry_s() == 90.0 - len(cursors)


# The scripts: ticks, not times.


def test_no_script_that_renews_or_lists_leases_asks_for_the_time() -> None:
    """So a jump of the server's clock neither expires a lease nor keeps a dead one alive."""
    sources = {script.name: script.source for script in all_scripts()}
    renews = sources["renew"].partition("-- Fields of a record")[2]
    lists = re.search(
        r"^local function moved_leases.*?^end", sources["look"], re.MULTILINE | re.DOTALL
    )
    assert lists
    for code in (renews, lists[0]):
        assert "leases_key" in code
        assert "now" not in code
        assert "TIME" not in code


async def test_a_lease_stands_at_a_tick_and_each_renewal_moves_it_to_the_next(rig: Rig) -> None:
    grant = await rig.granted()
    ticks = [await rig.tick(grant.job_id)]
    for _ in range(2):
        renewed = await rig.broker.attempts.renew({grant.job_id: grant.fencing_token})
        assert renewed == {grant.job_id: Renewal.RENEWED}
        ticks.append(await rig.tick(grant.job_id))
    assert ticks == [1, 2, 3]


async def test_the_leases_of_one_tick_are_never_torn_apart(rig: Rig) -> None:
    await rig.broker.jobs.submit_many([rig.new_job() for _ in range(150)])
    for _ in range(3):
        await rig.claim(50)

    async def look(after: int, most: int) -> list[int]:
        newest, moved, waiting = await rig.broker.engine.run(
            LOOK, [rig.slot.base], after, most, -1, "", 1
        )
        assert (newest, waiting) == (3, [])
        return [tick for _, tick, _ in moved]

    assert await look(0, 10) == [1] * 50
    assert await look(0, 50) == [1] * 50
    assert await look(0, 51) == [1] * 50 + [2] * 50
    assert await look(1, 1_000) == [2] * 50 + [3] * 50
    assert await look(3, 10) == []


async def test_a_batch_of_renewals_is_answered_one_by_one(rig: Rig) -> None:
    await rig.broker.jobs.submit_many([rig.new_job() for _ in range(120)])
    grants = await rig.claim() + await rig.claim()
    await rig.complete(grants[0])
    await rig.broker.jobs.cancel(grants[1].job_id, "stop")
    await rig.lose_lease(grants[2].job_id)
    held = {grant.job_id: grant.fencing_token for grant in grants}
    unknown = rig.slot.job_id("0" * 26)
    answers = await rig.broker.attempts.renew({**held, unknown: 1})
    assert list(answers) == [*held, unknown]
    expected = [Renewal.LOST, Renewal.CANCEL_REQUESTED, Renewal.LOST]
    assert list(answers.values())[:3] == expected
    assert set(list(answers.values())[3:-1]) == {Renewal.RENEWED}
    assert answers[unknown] is Renewal.LOST


# The housekeeper with real, short leases.


async def short_lease(rig: Rig, count: int = 1) -> list[Grant]:
    await rig.broker.jobs.submit_many([rig.new_job() for _ in range(count)])
    return await rig.broker.attempts.claim(rig.slot, "worker", count, SHORT_MS)


async def test_a_job_whose_worker_vanished_waits_again_after_the_lease(rig: Rig) -> None:
    (grant,) = await short_lease(rig)
    since = time.monotonic()

    async def taken_back() -> bool:
        await rig.broker.housekeeper.visit(rig.slot)
        return await rig.state(grant.job_id) is JobState.QUEUED

    await eventually(taken_back, "the job is queued again")
    assert time.monotonic() - since >= SHORT_MS / 1_000
    job = await rig.job(grant.job_id)
    assert (job.attempt, job.crashes) == (1, 1)
    assert job.fencing_token > grant.fencing_token


async def test_a_lease_that_is_renewed_lasts(rig: Rig) -> None:
    (grant,) = await short_lease(rig)
    enough = time.monotonic() + 3 * SHORT_MS / 1_000

    async def still_renewed() -> bool:
        await rig.broker.housekeeper.visit(rig.slot)
        answers = await rig.broker.attempts.renew({grant.job_id: grant.fencing_token})
        assert answers == {grant.job_id: Renewal.RENEWED}
        return time.monotonic() >= enough

    await eventually(still_renewed, "three leases have passed")
    await rig.complete(grant)


async def test_two_observers_take_a_job_back_once(rig: Rig, other: Broker) -> None:
    grants = await short_lease(rig, 40)

    async def all_taken_back() -> bool:
        await asyncio.gather(
            rig.broker.housekeeper.visit(rig.slot), other.housekeeper.visit(rig.slot)
        )
        return len(await rig.waiting_tails()) == len(grants)

    await eventually(all_taken_back, "all jobs are queued again")
    jobs = [await rig.job(grant.job_id) for grant in grants]
    assert {job.crashes for job in jobs} == {1}
    assert (await rig.counters())["lost"] == len(grants)


async def test_every_lost_lease_is_found_however_many_there_are(rig: Rig) -> None:
    """More than one look may tell of, granted so that its end falls within a tick."""
    await rig.broker.jobs.submit_many([rig.new_job() for _ in range(1_150)])
    granted = 0
    while grants := await rig.broker.attempts.claim(rig.slot, "worker", 90, SHORT_MS):
        granted += len(grants)
    assert granted == 1_150

    async def all_taken_back() -> bool:
        await rig.broker.housekeeper.visit(rig.slot)
        return (await rig.counters()).get("lost") == granted

    await eventually(all_taken_back, "all leases are found lost", within_s=20)
    assert await rig.call("ZCARD", rig.slot.leases()) == 0


@pytest.mark.foreign_hands
async def test_a_lease_without_a_record_is_dropped(rig: Rig) -> None:
    await rig.submit()
    await rig.call("HINCRBY", rig.slot.base, "tick", 1)
    await rig.call("ZADD", rig.slot.leases(), 1, "0" * 26)

    async def dropped() -> bool:
        await rig.broker.housekeeper.visit(rig.slot)
        return not await rig.call("ZCARD", rig.slot.leases())

    await eventually(dropped, "the lease is gone")


async def test_a_lease_put_back_by_the_reconciler_is_observed(rig: Rig) -> None:
    """Even by an observer that never saw it, and saw the newest tick already."""
    (grant,) = await short_lease(rig)
    await rig.call("ZREM", rig.slot.leases(), tail_of(grant.job_id))
    await rig.granted()
    await rig.broker.housekeeper.visit(rig.slot)
    assert await rig.broker.reconciler.walk() == 1

    async def taken_back() -> bool:
        await rig.broker.housekeeper.visit(rig.slot)
        return await rig.state(grant.job_id) is JobState.QUEUED

    await eventually(taken_back, "the job is queued again")


def test_a_restart_gives_every_lease_its_whole_length_again() -> None:
    clock, observer = watching(100.0)
    observer.look(1, [("a", 1, 2_000)])
    clock.now_s = 101.0
    observer.restart()
    assert observer.cursor() == 0
    observer.look(1, [("a", 1, 2_000)])
    clock.now_s = 102.0
    observer.look(1, [])
    assert observer.expired() == []
    clock.now_s = 103.0
    observer.look(1, [])
    assert observer.expired() == [("a", 1)]


async def test_an_outage_costs_no_lease_however_many_slots_there_are(rig: Rig) -> None:
    keeper = rig.broker.housekeeper
    grant = await rig.granted()
    # A lease so short that it would be lost at once.
    await rig.broker.link.call("HSET", rig.slot.record(tail_of(grant.job_id)), "l", 1)
    await keeper.visit(rig.slot)
    await rig.call("CLIENT", "KILL", "TYPE", "NORMAL", "SKIPME", "NO")
    await rig.broker.link.ready(5.0)
    await keeper.visit(rig.slot)
    assert await rig.state(grant.job_id) is JobState.RUNNING


async def test_the_fault_of_one_slot_costs_no_other_its_leases(rig: Rig) -> None:
    grant = await rig.granted()
    elsewhere = await rig.broker.engine.ensure_queue("elsewhere")
    (slot,) = rig.broker.engine.slots(elsewhere)
    await rig.submit(queue="elsewhere")
    (other,) = await rig.broker.attempts.claim(slot, "worker", 1, LEASE_MS)
    await rig.call("RENAME", slot.leases(), slot.paused())
    await rig.call("SET", slot.leases(), "not a sorted set")
    held = {grant.job_id: grant.fencing_token, other.job_id: other.fencing_token}
    assert await rig.broker.attempts.renew(held) == {grant.job_id: Renewal.RENEWED}
    await rig.call("DEL", slot.leases())
    await rig.call("RENAME", slot.paused(), slot.leases())


async def test_a_token_that_the_server_has_lost_is_never_given_again(rig: Rig) -> None:
    await rig.submit()
    # A power cut that takes back the grant: all is as it was before.
    keys = await rig.call("KEYS", rig.slot.base + b"*")
    before = [(key, await rig.call("DUMP", key)) for key in keys]
    (zombie,) = await rig.claim(worker_id="before")
    for key in await rig.call("KEYS", rig.slot.base + b"*"):
        await rig.call("DEL", key)
    for key, value in before:
        await rig.call("RESTORE", key, 0, value)

    async def later() -> bool:
        seconds, us = await rig.call("TIME")
        return int(seconds) * 1_000_000 + int(us) > zombie.fencing_token + 1_000

    await eventually(later, "the server's clock goes on, as a restart takes a moment")
    (grant,) = await rig.claim(worker_id="after")
    assert grant.job_id == zombie.job_id
    assert grant.fencing_token > zombie.fencing_token
    with pytest.raises(StaleToken):
        await rig.complete(zombie)
    await rig.complete(grant)


async def test_a_job_stored_anew_never_takes_up_its_old_tokens(rig: Rig) -> None:
    zombie = await rig.granted(request_id="again")
    assert await rig.lose_lease(zombie.job_id) == (1, 0)
    (grant,) = await rig.claim()
    await rig.complete(grant)
    await rig.pass_retention(grant.job_id)
    await rig.prune()
    anew = await rig.granted(request_id="again")
    assert anew.job_id == zombie.job_id
    assert anew.fencing_token > grant.fencing_token > zombie.fencing_token
    with pytest.raises(StaleToken):
        await rig.complete(zombie)
