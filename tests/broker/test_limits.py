"""Limits: how many jobs run at once, of a queue and of a type."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.broker import (
    Broker,
    BrokerOptions,
    Grant,
    HoldReason,
    InvalidArgument,
    JobState,
    Keep,
    Policy,
    PolicyKey,
    Priority,
    ids,
)
from penstock.broker.limits import QueueLimits
from penstock.broker.reconciler import REPAIR
from tests.broker.audit import audit
from tests.broker.rig import QUEUE, Rig, tail_of
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Mapping

ANY: Final = PolicyKey(QUEUE)
WORK: Final = PolicyKey(QUEUE, "work")


async def limit(rig: Rig, key: PolicyKey, concurrency: int | None) -> None:
    """So many jobs may run at once; None is no limit."""
    await rig.broker.policies.put(key, Policy(concurrency=concurrency))


def ids_of(grants: list[Grant]) -> list[str]:
    return [grant.job_id for grant in grants]


async def end(rig: Rig, grant: Grant, how: str) -> None:
    """An attempt ends, in one way or another."""
    match how:
        case "complete":
            await rig.complete(grant)
        case "release":
            await rig.release(grant, pause_ms=60_000)
        case "lost":
            await rig.lose_lease(grant.job_id, max_crashes=1)
        case "disown":
            await rig.broker.attempts.disown(rig.slot, "worker", [])
            await rig.broker.jobs.cancel(grant.job_id, "stop")
        case kind:
            await rig.fail(grant, kind, retry_after_ms=60_000)


ENDS: Final = [
    "complete", "release", "lost", "disown", "error", "timeout", "final", "cancelled", "expired",
]  # fmt: skip


@pytest.mark.parametrize("key", [ANY, WORK])
@pytest.mark.parametrize("how", ENDS)
async def test_no_more_run_than_may_and_each_end_makes_room_for_one(
    rig: Rig, key: PolicyKey, how: str
) -> None:
    await limit(rig, key, 2)
    jobs = [await rig.submit() for _ in range(5)]
    grants = await rig.claim()
    assert ids_of(grants) == jobs[:2]
    assert await rig.claim() == []
    if how == "disown":  # Takes back all that the worker has.
        (kept, grant) = grants[1], grants[0]
        await rig.broker.attempts.disown(rig.slot, "worker", [kept.job_id])
        await rig.broker.jobs.cancel(grant.job_id, "stop")
    else:
        await end(rig, grants[0], how)
    assert ids_of(await rig.claim()) == [jobs[2]]
    assert await rig.claim() == []


async def test_the_others_of_a_queue_pass_by_a_type_that_is_full(rig: Rig) -> None:
    await limit(rig, WORK, 1)
    first = await rig.submit()
    held = [await rig.submit() for _ in range(3)]
    others = [await rig.submit(type="other") for _ in range(2)]
    grants = await rig.claim()
    assert ids_of(grants) == [first, *others]
    for job_id in held:
        job = await rig.job(job_id)
        assert (job.state, job.hold_reason) == (JobState.QUEUED, HoldReason.TYPE_CONCURRENCY)
    assert (await rig.job(first)).hold_reason is None
    stats = await rig.broker.queues.stats(QUEUE)
    assert (stats.held, stats.waiting[Priority.DEFAULT], stats.running) == (3, 3, 3)
    assert {name: (load.running, load.held) for name, load in stats.types.items()} == {
        "work": (1, 3)
    }
    assert stats.oldest_waiting_age_ms is not None
    await rig.complete(grants[0])
    (grant,) = await rig.claim()
    assert grant.job_id == held[0]
    assert (await rig.job(held[0])).hold_reason is None


async def test_who_was_held_keeps_his_rank_by_priority_and_age(rig: Rig) -> None:
    await limit(rig, WORK, 1)
    first = await rig.submit()
    low = await rig.submit(priority=Priority.LOW)
    default = await rig.submit()
    (grant,) = await rig.claim()
    assert grant.job_id == first
    between = await rig.submit(type="other")
    late = await rig.submit()
    high = await rig.submit(priority=Priority.HIGH)
    served = []
    while True:
        await rig.complete(grant)
        granted = await rig.claim(1)
        if not granted:
            break
        (grant,) = granted
        served.append(grant.job_id)
    # As without a limit.
    assert served == [high, default, between, late, low]


async def test_several_types_each_have_their_own_limit(rig: Rig) -> None:
    await limit(rig, WORK, 1)
    await limit(rig, PolicyKey(QUEUE, "toil"), 2)
    await limit(rig, ANY, 4)
    jobs = [await rig.submit(type=kind) for kind in ("work", "toil", "other") for _ in range(3)]
    assert ids_of(await rig.claim()) == [jobs[0], jobs[3], jobs[4], jobs[6]]
    assert await rig.claim() == []


@pytest.mark.parametrize("structure", ["cancel", "expire", "purge"])
async def test_a_held_job_ends_like_any_other_that_waits(rig: Rig, structure: str) -> None:
    await limit(rig, WORK, 1)
    await rig.submit()
    held = await rig.submit(expires_in_ms=3_600_000)
    await rig.claim()
    if structure == "cancel":
        await rig.broker.jobs.cancel(held, "no more")
    elif structure == "expire":
        await rig.pass_deadline(held)
        assert await rig.expire() == 1
    else:
        assert await rig.broker.queues.purge(QUEUE) == (1, False)
    assert (await rig.job(held)).state.terminal
    assert (await rig.job(held)).hold_reason is None
    stats = await rig.broker.queues.stats(QUEUE)
    assert (stats.held, stats.waiting[Priority.DEFAULT]) == (0, 0)


async def test_a_held_job_past_its_deadline_is_expired_by_the_claim_that_meets_it(rig: Rig) -> None:
    await limit(rig, WORK, 1)
    await rig.submit()
    held = await rig.submit(expires_in_ms=3_600_000)
    (grant,) = await rig.claim()
    await rig.pass_deadline(held)
    await rig.complete(grant)
    assert await rig.claim() == []
    assert await rig.state(held) is JobState.EXPIRED


async def test_held_jobs_are_listed_once_with_the_others(rig: Rig) -> None:
    await limit(rig, WORK, 1)
    jobs = [await rig.submit() for _ in range(7)]
    await rig.claim()
    late = await rig.submit(type="other")
    for size in (1, 3, 100):
        listed = await rig.listed(size, states=[JobState.QUEUED])
        assert [job.job_id for job in listed] == [late, *jobs[1:]]


async def test_a_heap_of_held_jobs_does_not_stand_in_the_way(rig: Rig) -> None:
    await limit(rig, WORK, 1)
    await rig.broker.jobs.submit_many([rig.new_job() for _ in range(1_200)])
    last = await rig.submit(type="other")
    grants = await rig.claim(2)
    assert len(grants) == 2
    assert grants[1].job_id == last


async def test_jobs_that_run_already_count_under_a_new_limit(rig: Rig) -> None:
    jobs = [await rig.submit() for _ in range(5)]
    running = await rig.claim(3)
    await limit(rig, WORK, 2)
    assert await rig.claim() == []
    await rig.complete(running[0])
    assert await rig.claim() == []
    await rig.complete(running[1])
    assert ids_of(await rig.claim()) == [jobs[3]]
    await rig.complete(running[2])


async def test_a_limit_that_is_raised_or_taken_back_lets_the_held_run(rig: Rig) -> None:
    await limit(rig, WORK, 1)
    jobs = [await rig.submit() for _ in range(5)]
    await rig.claim()
    await limit(rig, WORK, 2)
    assert ids_of(await rig.claim()) == [jobs[1]]
    await rig.broker.policies.delete(WORK)
    assert ids_of(await rig.claim(2)) == jobs[2:4]
    late = await rig.submit()
    assert ids_of(await rig.claim()) == [jobs[4], late]
    assert await rig.claim() == []
    assert await rig.call("EXISTS", rig.slot.limits()) == 0


async def test_a_limit_that_comes_back_finds_those_who_run(rig: Rig) -> None:
    await limit(rig, WORK, 1)
    for _ in range(4):
        await rig.submit()
    (first,) = await rig.claim()
    await rig.broker.policies.delete(WORK)
    (second,) = await rig.claim(1)
    await limit(rig, WORK, 1)
    for grant in (first, second):
        assert await rig.claim() == []
        await rig.complete(grant)
    assert len(await rig.claim()) == 1


async def test_limits_are_split_over_partitions_and_hold_together(url: str) -> None:
    async with Broker(url, BrokerOptions(partitions=3)) as broker:
        queue = await broker.engine.ensure_queue("wide")
        rig = Rig(broker, broker.engine.slots(queue)[0])
        with pytest.raises(InvalidArgument) as refused:
            await broker.policies.put(PolicyKey("wide"), Policy(concurrency=2))
        assert [path for path, _ in refused.value.violations] == ["policy.concurrency"]
        await broker.policies.put(PolicyKey("wide"), Policy(concurrency=7))
        await broker.policies.put(PolicyKey("wide", "work"), Policy(concurrency=4))
        jobs = [
            rig.new_job(queue="wide", type=kind) for kind in ("work", "other") for _ in range(60)
        ]
        await broker.jobs.submit_many(jobs)
        grants = []
        for slot in broker.engine.slots(queue):
            grants += await broker.attempts.claim(slot, "worker", 100, 10_000)
        assert len(grants) == 7
        assert sum(grant.type == "work" for grant in grants) <= 4


limits = st.none() | st.integers(0, 50)


@given(limits, st.integers(1, 9), limits)
def test_shares_add_up(running: int | None, partitions: int, kept: int | None) -> None:
    queue = QueueLimits.of({"": Policy(concurrency=running, failed=Keep(count=kept))})
    shares = [queue.share(partition, partitions) for partition in range(partitions)]
    assert {share[1] for share in shares} == {""}
    if kept is None:
        assert {share[2] for share in shares} == {""}
    else:
        assert sum(int(share[2]) for share in shares) == kept
    if running is not None and running >= partitions:
        assert sum(int(share[0]) for share in shares) == running
        assert min(int(share[0]) for share in shares) >= 1


def test_a_fingerprint_tells_limits_apart() -> None:
    rows: list[Mapping[str, Policy]] = [
        {},
        {"": Policy(concurrency=1)},
        {"": Policy(concurrency=2)},
        {"a": Policy(concurrency=2)},
        {"b": Policy(concurrency=2)},
        {"": Policy(succeeded=Keep(count=2))},
        {"": Policy(failed=Keep(count=2))},
        {"": Policy(failed=Keep(count=0))},
    ]
    prints = [QueueLimits.of(row).fingerprint for row in rows]
    assert len(set(prints)) == len(prints)
    assert QueueLimits.of({"": Policy(max_attempts=3)}).fingerprint == "" == prints[0]


# What foreign hands have done is put right.


@pytest.mark.foreign_hands
async def test_a_slot_that_lost_its_limits_gets_them_back(rig: Rig) -> None:
    await limit(rig, ANY, 2)
    await limit(rig, WORK, 1)
    before = await rig.snapshot()
    await rig.call("DEL", rig.slot.limits())
    await rig.broker.housekeeper.visit(rig.slot)
    after = await rig.snapshot()
    assert after == before


@pytest.mark.foreign_hands
async def test_a_slot_gets_rid_of_limits_that_no_policy_asks_for(rig: Rig) -> None:
    await limit(rig, ANY, 2)
    await rig.call("DEL", rig.broker.engine.names.policies())
    await rig.broker.policies.refresh()
    await rig.broker.housekeeper.visit(rig.slot)
    assert await rig.call("EXISTS", rig.slot.limits()) == 0


@pytest.mark.foreign_hands
async def test_lost_places_of_held_and_running_jobs_are_restored(rig: Rig) -> None:
    await limit(rig, WORK, 1)
    jobs = [await rig.submit() for _ in range(3)]
    await rig.claim()
    before = await rig.snapshot()
    digest = ids.key_digest("work")
    for key in (rig.slot.gate(digest), rig.slot.parked(digest), rig.slot.held()):
        await rig.call("DEL", key)
    repaired = await rig.broker.engine.run(REPAIR, [rig.slot.base], *map(tail_of, jobs))
    assert repaired == [3, []]
    assert await rig.snapshot() == before
    assert await audit(rig.broker) == []


@pytest.mark.foreign_hands
@pytest.mark.parametrize("lost", ["limits", "parked"])
async def test_who_is_held_without_a_limit_is_not_forgotten(rig: Rig, lost: str) -> None:
    await limit(rig, WORK, 1)
    jobs = [await rig.submit() for _ in range(3)]
    await rig.claim()
    await rig.broker.policies.delete(WORK)
    parked = rig.slot.parked(ids.key_digest("work"))
    await rig.call("DEL", rig.slot.limits() if lost == "limits" else parked)
    assert await rig.claim() == []
    repaired = await rig.broker.engine.run(REPAIR, [rig.slot.base], *map(tail_of, jobs))
    assert repaired == [1 if lost == "limits" else 2, []]
    assert ids_of(await rig.claim()) == jobs[1:]
    assert await rig.claim() == []
    assert await rig.call("EXISTS", rig.slot.limits()) == 0


@pytest.mark.foreign_hands
async def test_a_place_that_nobody_holds_is_free_again(rig: Rig) -> None:
    await limit(rig, WORK, 1)
    await rig.submit()
    (gone,) = await rig.claim()
    await rig.call("DEL", rig.slot.record(tail_of(gone.job_id)))
    await rig.call("ZREM", rig.slot.leases(), tail_of(gone.job_id))
    second = await rig.submit()
    assert ids_of(await rig.claim()) == [second]


# The fleet.


async def test_whoever_frees_a_place_rings_for_the_next(rig: Rig, other: Broker) -> None:
    await limit(rig, WORK, 1)
    for _ in range(2):
        await rig.submit()
    (grant,) = await rig.claim()
    names = rig.broker.engine.names
    await other.doorbell.idle("idle one", [rig.slot.queue_code])
    await rig.complete(grant)
    await eventually(
        lambda: rig.call("LLEN", names.bell("idle one")), "the bell of an idle worker is rung"
    )


async def test_claims_of_many_at_once_never_exceed_a_limit(rig: Rig, other: Broker) -> None:
    await limit(rig, ANY, 5)
    await limit(rig, WORK, 3)
    jobs = [rig.new_job(type=kind) for kind in ("work", "other") for _ in range(40)]
    await rig.broker.jobs.submit_many(jobs)
    rigs = [rig, await Rig.on(other)]
    done: set[str] = set()
    while len(done) < len(jobs):
        claims = await asyncio.gather(
            *(rigs[n % 2].claim(3, worker_id=f"worker-{n}") for n in range(6))
        )
        grants = [grant for claim in claims for grant in claim]
        assert len(grants) == min(5, len(jobs) - len(done))
        assert sum(grant.type == "work" for grant in grants) <= 3
        assert await audit(rig.broker) == []
        await asyncio.gather(*(rig.complete(grant) for grant in grants))
        done.update(ids_of(grants))
