"""A queue takes so many waiting jobs, and no more."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from penstock.broker import (
    Broker,
    BrokerOptions,
    CachePolicy,
    Content,
    NewJob,
    Policy,
    PolicyKey,
    Priority,
    QueueFull,
    SubmitOutcome,
    Submitted,
    depths,
    ids,
)
from penstock.broker.schedule import NewSchedule
from penstock.broker.timing import Timing, write_timing
from tests.broker.rig import QUEUE, Rig
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

pytestmark = pytest.mark.usefixtures("url")


@asynccontextmanager
async def rig_of(url: str, most: int, partitions: int = 1) -> AsyncIterator[Rig]:
    options = BrokerOptions(max_queue_depth=most, partitions=partitions)
    async with Broker(url, options) as broker:
        yield await Rig.on(broker)


async def test_a_full_queue_takes_no_more_and_nothing_is_written(url: str) -> None:
    async with rig_of(url, 5) as rig:
        for number in range(4):
            await rig.submit(priority=list(Priority)[number % 3])
        await rig.submit(delay_ms=60_000)
        before, counters = await rig.snapshot(), await rig.counters()
        with pytest.raises(QueueFull) as refused:
            await rig.submit(payload=Content(b"x" * 1_000), idempotency_key="mine")
        assert (refused.value.queue, refused.value.depth, refused.value.limit) == (QUEUE, 5, 5)
        with pytest.raises(QueueFull):
            await rig.submit(cache=CachePolicy(ttl_ms=60_000, key="same"))
        assert await rig.snapshot() == before
        assert await rig.counters() == counters


async def test_who_was_acknowledged_is_answered_again(url: str) -> None:
    async with rig_of(url, 3) as rig:
        cache = CachePolicy(ttl_ms=60_000, key="same")
        first = await rig.receipt(request_id="one")
        keyed = await rig.receipt(request_id="two", idempotency_key="mine")
        cached = await rig.receipt(request_id="three", cache=cache)
        with pytest.raises(QueueFull):
            await rig.submit()
        again = await rig.receipt(request_id="one")
        assert (again.job_id, again.outcome) == (first.job_id, SubmitOutcome.REPEATED)
        joined = await rig.receipt(idempotency_key="mine")
        assert (joined.job_id, joined.outcome) == (keyed.job_id, SubmitOutcome.JOINED)
        shared = await rig.receipt(cache=cache)
        assert (shared.job_id, shared.outcome) == (cached.job_id, SubmitOutcome.JOINED)


async def test_whoever_is_granted_makes_room(url: str) -> None:
    async with rig_of(url, 2) as rig:
        await rig.submit()
        await rig.submit()
        grants = await rig.claim(1)
        await rig.submit()
        with pytest.raises(QueueFull):
            await rig.submit()
        # Who comes back has been there before.
        await rig.release(grants[0])
        with pytest.raises(QueueFull) as refused:
            await rig.submit()
        assert refused.value.depth == 3


async def test_held_jobs_wait_as_well(url: str) -> None:
    async with rig_of(url, 3) as rig:
        await rig.broker.policies.put(PolicyKey(QUEUE, "work"), Policy(concurrency=1))
        for _ in range(3):
            await rig.submit()
        assert len(await rig.claim(3)) == 1
        await rig.submit()
        with pytest.raises(QueueFull):
            await rig.submit()


async def test_no_crowd_slips_past(url: str) -> None:
    async with rig_of(url, 50) as one, rig_of(url, 50) as two:

        async def submit(number: int) -> str:
            rig = (one, two)[number % 2]
            try:
                await rig.broker.jobs.submit(rig.new_job(request_id=f"r{number}"))
            except QueueFull:
                return "full"
            return "taken"

        assert Counter(await asyncio.gather(*map(submit, range(200)))) == {"taken": 50, "full": 150}


async def test_a_batch_is_taken_as_far_as_there_is_room(url: str) -> None:
    async with rig_of(url, 3) as rig:
        jobs = [rig.new_job() for _ in range(5)]
        answers = await rig.broker.jobs.submit_many(jobs)
        assert [type(answer) for answer in answers] == [Submitted] * 3 + [QueueFull] * 2
        again = await rig.broker.jobs.submit_many(jobs)
        assert [type(answer) for answer in again] == [Submitted] * 3 + [QueueFull] * 2


async def test_a_schedule_fires_into_a_full_queue_but_is_not_triggered(url: str) -> None:
    async with rig_of(url, 1) as rig:
        await rig.submit()
        job, timing = rig.new_job(request_id=""), Timing(interval_ms=3_600_000)
        schedule, _ = await rig.broker.schedules.create(NewSchedule("hourly", timing, job))
        before = await rig.snapshot()
        with pytest.raises(QueueFull, match="1 jobs wait where 1 may"):
            await rig.broker.schedules.trigger("hourly", "by hand")
        assert await rig.snapshot() == before
        # Its time comes.
        tail, now_ms = ids.schedule_tail("default", "hourly"), schedule.now_ms
        stored = write_timing(replace(schedule.timing, anchor_ms=now_ms))
        await rig.call("HSET", rig.slot.schedule(tail), "nx", now_ms, "tm", stored)
        await rig.call("ZADD", rig.slot.schedules(), "XX", now_ms, tail)
        await rig.broker.housekeeper.visit(rig.slot)
        fired = [job for job in await rig.listed() if job.schedule_id == "hourly"]
        assert len(fired) == 1


async def test_each_partition_has_its_share(url: str) -> None:
    async with rig_of(url, 10, partitions=4) as rig:
        answers = await rig.broker.jobs.submit_many([rig.new_job() for _ in range(200)])
        taken = [answer for answer in answers if isinstance(answer, Submitted)]
        assert len(taken) == 4 * 3  # Rounded up.
        refused = [answer for answer in answers if isinstance(answer, QueueFull)]
        assert {(each.depth, each.limit) for each in refused} == {(3, 3)}


async def test_a_policy_has_a_ceiling_of_its_own(url: str) -> None:
    async with rig_of(url, 2) as rig:
        await rig.broker.policies.put(PolicyKey(QUEUE), Policy(max_waiting=3))
        for _ in range(3):
            await rig.submit()
        with pytest.raises(QueueFull, match="3 jobs wait where 3 may"):
            await rig.submit()
        await rig.broker.policies.delete(PolicyKey(QUEUE))
        with pytest.raises(QueueFull, match="3 jobs wait where 2 may"):
            await rig.submit()


async def test_without_a_ceiling_nothing_is_counted(url: str) -> None:
    async with rig_of(url, 0) as rig:
        queue = await rig.broker.queues.get(QUEUE)
        assert rig.broker.depths.ceiling(queue, rig.slot) == b""
        assert rig.broker.depths.limit(QUEUE) == 0


async def test_far_from_its_ceiling_a_queue_is_only_looked_at(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(depths, "COUNTED_BELOW", 10)
    # Of a slow machine, too: what was seen is believed for as long as the test takes.
    monkeypatch.setattr(depths, "BELIEVED_S", 60.0)
    monkeypatch.setattr(depths, "LOOK_EVERY_S", 0.0)
    async with rig_of(url, 40) as rig:
        queue = await rig.broker.queues.get(QUEUE)

        def ceiling() -> object:
            return rig.broker.depths.ceiling(queue, rig.slot)

        # Nobody has looked yet.
        assert ceiling() == 40
        await eventually(lambda: ceiling() == b"", "it was looked at")
        await rig.broker.jobs.submit_many([rig.new_job() for _ in range(19)])
        await eventually(lambda: ceiling() == b"", "it is looked at again")
        await rig.submit()
        await eventually(lambda: ceiling() == 40, "half of it is taken")
        # And what was lost is learnt again.
        await rig.call("SCRIPT", "FLUSH")
        await rig.claim(20)
        await eventually(lambda: ceiling() == b"", "it was looked at in spite of the flush")


async def test_what_was_seen_long_ago_is_not_believed(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(depths, "COUNTED_BELOW", 10)
    monkeypatch.setattr(depths, "BELIEVED_S", 0.0)
    async with rig_of(url, 40) as rig:
        await rig.broker.jobs.submit(NewJob("t", QUEUE, "one"))
        queue = await rig.broker.queues.get(QUEUE)
        assert rig.broker.depths.ceiling(queue, rig.slot) == 40
