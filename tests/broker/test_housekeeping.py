"""Housekeeping: due jobs, deadlines, retention; done once, by whoever comes first."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

import pytest

from penstock.broker import Broker, BrokerOptions, Content, JobState, NotFound, Submitted
from penstock.broker.agenda import VISIT_EVERY_S
from penstock.broker.chores import PROMOTE, PRUNE
from penstock.broker.walk import STRUCTURES
from tests.broker.rig import LONG_AGO, Rig, states_of, tail_of
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from penstock.broker import NewJob

LARGE = Content(b"x" * 1_000, "text/plain")


async def submit_all(rig: Rig, specs: list[NewJob]) -> list[str]:
    answers = await rig.broker.jobs.submit_many(specs)
    return [answer.job_id for answer in answers if isinstance(answer, Submitted)]


# Due jobs.


async def test_due_jobs_are_queued_in_the_order_of_their_times(rig: Rig) -> None:
    late, early, future = [await rig.submit(delay_ms=60_000) for _ in range(3)]
    await rig.call("ZADD", rig.slot.due(), 2, tail_of(late), 1, tail_of(early))
    assert await rig.promote() == 2
    assert [grant.job_id for grant in await rig.claim()] == [early, late]
    assert await rig.state(future) is JobState.SCHEDULED


async def test_a_promoted_job_says_when_it_was_queued(rig: Rig) -> None:
    job_id = await rig.submit(delay_ms=60_000)
    assert (await rig.job(job_id)).queued_ms is None
    await rig.come_due(job_id)
    await rig.promote()
    job = await rig.job(job_id)
    (grant,) = await rig.claim()
    assert job.queued_ms is not None
    assert job.queued_ms >= job.created_ms
    assert grant.queued_ms == job.queued_ms
    assert job.run_at_ms is None


async def test_promotion_is_bounded_and_says_when_to_come_again(rig: Rig) -> None:
    jobs = await submit_all(rig, [rig.new_job(delay_ms=60_000) for _ in range(150)])
    for job_id in jobs[:120]:
        await rig.come_due(job_id)

    async def promote() -> list[Any]:
        answer: list[Any] = await rig.broker.engine.run(PROMOTE, [rig.slot.base], 100)
        return answer

    assert await promote() == [100, 0, []]
    queued, wait_ms, _ = await promote()
    assert queued == 20
    assert 50_000 < wait_ms <= 60_000
    assert len(await rig.waiting_tails()) == 120


async def test_an_empty_slot_has_nothing_to_come_again_for(rig: Rig) -> None:
    assert await rig.broker.engine.run(PROMOTE, [rig.slot.base], 100) == [0, -1, []]
    assert await rig.broker.engine.run(PRUNE, [rig.slot.base], 100, 1_000, 10_000) == [0, -1]
    assert await rig.broker.housekeeper.visit(rig.slot) == VISIT_EVERY_S


async def test_a_delayed_job_runs_soon_after_its_time(rig: Rig) -> None:
    since = time.monotonic()
    job_id = await rig.submit(delay_ms=150)

    async def queued() -> bool:
        pause_s = await rig.broker.housekeeper.sweep()
        assert 0 < pause_s <= VISIT_EVERY_S
        return await rig.state(job_id) is JobState.QUEUED

    await eventually(queued, "the delayed job is queued")
    assert time.monotonic() - since >= 0.149  # Redis' clock ticks in whole milliseconds.


# Deadlines.


async def test_waiting_jobs_end_at_their_deadline_wherever_they_wait(rig: Rig) -> None:
    queued = await rig.submit(expires_in_ms=60_000)
    scheduled = await rig.submit(expires_in_ms=60_000, delay_ms=30_000)
    kept = await rig.submit(expires_in_ms=60_000)
    for job_id in (queued, scheduled):
        await rig.pass_deadline(job_id)
    assert await rig.expire() == 2
    for job_id in (queued, scheduled):
        assert await rig.state(job_id) is JobState.EXPIRED
    assert [grant.job_id for grant in await rig.claim()] == [kept]
    assert await rig.call("EXISTS", rig.slot.deadlines()) == 0


@pytest.mark.parametrize("how", ["retry", "release", "pause", "lost", "disowned"])
async def test_a_deadline_follows_a_job_back_to_where_it_waits(rig: Rig, how: str) -> None:
    grant = await rig.granted(expires_in_ms=60_000)
    assert await rig.call("EXISTS", rig.slot.deadlines()) == 0
    match how:
        case "retry":
            await rig.fail(grant, retry_after_ms=30_000)
        case "release" | "pause":
            await rig.release(grant, pause_ms=30_000 if how == "pause" else 0)
        case "lost":
            await rig.lose_lease(grant.job_id)
        case _:
            await rig.broker.attempts.disown(rig.slot, "worker", [])
    deadline = await rig.call("ZSCORE", rig.slot.deadlines(), tail_of(grant.job_id))
    assert int(deadline or 0) == grant.deadline_ms
    await rig.pass_deadline(grant.job_id)
    assert await rig.expire() == 1
    assert states_of(await rig.events(grant.job_id))[-1] is JobState.EXPIRED


# Retention.


async def ended(rig: Rig) -> list[str]:
    """One job in each terminal state, with every key that a job can have."""
    jobs: list[str] = []
    for kind in ("complete", "final", "cancelled", "expired"):
        grant = await rig.granted(payload=LARGE)
        await rig.broker.attempts.checkpoint(grant.job_id, grant.fencing_token, b"half")
        await rig.release(grant)
        (grant,) = await rig.claim()
        if kind == "complete":
            await rig.broker.attempts.complete(grant.job_id, grant.fencing_token, LARGE)
        else:
            await rig.fail(grant, kind)
        jobs.append(grant.job_id)
    return jobs


async def test_a_forgotten_job_leaves_nothing_behind(rig: Rig) -> None:
    jobs = await ended(rig)
    assert await rig.prune() == 0
    for state in STRUCTURES:
        if state.terminal:
            for tail in await rig.call("ZRANGE", rig.slot.ended(state), 0, -1):
                await rig.call("ZADD", rig.slot.ended(state), LONG_AGO, tail)
    assert await rig.prune() == 4
    for job_id in jobs:
        with pytest.raises(NotFound):
            await rig.job(job_id)
        assert await rig.call("KEYS", b"*" + tail_of(job_id).encode()) == []


async def test_redis_itself_forgets_a_job_that_nobody_prunes(rig: Rig) -> None:
    grant = await rig.granted(payload=LARGE, retention_ms=200)
    await rig.broker.attempts.checkpoint(grant.job_id, grant.fencing_token, b"half")
    await rig.release(grant)
    (grant,) = await rig.claim()
    await rig.broker.attempts.complete(grant.job_id, grant.fencing_token, LARGE)
    assert (await rig.job(grant.job_id)).result == LARGE

    async def gone() -> bool:
        return not await rig.call("KEYS", b"*" + tail_of(grant.job_id).encode())

    await eventually(gone, "all keys of the job are gone")
    assert await rig.broker.jobs.list("q") == ([], "")
    assert await rig.prune() == 1


async def test_too_many_ended_jobs_are_forgotten_the_oldest_first_state_by_state(
    rig: Rig,
) -> None:
    jobs = await submit_all(rig, [rig.new_job() for _ in range(12)])
    grants = await rig.claim()
    for position, grant in enumerate(grants):
        await (rig.fail(grant, "final") if position % 3 == 0 else rig.complete(grant))
        # In one millisecond they would be in the order of their ids.
        state = JobState.FAILED if position % 3 == 0 else JobState.SUCCEEDED
        await rig.call("ZINCRBY", rig.slot.ended(state), position, tail_of(grant.job_id))
        await rig.call("HINCRBY", rig.slot.record(tail_of(grant.job_id)), "e", position)
    assert await rig.prune(keep=3) == 1 + 5
    kept = {job.job_id for job in (await rig.broker.jobs.list("q"))[0]}
    assert kept == {jobs[number] for number in (3, 6, 9)} | {jobs[n] for n in (8, 10, 11)}


async def test_pruning_is_bounded_over_all_states(rig: Rig) -> None:
    await submit_all(rig, [rig.new_job() for _ in range(160)])
    for position, grant in enumerate(await rig.claim() + await rig.claim()):
        await (rig.fail(grant, "final") if position % 2 else rig.complete(grant))
    assert [await rig.prune(keep=0) for _ in range(3)] == [100, 60, 0]


# Many at once, and whom to visit.


async def test_many_processes_at_once_do_each_thing_once(url: str) -> None:
    async with Broker(url) as first, Broker(url) as second, Broker(url) as third:
        rig = await Rig.on(first)
        due = await submit_all(rig, [rig.new_job(delay_ms=60_000) for _ in range(250)])
        late = await submit_all(rig, [rig.new_job(expires_in_ms=60_000) for _ in range(250)])
        for job_id in due:
            await rig.come_due(job_id)
        for job_id in late:
            await rig.pass_deadline(job_id)

        async def all_done() -> bool:
            await asyncio.gather(*(broker.housekeeper.sweep() for broker in (first, second, third)))
            stats = await first.queues.stats("q")
            return stats.scheduled == 0 and stats.expired == len(late)

        await eventually(all_done, "all due jobs are queued and all late ones ended")
        assert len(await rig.waiting_tails()) == len(due)
        counts = {(await rig.job(job_id)).last_sequence for job_id in due + late}
        assert counts == {2}


async def test_only_slots_that_were_marked_are_visited(url: str) -> None:
    async with Broker(url, BrokerOptions(partitions=8)) as broker:
        queue = await broker.engine.ensure_queue("wide")
        assert await broker.activity.slots() == []
        slot = broker.engine.slots(queue)[5]
        await broker.activity.mark(slot)
        assert await broker.activity.slots() == [slot]
        async with Broker(url) as other:
            (seen,) = await other.activity.slots()
            assert seen.base == slot.base


async def test_a_mark_is_written_once_in_a_while_and_anew_after_a_reconnect(
    rig: Rig, other: Broker
) -> None:
    active = rig.broker.engine.names.active()
    await rig.submit()
    await rig.call("DEL", active)
    await rig.submit()
    assert await rig.call("EXISTS", active) == 0
    await other.link.call("CLIENT", "KILL", "TYPE", "normal")
    await rig.submit()
    assert await rig.broker.activity.slots() == [rig.slot]


@pytest.mark.parametrize("age", ["old", "young"])
@pytest.mark.parametrize("content", ["empty", "delayed", "retained"])
async def test_a_slot_is_dropped_when_it_is_empty_and_its_mark_is_old(
    rig: Rig, age: str, content: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await rig.broker.activity.mark(rig.slot)
    if content == "delayed":
        await rig.submit(delay_ms=60_000)
    elif content == "retained":
        await rig.complete(await rig.granted())
    assert await rig.broker.activity.slots() == [rig.slot]
    if age == "old":
        monkeypatch.setattr("penstock.broker.activity.DROP_AFTER_S", 0.0)
    await rig.broker.housekeeper.visit(rig.slot)
    kept = age == "young" or content != "empty"
    assert bool(await rig.broker.activity.slots()) == kept


@pytest.mark.parametrize("ahead_s", [3600, -3600])
async def test_no_slot_is_dropped_because_the_date_jumps(rig: Rig, ahead_s: int) -> None:
    await rig.broker.activity.mark(rig.slot)
    await rig.broker.activity.slots()
    (member,) = await rig.call("ZRANGE", rig.broker.engine.names.active(), 0, -1)
    await rig.call("ZINCRBY", rig.broker.engine.names.active(), -1000 * ahead_s, member)
    await rig.broker.housekeeper.visit(rig.slot)
    assert await rig.broker.activity.slots() == [rig.slot]


async def test_a_slot_that_was_marked_meanwhile_is_not_dropped(
    rig: Rig, other: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("penstock.broker.activity.DROP_AFTER_S", 0.0)
    await rig.broker.activity.mark(rig.slot)
    await rig.broker.activity.slots()
    await other.activity.mark(rig.slot)
    await rig.broker.activity.drop(rig.slot)
    assert await rig.broker.activity.slots() == [rig.slot]
    await rig.broker.activity.drop(rig.slot)
    assert await rig.broker.activity.slots() == []


@pytest.mark.foreign_hands
@pytest.mark.parametrize("structure", ["due", "dl", "lease"])
async def test_what_is_stale_in_a_set_is_dropped_and_changes_no_job(
    rig: Rig, structure: str
) -> None:
    await rig.submit()
    (ended,) = await rig.broker.attempts.claim(rig.slot, "worker", 1, lease_ms=100)
    await rig.complete(ended)
    waiting = await rig.submit()
    records = [await rig.record(job_id) for job_id in (ended.job_id, waiting)]
    key = rig.slot.base + b":" + structure.encode()
    stale = [tail_of(ended.job_id), "0" * 26]
    if structure != "dl":  # For a waiting job, a deadline would be no stale one.
        stale.append(tail_of(waiting))
    await rig.call("ZADD", key, *(part for tail in stale for part in (1, tail)))

    async def dropped() -> bool:
        await rig.broker.housekeeper.visit(rig.slot)
        return not await rig.call("EXISTS", key)

    await eventually(dropped, "the stale entries are gone")
    assert [await rig.record(job_id) for job_id in (ended.job_id, waiting)] == records
    assert await rig.call("EXISTS", rig.slot.record("0" * 26)) == 0


@pytest.mark.foreign_hands
async def test_a_broken_slot_does_not_keep_the_others_waiting(
    broker: Broker, caplog: pytest.LogCaptureFixture
) -> None:
    rig = await Rig.on(broker)
    for name in ("a", "b"):
        queue = await broker.engine.ensure_queue(name)
        (slot,) = broker.engine.slots(queue)
        await broker.activity.mark(slot)
        await rig.call("SET", slot.due(), "not a set")
    job_id = await rig.submit(delay_ms=60_000)
    await rig.come_due(job_id)
    await broker.housekeeper.sweep()
    assert await rig.state(job_id) is JobState.QUEUED
    assert caplog.text.count("no housekeeping in") == 2
    for name in ("a", "b"):
        queue = await broker.engine.ensure_queue(name)
        await rig.call("DEL", broker.engine.slots(queue)[0].due())


async def test_forgetting_keeps_pace_with_ending(url: str) -> None:
    async with Broker(url, BrokerOptions(max_retained=10)) as broker:
        rig = await Rig.on(broker)
        await submit_all(rig, [rig.new_job() for _ in range(250)])
        while grants := await rig.claim():
            for grant in grants:
                await rig.complete(grant)
        keeper = broker.housekeeper
        assert [await keeper.visit(rig.slot) for _ in range(2)] == [0.0, 0.0]
        assert await keeper.visit(rig.slot) > 0
        assert await rig.call("ZCARD", rig.slot.ended(JobState.SUCCEEDED)) == 10
