"""How many ended jobs are kept, of a queue and of a type."""

from __future__ import annotations

from typing import Any, Final

import pytest

from penstock.broker import JobState, Keep, Policy, PolicyKey, ids
from tests.broker.rig import QUEUE, Rig, tail_of

ANY: Final = PolicyKey(QUEUE)
WORK: Final = PolicyKey(QUEUE, "work")


async def ended(rig: Rig, count: int, **options: Any) -> list[str]:  # noqa: ANN401 - as Rig.new_job.
    """So many jobs that succeeded, the first of which are forgotten first."""
    jobs = []
    for _ in range(count):
        grant = await rig.granted(retention_ms=3_600_000 + 1_000 * next(rig.numbers), **options)
        await rig.complete(grant)
        jobs.append(grant.job_id)
    return jobs


async def test_only_so_many_are_kept(rig: Rig) -> None:
    await rig.broker.policies.put(ANY, Policy(succeeded=Keep(count=2), failed=Keep(count=1)))
    jobs = await ended(rig, 5)
    letters = []
    for _ in range(3):
        grant = await rig.granted(retention_ms=3_600_000 + 1_000 * next(rig.numbers))
        await rig.fail(grant, "final")
        letters.append(grant.job_id)
    assert await rig.prune(grace_ms=0) == 5
    listed = await rig.listed(states=[JobState.SUCCEEDED, JobState.FAILED])
    assert {job.job_id for job in listed} == {*jobs[3:], letters[2]}
    assert await rig.prune(grace_ms=0) == 0


async def test_who_has_just_ended_is_kept_for_a_grace(rig: Rig) -> None:
    await rig.broker.policies.put(ANY, Policy(succeeded=Keep(count=0)))
    grant = await rig.granted()
    await rig.complete(grant)
    assert await rig.prune() == 0
    assert await rig.prune(grace_ms=0) == 1


async def test_a_type_has_its_own_count(rig: Rig) -> None:
    await rig.broker.policies.put(WORK, Policy(succeeded=Keep(count=1)))
    work, other = await ended(rig, 3), await ended(rig, 3, type="other")
    assert await rig.prune(grace_ms=0) == 2
    listed = await rig.listed(states=[JobState.SUCCEEDED])
    assert {job.job_id for job in listed} == {work[2], *other}
    await rig.pass_retention(work[2])
    late = await ended(rig, 2)
    assert await rig.prune(grace_ms=0) == 2
    assert (await rig.job(late[1])).state is JobState.SUCCEEDED


async def test_a_count_that_is_taken_back_leaves_nothing_behind(rig: Rig) -> None:
    await rig.broker.policies.put(WORK, Policy(succeeded=Keep(count=1)))
    await ended(rig, 3)
    digest = ids.key_digest("work")
    assert await rig.call("ZCARD", rig.slot.kept(digest, JobState.SUCCEEDED)) == 3
    await rig.broker.policies.put(WORK, Policy(concurrency=5))
    assert await rig.call("EXISTS", rig.slot.kept(digest, JobState.SUCCEEDED)) == 0
    assert await rig.prune(grace_ms=0) == 0


@pytest.mark.foreign_hands  # They make jobs older than they are.
async def test_whoever_keeps_house_sees_to_it(rig: Rig) -> None:
    await rig.broker.policies.put(ANY, Policy(succeeded=Keep(count=2)))
    jobs = await ended(rig, 5)
    for job_id in jobs:
        await rig.call("HSET", rig.slot.record(tail_of(job_id)), "e", 1_000)
    await rig.broker.housekeeper.visit(rig.slot)
    assert {job.job_id for job in await rig.listed()} == set(jobs[3:])
