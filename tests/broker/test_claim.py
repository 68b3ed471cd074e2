"""Claiming: who is served, in which order, and that a job is never granted to two workers."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from penstock.broker import (
    Backoff,
    Broker,
    ConnectionLost,
    Content,
    JobState,
    Priority,
    ReplyError,
)
from penstock.broker.attempts import CLAIM
from tests.broker.relay import relay_to
from tests.broker.rig import LEASE_MS, Rig, tail_of

if TYPE_CHECKING:
    from penstock.runtime.embedded import EmbeddedServer


async def test_a_grant_holds_all_that_a_worker_needs(rig: Rig) -> None:
    spec = rig.new_job(
        payload=Content(b"\x00" * 100, "application/octet-stream"),
        expires_in_ms=60_000,
        max_attempts=5,
        backoff=Backoff(1, 2, 3.0, 0.5),
        timeout_ms=1_234,
        metadata={"a": "b"},
    )
    job_id = (await rig.broker.jobs.submit(spec)).job_id
    (grant,) = await rig.claim(worker_id="w-1")
    job = await rig.job(job_id)
    assert (grant.job_id, grant.type, grant.queue) == (job_id, "work", "q")
    assert (grant.attempt, grant.failures, grant.crashes) == (1, 0, 0)
    assert grant.fencing_token == job.fencing_token > 0
    for name in ("payload", "max_attempts", "backoff", "timeout_ms", "metadata"):
        assert getattr(grant, name) == getattr(spec, name), name
    assert (grant.created_ms, grant.queued_ms) == (job.created_ms, job.created_ms)
    assert (grant.granted_ms, grant.deadline_ms) == (job.started_ms, job.deadline_ms)
    assert (grant.checkpoint, grant.cancel_requested) == (None, False)
    assert (job.state, job.worker_id) == (JobState.RUNNING, "w-1")


async def test_the_next_attempt_finds_the_checkpoint_of_the_last(rig: Rig) -> None:
    grant = await rig.granted()
    save = rig.broker.attempts.checkpoint
    await save(grant.job_id, grant.fencing_token, b"first")
    await save(grant.job_id, grant.fencing_token, b"\x00second")
    await rig.lose_lease(grant.job_id)
    (grant,) = await rig.claim()
    assert grant.checkpoint == b"\x00second"
    await rig.complete(grant)
    assert await rig.call("EXISTS", rig.slot.checkpoint(tail_of(grant.job_id))) == 0


# Order.


async def test_priorities_come_in_the_order_asked_for_and_each_in_that_of_arrival(
    rig: Rig,
) -> None:
    jobs: dict[Priority, list[str]] = {priority: [] for priority in Priority}
    for number in range(9):
        priority = list(Priority)[number % 3]
        jobs[priority].append(await rig.submit(priority=priority))
    high, default, low = (jobs[priority] for priority in Priority)
    assert [grant.job_id for grant in await rig.claim(4)] == [*high, default[0]]
    # Against starvation, a worker now and then asks in another order.
    assert [grant.job_id for grant in await rig.claim(2, order="ldh")] == low[:2]
    assert [grant.job_id for grant in await rig.claim(100)] == [*default[1:], low[2]]


async def test_a_job_that_was_promoted_or_handed_back_waits_at_the_end(rig: Rig) -> None:
    delayed = await rig.submit(delay_ms=60_000)
    handed_back = await rig.granted()
    first = await rig.submit()
    await rig.release(handed_back)
    await rig.come_due(delayed)
    await rig.promote()
    granted = [grant.job_id for grant in await rig.claim()]
    assert granted == [first, handed_back.job_id, delayed]


async def test_no_more_are_granted_than_asked_for_and_never_more_than_a_hundred(rig: Rig) -> None:
    await rig.broker.jobs.submit_many([rig.new_job() for _ in range(205)])
    assert [len(await rig.claim(count)) for count in (1, 3, 1_000, 1_000, 1_000)] == [
        1, 3, 100, 100, 1,
    ]  # fmt: skip


async def test_a_paused_queue_grants_nothing_and_takes_jobs_in(rig: Rig) -> None:
    before = await rig.granted()
    await rig.broker.queues.pause("q")
    job_id = await rig.submit()
    assert await rig.claim() == []
    await rig.complete(before)
    await rig.broker.queues.resume("q")
    assert [grant.job_id for grant in await rig.claim()] == [job_id]


async def test_expired_jobs_take_no_place_and_cannot_hold_the_server(rig: Rig) -> None:
    """A heap of them is worked off in bounded steps."""
    receipts = await rig.broker.jobs.submit_many(
        [rig.new_job(expires_in_ms=60_000) for _ in range(250)]
    )
    for receipt in receipts:
        await rig.pass_deadline(getattr(receipt, "job_id", ""))
    live = await rig.submit()
    for _ in range(2):
        look = "worker", 1, LEASE_MS, "hdl"
        assert await rig.broker.engine.run(CLAIM, [rig.slot.base], *look) == [1]
    assert [grant.job_id for grant in await rig.claim(1)] == [live]
    assert (await rig.counters())["expired"] == 250


async def test_an_idle_poll_writes_nothing(rig: Rig) -> None:
    await rig.claim()

    async def changes() -> bytes:
        lines: list[bytes] = (await rig.call("INFO", "persistence")).split()
        return next(line for line in lines if line.startswith(b"rdb_changes"))

    before = await changes()
    assert await rig.claim() == []
    assert await changes() == before


# Never two grants of one job.


async def test_four_claimers_at_once_never_get_the_same_job(rig: Rig, other: Broker) -> None:
    specs = [rig.new_job(priority=list(Priority)[n % 3]) for n in range(600)]
    await rig.broker.jobs.submit_many(specs)
    granted: Counter[str] = Counter()
    tokens: Counter[int] = Counter()

    async def claimer(broker: Broker, worker_id: str) -> None:
        while grants := await broker.attempts.claim(rig.slot, worker_id, 7, LEASE_MS):
            assert {grant.attempt for grant in grants} == {1}
            granted.update(grant.job_id for grant in grants)
            tokens.update(grant.fencing_token for grant in grants)

    await other.engine.ensure_queue("q")
    await asyncio.gather(
        *(claimer(broker, f"w-{number}") for number, broker in enumerate([rig.broker, other] * 2))
    )
    assert len(granted) == 600
    assert set(granted.values()) == {1}
    assert set(tokens.values()) == {1}


@pytest.mark.foreign_hands
async def test_entries_that_do_not_match_their_record_are_dropped(rig: Rig) -> None:
    running = await rig.granted()
    waiting = await rig.submit()
    stream = rig.slot.stream(Priority.DEFAULT)
    for tail in (tail_of(running.job_id), tail_of(waiting), "0" * 26):
        await rig.call("XADD", stream, "*", "j", tail)
    assert [grant.job_id for grant in await rig.claim()] == [waiting]
    assert await rig.call("XLEN", stream) == 0


async def test_a_destroyed_group_is_made_again_and_skips_nobody(rig: Rig) -> None:
    jobs = [await rig.submit() for _ in range(4)]
    first = await rig.claim(2)
    await rig.call("XGROUP", "DESTROY", rig.slot.stream(Priority.DEFAULT), "workers")
    jobs.append(await rig.submit())
    granted = [grant.job_id for grant in first + await rig.claim()]
    assert granted == jobs


async def test_a_deleted_stream_is_rebuilt_by_the_reconciler(rig: Rig) -> None:
    lost = [await rig.submit() for _ in range(3)]
    await rig.claim(1)
    await rig.call("DEL", rig.slot.stream(Priority.DEFAULT))
    later = await rig.submit()
    assert [grant.job_id for grant in await rig.claim()] == [later]
    assert await rig.broker.reconciler.walk() == 2
    assert {grant.job_id for grant in await rig.claim()} == set(lost[1:])


@pytest.mark.foreign_hands
async def test_a_stream_that_is_none_is_an_error_not_an_empty_queue(rig: Rig) -> None:
    await rig.call("SET", rig.slot.stream(Priority.HIGH), "not a stream")
    with pytest.raises(ReplyError) as refused:
        await rig.claim()
    assert refused.value.code == "WRONGTYPE"
    await rig.call("DEL", rig.slot.stream(Priority.HIGH))


# A grant whose reply was lost.


async def test_a_grant_that_never_arrived_is_handed_back_at_no_cost(
    rig: Rig, server: EmbeddedServer
) -> None:
    kept = await rig.granted()
    lost = [await rig.submit() for _ in range(3)]
    async with relay_to(server.socket_path) as relay, Broker(relay.url) as behind:
        worker = await Rig.on(behind)
        await worker.broker.activity.mark(rig.slot)
        relay.lose(rig.slot.base)
        with pytest.raises(ConnectionLost):
            await worker.claim(2)
        grants = [(await rig.job(job_id)).fencing_token for job_id in lost]
        assert await behind.attempts.disown(rig.slot, "worker", [kept.job_id]) == 2
        handed_back = [(await rig.job(job_id)).fencing_token for job_id in lost]
        again = await worker.claim()
    assert {grant.job_id for grant in again} == set(lost)
    assert {grant.attempt for grant in again} == {1}
    # Tokens are the slot's: they rise from each grant to the next, and by handing back.
    tokens = sorted(grant.fencing_token for grant in again)
    assert max(grants) < min(filter(None, handed_back)) <= max(handed_back) < tokens[0]
    assert await rig.state(kept.job_id) is JobState.RUNNING
    assert "lost" not in await rig.counters()


async def test_disowning_looks_at_the_newest_grants_first(rig: Rig) -> None:
    """A lost grant is the newest; the slot may hold more leases than one call looks at."""
    await rig.broker.jobs.submit_many([rig.new_job() for _ in range(1_010)])
    held: list[str] = []
    while grants := await rig.claim(worker_id="another"):
        held += (grant.job_id for grant in grants)
    lost = await rig.granted()
    assert len(held) == 1_010
    assert await rig.broker.attempts.disown(rig.slot, "worker", []) == 1
    assert await rig.state(lost.job_id) is JobState.QUEUED
