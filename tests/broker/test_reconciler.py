"""The record is the truth: what else the server lost is rebuilt from records."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from penstock.broker import Broker, Content, Failure, JobState, NewJob, Priority

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from penstock.broker.keys import Slot

QUEUE = "orders"
LEASE_MS = 60_000


@pytest.fixture
async def broker(redis_url: str) -> AsyncIterator[Broker]:
    async with Broker(redis_url) as broker:
        yield broker


@pytest.fixture
async def slot(broker: Broker) -> Slot:
    """A slot with 60 jobs queued, 30 scheduled, 6 running, 3 succeeded, 1 failed."""
    for number in range(70):
        priority = list(Priority)[number % 3]
        await broker.jobs.submit(NewJob("t", QUEUE, f"now {number}", priority=priority))
    for number in range(30):
        await broker.jobs.submit(NewJob("t", QUEUE, f"later {number}", delay_ms=3_600_000))
    (slot,) = broker.engine.slots(await broker.queues.get(QUEUE))
    grants = await broker.attempts.claim(slot, "w", 10, LEASE_MS)
    for grant in grants[:3]:
        await broker.attempts.complete(grant.job_id, grant.fencing_token, Content(b"1"))
    bad = grants[3]
    await broker.attempts.fail(bad.job_id, bad.fencing_token, "final", Failure("E", "no"))
    return slot


async def walk(broker: Broker) -> int:
    await broker.link.call("DEL", broker.engine.names.walk())
    return await broker.reconciler.walk()


async def counts(broker: Broker) -> tuple[object, ...]:
    stats = await broker.queues.stats(QUEUE)
    ended = (stats.succeeded, stats.failed, stats.cancelled, stats.expired)
    return stats.waiting, stats.scheduled, stats.running, *ended


@pytest.mark.usefixtures("slot")
async def test_a_walk_leaves_jobs_alone_that_are_where_they_belong(broker: Broker) -> None:
    before = await counts(broker)
    assert await walk(broker) == 0
    assert await counts(broker) == before


async def test_lost_structures_are_rebuilt_from_records(broker: Broker, slot: Slot) -> None:
    before = await counts(broker)
    streams = [slot.stream(priority) for priority in Priority]
    sets = [slot.due(), slot.leases(), *(slot.ended(s) for s in JobState if s.terminal)]
    for key in streams + sets:
        await broker.link.call("DEL", key)
    assert await walk(broker) == 100
    assert await counts(broker) == before
    assert await walk(broker) == 0


async def test_jobs_that_the_group_has_passed_by_are_delivered_again(
    broker: Broker, slot: Slot
) -> None:
    await broker.link.call("XGROUP", "SETID", slot.stream(Priority.HIGH), "workers", "$")
    waiting = (await broker.queues.stats(QUEUE)).waiting[Priority.HIGH]
    assert await broker.attempts.claim(slot, "w", 100, LEASE_MS, "h") == []
    assert await walk(broker) == waiting
    assert len(await broker.attempts.claim(slot, "w", 100, LEASE_MS, "h")) == waiting


async def test_a_deadline_that_was_lost_is_indexed_again(broker: Broker) -> None:
    await broker.jobs.submit(NewJob("t", QUEUE, "1", expires_in_ms=3_600_000))
    (slot,) = broker.engine.slots(await broker.queues.get(QUEUE))
    await broker.link.call("DEL", slot.deadlines())
    await walk(broker)
    assert await broker.link.call("ZCARD", slot.deadlines()) == 1


async def test_only_one_walk_begins_within_a_minute(broker: Broker, slot: Slot) -> None:
    await broker.link.call("DEL", slot.due())
    assert await broker.reconciler.walk() == 30
    await broker.link.call("DEL", slot.due())
    assert await broker.reconciler.walk() == 0
