"""The result cache: who runs, who joins, who is answered, and what invalidations reach."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from penstock.broker import (
    Broker,
    BrokerOptions,
    CachePolicy,
    CacheTarget,
    Content,
    Grant,
    JobState,
    StateChange,
    SubmitOutcome,
    Submitted,
    caller_key,
    ids,
)
from penstock.broker.cache_keys import fields_for
from tests.broker.rig import RESULT, Rig, tail_of
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

HOUR_MS = 3_600_000
KEY = caller_key("the work")
LARGE = Content(b"x" * 100_000, "text/plain")
CREATED, REPEATED = SubmitOutcome.CREATED, SubmitOutcome.REPEATED
JOINED, CACHED = SubmitOutcome.JOINED, SubmitOutcome.CACHED


async def ask(rig: Rig, **policy: Any) -> Submitted:  # noqa: ANN401 - the fields of CachePolicy.
    """A submit of the work, with a request id of its own."""
    policy = {"ttl_ms": HOUR_MS, "key": KEY, **policy}
    return await rig.receipt(cache=CachePolicy(**policy))


async def run(rig: Rig, result: Content = RESULT) -> Grant:
    """Runs the one job that waits."""
    (grant,) = await rig.claim()
    await rig.broker.attempts.complete(grant.job_id, grant.fencing_token, result)
    return grant


# Who runs.


async def test_the_first_runs_those_meanwhile_join_and_those_after_it_are_answered(
    rig: Rig,
) -> None:
    first = await ask(rig)
    assert first.outcome is CREATED
    second = await ask(rig)
    assert (second.outcome, second.job_id) == (JOINED, first.job_id)
    assert second.state is JobState.QUEUED
    (grant,) = await rig.claim()
    third = await ask(rig)
    assert (third.outcome, third.state) == (JOINED, JobState.RUNNING)
    await rig.complete(grant)

    hit = await ask(rig)
    assert (hit.outcome, hit.state) == (CACHED, JobState.SUCCEEDED)
    assert hit.job_id != first.job_id
    assert await rig.waiting_tails() == []
    assert await rig.counters() == {
        "submitted": 2,
        "succeeded": 1,
        "cache_misses": 1,
        "cache_joined": 2,
        "cache_hits": 1,
    }


async def test_a_submit_is_heard_also_if_its_first_try_came_not_so_far_as_to_ring(
    rig: Rig, other: Broker
) -> None:
    bell = rig.broker.engine.names.bell("idle one")
    for _ in range(2):
        await other.doorbell.idle("idle one", [rig.slot.queue_code])
        await rig.call("DEL", bell)
        await rig.receipt(cache=CachePolicy(HOUR_MS, KEY), request_id="one")
        await eventually(lambda: rig.call("LLEN", bell), "the bell of an idle worker is rung")


@pytest.mark.parametrize("result", [RESULT, LARGE], ids=["small", "large"])
async def test_a_hit_is_a_job_of_its_own_with_a_copy_of_the_result(
    rig: Rig, result: Content
) -> None:
    source = (await ask(rig)).job_id
    await run(rig, result)
    receipt = await rig.receipt(
        payload=LARGE,
        metadata={"who": "me"},
        cache=CachePolicy(HOUR_MS, KEY, hit_retention_ms=60_000),
    )
    hit = await rig.job(receipt.job_id)
    assert (hit.state, hit.cached_from, hit.result) == (JobState.SUCCEEDED, source, result)
    assert (hit.payload, hit.metadata, hit.kept_ms) == (LARGE, {"who": "me"}, 60_000)
    assert (hit.attempt, hit.fencing_token, hit.last_sequence) == (0, 0, 1)
    assert (hit.queued_ms, hit.started_ms, hit.finished_ms) == (None, None, hit.created_ms)
    (event,) = await rig.events(receipt.job_id)
    assert event.body == StateChange(JobState.SUCCEEDED, 0)
    # It outlives what it was copied from.
    await rig.pass_retention(source)
    assert (await rig.job(receipt.job_id)).result == result


async def test_many_at_once_run_one_job(rig: Rig, other: Broker) -> None:
    there = await Rig.on(other)
    there.numbers = iter(range(10_000, 20_000))
    receipts = await asyncio.gather(*(ask(each) for _ in range(250) for each in (rig, there)))
    assert len({receipt.job_id for receipt in receipts}) == 1
    assert [receipt.outcome for receipt in receipts].count(CREATED) == 1


async def test_a_batch_shares_a_job_too(rig: Rig) -> None:
    jobs = [rig.new_job(cache=CachePolicy(HOUR_MS, KEY)) for _ in range(3)]
    outcomes = await rig.broker.jobs.submit_many([*jobs, rig.new_job()])
    assert [each.outcome for each in outcomes if isinstance(each, Submitted)] == [
        CREATED,
        JOINED,
        JOINED,
        CREATED,
    ]


async def test_equal_submits_meet_in_one_of_many_partitions(url: str) -> None:
    async with Broker(url, BrokerOptions(partitions=8)) as broker:
        queue = await broker.engine.ensure_queue("wide")
        rig = Rig(broker, broker.engine.slots(queue)[0])
        policies = [CachePolicy(HOUR_MS, caller_key(str(key))) for key in range(20)]
        for policy in policies:
            await rig.receipt(queue="wide", cache=policy)
        receipts = [await rig.receipt(queue="wide", cache=policy) for policy in policies]
        assert {receipt.outcome for receipt in receipts} == {JOINED}
        places = {receipt.job_id[:2] for receipt in receipts}
        assert len(places) > 1


@pytest.mark.parametrize(
    "change",
    [{"key": caller_key("other work")}, {"tags": ("t",)}],
    ids=["another key", "other tags"],
)
async def test_what_differs_does_not_meet(rig: Rig, change: dict[str, Any]) -> None:
    first = await ask(rig)
    second = await ask(rig, **change)
    assert second.outcome is CREATED
    assert second.job_id != first.job_id


async def test_the_type_is_a_part_of_the_work_and_the_order_of_tags_is_not(rig: Rig) -> None:
    policy = CachePolicy(HOUR_MS, KEY, ("a", "b"))
    assert (await rig.receipt(cache=policy)).outcome is CREATED
    assert (await rig.receipt(type="other", cache=policy)).outcome is CREATED
    turned = CachePolicy(HOUR_MS, KEY, ("b", "a"))
    assert (await rig.receipt(cache=turned)).outcome is JOINED


async def test_repeating_a_submit_is_the_same_job_whatever_its_outcome_was(rig: Rig) -> None:
    first = rig.new_job(cache=CachePolicy(HOUR_MS, KEY))
    made = await rig.broker.jobs.submit(first)
    await run(rig)
    second = rig.new_job(cache=CachePolicy(HOUR_MS, KEY))
    hit = await rig.broker.jobs.submit(second)
    await rig.broker.cache.invalidate([CacheTarget("work")])
    for job, receipt in ((first, made), (second, hit)):
        again = await rig.broker.jobs.submit(job)
        assert (again.outcome, again.job_id) == (REPEATED, receipt.job_id)


# How long a result stands.


async def test_a_result_is_given_out_for_as_long_as_its_own_ttl(rig: Rig) -> None:
    first = await ask(rig, ttl_ms=1_500)
    await run(rig)
    assert (await ask(rig)).outcome is CACHED
    entry = rig.slot.cache(ids.cache_digest("work", KEY))
    assert 0 < await rig.call("PTTL", entry) <= 1_500

    async def over() -> bool:
        return not await rig.call("EXISTS", entry)

    await eventually(over, "the entry's life ends")
    again = await ask(rig)
    assert (again.outcome, again.job_id == first.job_id) == (CREATED, False)


async def test_nobody_takes_a_result_that_is_too_old_for_it(rig: Rig) -> None:
    first = await ask(rig)
    await run(rig)
    tail = tail_of(first.job_id)
    finished = int((await rig.record(first.job_id))[b"e"])
    await rig.call("HSET", rig.slot.record(tail), "e", finished - 60_000)
    await rig.call("ZADD", rig.slot.ended(JobState.SUCCEEDED), finished - 60_000 + 86_400_000, tail)
    assert (await ask(rig, ttl_ms=120_000)).outcome is CACHED
    assert (await ask(rig, ttl_ms=60_000)).outcome is CREATED


async def test_a_job_is_kept_for_as_long_as_its_result_may_be_given_out(rig: Rig) -> None:
    receipt = await rig.receipt(retention_ms=1_000, cache=CachePolicy(HOUR_MS, KEY))
    await run(rig)
    assert (await rig.job(receipt.job_id)).retention_succeeded_ms == HOUR_MS
    assert 1_000 < await rig.call("PTTL", rig.slot.record(tail_of(receipt.job_id))) <= HOUR_MS


async def test_a_hit_is_kept_for_its_own_time_however_long_the_ttl(rig: Rig) -> None:
    week_ms = 7 * 24 * HOUR_MS
    source = await ask(rig, ttl_ms=week_ms)
    await run(rig)
    hit = await ask(rig, ttl_ms=week_ms, hit_retention_ms=60_000)
    lives_ms = [
        await rig.call("PTTL", rig.slot.record(tail_of(receipt.job_id)))
        for receipt in (source, hit)
    ]
    assert lives_ms[0] > week_ms - 60_000
    assert 0 < lives_ms[1] <= 60_000


async def test_a_result_that_was_forgotten_early_is_no_hit(rig: Rig) -> None:
    await ask(rig)
    await run(rig)
    assert await rig.prune(keep=0) == 1
    assert (await ask(rig)).outcome is CREATED


async def test_another_job_under_the_id_of_a_forgotten_one_answers_nobody(rig: Rig) -> None:
    request_id = "once"
    await rig.receipt(request_id=request_id, cache=CachePolicy(HOUR_MS, KEY))
    await run(rig)
    assert await rig.prune(keep=0) == 1
    await rig.receipt(request_id=request_id, payload=Content(b'"other work"'))
    await run(rig)
    assert (await ask(rig)).outcome is CREATED


# What is not cached.


async def cancelled(rig: Rig, grant: Grant) -> None:
    await rig.fail(grant, "cancelled")


async def failed(rig: Rig, grant: Grant) -> None:
    await rig.fail(grant, "final")


async def expired(rig: Rig, grant: Grant) -> None:
    await rig.fail(grant, "expired")


@pytest.mark.parametrize("end", [cancelled, failed, expired])
async def test_only_success_is_cached(
    rig: Rig, end: Callable[[Rig, Grant], Awaitable[None]]
) -> None:
    await ask(rig)
    (grant,) = await rig.claim()
    await end(rig, grant)
    assert await rig.call("KEYS", rig.slot.cache("*")) == []
    assert (await ask(rig)).outcome is CREATED


async def test_a_job_that_waits_for_its_retry_is_joined(rig: Rig) -> None:
    first = await ask(rig)
    (grant,) = await rig.claim()
    assert await rig.fail(grant, retry_after_ms=HOUR_MS) is JobState.SCHEDULED
    joined = await ask(rig)
    assert (joined.outcome, joined.job_id) == (JOINED, first.job_id)
    assert joined.state is JobState.SCHEDULED


async def test_a_job_that_was_asked_to_stop_is_joined_no_more(rig: Rig) -> None:
    first = await ask(rig)
    (grant,) = await rig.claim()
    await rig.broker.jobs.cancel(first.job_id, "enough")
    second = await ask(rig)
    assert (second.outcome, second.job_id == grant.job_id) == (CREATED, False)


async def test_a_job_that_waits_past_its_deadline_is_joined_no_more(rig: Rig) -> None:
    late = await ask(rig)
    await rig.pass_deadline(late.job_id)
    second = await ask(rig)
    assert second.outcome is CREATED
    assert await rig.expire() == 1
    joined = await ask(rig)
    assert (joined.outcome, joined.job_id) == (JOINED, second.job_id), "the late one took nothing"


async def test_a_retry_that_waits_past_the_deadline_is_joined_no_more(rig: Rig) -> None:
    first = await ask(rig)
    (grant,) = await rig.claim()
    await rig.fail(grant, retry_after_ms=HOUR_MS)
    await rig.pass_deadline(first.job_id)
    assert (await ask(rig)).outcome is CREATED


async def test_a_job_that_runs_past_its_deadline_is_joined(rig: Rig) -> None:
    first = await ask(rig)
    await rig.claim()
    await rig.pass_deadline(first.job_id)
    joined = await ask(rig)
    assert (joined.outcome, joined.job_id) == (JOINED, first.job_id)


@pytest.mark.parametrize("end", [Rig.complete, failed])
async def test_a_job_leaves_alone_what_a_later_one_has_taken(
    rig: Rig, end: Callable[[Rig, Grant], Awaitable[None]]
) -> None:
    await ask(rig)
    (grant,) = await rig.claim()
    later = await ask(rig, reads=False)
    entry = rig.slot.cache(ids.cache_digest("work", KEY))
    life_ms = await rig.call("PTTL", entry)
    await end(rig, grant)
    assert HOUR_MS < life_ms - 60_000 < await rig.call("PTTL", entry)
    joined = await ask(rig)
    assert (joined.outcome, joined.job_id) == (JOINED, later.job_id)


async def test_skip_cache_runs_and_replaces_what_is_cached(rig: Rig) -> None:
    await ask(rig)
    await run(rig)
    fresh = await ask(rig, reads=False)
    assert fresh.outcome is CREATED
    assert (await ask(rig)).job_id == fresh.job_id
    newer = Content(b"7")
    await run(rig, newer)
    hit = await ask(rig)
    assert (await rig.job(hit.job_id)).result == newer


async def test_do_not_cache_takes_what_is_there_and_leaves_nothing(rig: Rig) -> None:
    alone = await ask(rig, writes=False)
    assert alone.outcome is CREATED
    assert (await ask(rig)).outcome is CREATED
    assert (await ask(rig, writes=False)).outcome is JOINED
    for grant in await rig.claim():
        await rig.complete(grant)
    assert (await ask(rig, writes=False)).outcome is CACHED


# Invalidation.


@pytest.mark.parametrize(
    "target",
    [CacheTarget("work"), CacheTarget("work", KEY), CacheTarget(tag="t1"), CacheTarget(tag="t2")],
    ids=["type", "key", "tag", "other tag"],
)
@pytest.mark.parametrize("under_way", [True, False], ids=["under way", "done"])
async def test_an_invalidation_is_seen_by_the_next_submit(
    rig: Rig, other: Broker, target: CacheTarget, *, under_way: bool
) -> None:
    tags = ("t1", "t2")
    first = await ask(rig, tags=tags)
    if not under_way:
        await run(rig)
    await other.cache.invalidate([target])
    second = await ask(rig, tags=tags)
    assert (second.outcome, second.job_id == first.job_id) == (CREATED, False)
    for grant in await rig.claim():
        await rig.complete(grant)
    hit = await ask(rig, tags=tags)
    assert (await rig.job(hit.job_id)).cached_from == second.job_id


async def test_an_invalidation_leaves_all_else_alone(rig: Rig) -> None:
    await ask(rig, tags=("kept",))
    targets = [
        CacheTarget("elsewhere"),
        CacheTarget("work", caller_key("other work")),
        CacheTarget("elsewhere", KEY),
        CacheTarget(tag="other"),
    ]
    mine = set(fields_for("work", CachePolicy(HOUR_MS, KEY, ("kept",))))
    assert mine.isdisjoint(target.field for target in targets), "they share a bucket by chance"
    await rig.broker.cache.invalidate(targets)
    assert (await ask(rig, tags=("kept",))).outcome is JOINED


async def test_a_generation_never_comes_back(rig: Rig) -> None:
    """Also where the server lost its newest writes: what it forgot is not counted anew."""
    target, key = CacheTarget(tag="t"), rig.broker.engine.names.generations()
    await rig.broker.cache.invalidate([target])
    first = int(await rig.call("HGET", key, target.field))
    await rig.call("DEL", key)
    await rig.broker.cache.invalidate([target])
    second = int(await rig.call("HGET", key, target.field))
    # A clock that goes back does not take it along.
    await rig.call("HSET", key, target.field, 2 * second)
    await rig.broker.cache.invalidate([target])
    assert first < second < int(await rig.call("HGET", key, target.field)) == 2 * second + 1


async def test_a_namespace_is_not_reached_from_another(rig: Rig, url: str) -> None:
    await ask(rig)
    async with Broker(url, BrokerOptions(namespace="neighbours")) as neighbours:
        await neighbours.cache.invalidate([CacheTarget("work")])
        theirs = await Rig.on(neighbours)
        assert (await ask(theirs)).outcome is CREATED
    assert (await ask(rig)).outcome is JOINED
