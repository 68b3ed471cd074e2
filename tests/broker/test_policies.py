"""Policies: who decides, and how they are put down, held by other processes and taken back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.broker import (
    DEFAULTS,
    Backoff,
    Broker,
    Content,
    JobState,
    Keep,
    LimitExceeded,
    NewJob,
    Policy,
    PolicyKey,
    PolicyReader,
    PolicySource,
    Priority,
)
from penstock.broker.policies import MAX_TYPES_PER_QUEUE
from penstock.broker.policy import GRACE_MS, file_text, parse_file_text
from tests.broker.rig import QUEUE
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from tests.broker.rig import Rig

ANY: Final = PolicyKey(QUEUE)
WORK: Final = PolicyKey(QUEUE, "work")

counts = st.none() | st.integers(1, 100)
spans = st.none() | st.integers(0, 366 * 86_400_000)
keeps = st.builds(Keep, spans, counts)
backoffs = st.none() | st.builds(
    Backoff, st.integers(0, 10_000), st.integers(0, 10_000), st.floats(1, 10), st.floats(0, 1)
)
priorities = st.none() | st.sampled_from(Priority)
policies = st.builds(Policy, counts, backoffs, spans, priorities, counts, keeps, keeps)
submits = st.builds(
    NewJob,
    type=st.just("work"),
    queue=st.just(QUEUE),
    request_id=st.just("r"),
    max_attempts=counts,
    backoff=backoffs,
    timeout_ms=spans,
    priority=priorities,
    retention_ms=st.none() | st.integers(1_000, 10_000),
)

PLAIN: Final = ("max_attempts", "backoff", "timeout_ms", "priority")


@given(policies)
def test_a_policy_is_read_back_as_it_was_written(policy: Policy) -> None:
    assert Policy.from_plain(policy.to_plain()) == policy
    held = {ANY: policy, WORK: Policy()}
    assert parse_file_text(file_text(held).encode()) == held


def test_fields_of_a_later_version_are_left_out() -> None:
    plain: dict[str, Any] = {"max_attempts": 2, "colour": "red", "failed": {"age_ms": 1, "to": "x"}}
    assert Policy.from_plain(plain) == Policy(max_attempts=2, failed=Keep(1))


@given(submits, policies, policies)
def test_the_strongest_that_says_something_decides(
    job: NewJob, of_type: Policy, of_queue: Policy
) -> None:
    filled = of_type.over(of_queue).fill(job)
    for name in PLAIN:
        voices = (getattr(level, name) for level in (job, of_type, of_queue))
        assert getattr(filled, name) == next((v for v in voices if v is not None), None)
    for field, keep in (("retention_ms", "failed"), ("retention_succeeded_ms", "succeeded")):
        voices = (getattr(level, keep).age_ms for level in (of_type, of_queue))
        age_ms = next((v for v in voices if v is not None), None)
        expected = None if age_ms is None else max(age_ms, GRACE_MS)
        if job.retention_ms is not None:
            expected = getattr(job, field)
        assert getattr(filled, field) == expected


@given(policies, policies)
def test_what_is_counted_is_not_taken_over(of_type: Policy, of_queue: Policy) -> None:
    effective = of_type.over(of_queue)
    assert effective.concurrency == of_type.concurrency
    assert effective.succeeded.count == of_type.succeeded.count
    assert effective.failed.count == of_type.failed.count


async def test_a_job_takes_what_its_submit_leaves_open(rig: Rig) -> None:
    policies = rig.broker.policies
    await policies.put(ANY, Policy(max_attempts=7, timeout_ms=9_000, priority=Priority.LOW))
    await policies.put(WORK, Policy(max_attempts=5, backoff=Backoff(5, 50, 1.0, 0.0)))
    job = await rig.job(await rig.submit())
    assert (job.max_attempts, job.timeout_ms, job.priority) == (5, 9_000, Priority.LOW)
    assert job.backoff == Backoff(5, 50, 1.0, 0.0)
    other = await rig.job(await rig.submit(type="other", priority=Priority.DEFAULT))
    assert (other.max_attempts, other.priority) == (7, Priority.DEFAULT)
    assert other.backoff == DEFAULTS.backoff
    assert (await rig.job(await rig.submit(max_attempts=1))).max_attempts == 1


async def test_a_job_keeps_what_it_was_submitted_with(rig: Rig) -> None:
    await rig.broker.policies.put(ANY, Policy(max_attempts=1))
    first = await rig.granted()
    await rig.broker.policies.put(ANY, Policy(max_attempts=9, timeout_ms=1))
    assert await rig.fail(first) is JobState.FAILED
    renewed = await rig.job((await rig.broker.jobs.retry(first.job_id, "again")).job_id)
    assert (renewed.max_attempts, renewed.timeout_ms) == (1, None)


async def test_what_succeeds_is_kept_for_its_own_time(rig: Rig) -> None:
    await rig.broker.policies.put(ANY, Policy(succeeded=Keep(60_000), failed=Keep(120_000)))
    well, badly = await rig.granted(), await rig.granted()
    await rig.complete(well)
    await rig.fail(badly, "final")
    assert (await rig.job(well.job_id)).kept_ms == 60_000
    assert (await rig.job(badly.job_id)).kept_ms == 120_000
    for grant, kept_ms in ((well, 60_000), (badly, 120_000)):
        key = rig.slot.record(grant.job_id[-26:])
        assert kept_ms - 5_000 < await rig.call("PTTL", key) <= kept_ms
    renewed = await rig.broker.jobs.retry(badly.job_id, "again")
    (grant,) = await rig.claim()
    assert grant.job_id == renewed.job_id
    await rig.complete(grant)
    assert (await rig.job(grant.job_id)).kept_ms == 60_000


async def test_what_is_removed_at_once_is_kept_for_a_grace(rig: Rig) -> None:
    await rig.broker.policies.put(ANY, Policy(succeeded=Keep(0)))
    grant = await rig.granted()
    await rig.complete(grant)
    assert (await rig.job(grant.job_id)).kept_ms == GRACE_MS
    kept = await rig.granted(retention_ms=2_000)
    await rig.complete(kept)
    assert (await rig.job(kept.job_id)).kept_ms == 2_000


async def test_a_long_result_is_kept_as_long_as_its_job(rig: Rig) -> None:
    await rig.broker.policies.put(ANY, Policy(succeeded=Keep(60_000)))
    grant = await rig.granted()
    await rig.broker.attempts.complete(grant.job_id, grant.fencing_token, Content(b"x" * 1_000))
    assert await rig.call("PTTL", rig.slot.result(grant.job_id[-26:])) <= 60_000


async def test_another_process_learns_of_it(rig: Rig, other: Broker) -> None:
    async with PolicyReader(other.policies):
        await rig.broker.policies.put(WORK, Policy(max_attempts=4))
        await eventually(
            lambda: other.policies.effective(QUEUE, "work").max_attempts == 4,
            "the other process holds the policy",
            within_s=2,
        )
        assert await rig.broker.policies.delete(WORK)
        await eventually(
            lambda: other.policies.effective(QUEUE, "work") == Policy(),
            "the other process holds it no more",
            within_s=2,
        )


async def test_a_process_that_connects_knows_the_policies(rig: Rig, url: str) -> None:
    await rig.broker.policies.put(WORK, Policy(max_attempts=4))
    async with Broker(url) as late:
        assert late.policies.effective(QUEUE, "work") == Policy(max_attempts=4)


async def test_what_is_set_covers_what_the_file_says(rig: Rig) -> None:
    held = rig.broker.policies
    await held.publish({ANY: Policy(max_attempts=2, timeout_ms=5), WORK: Policy(max_attempts=3)})
    assert held.effective(QUEUE, "work") == Policy(max_attempts=3, timeout_ms=5)
    await held.put(ANY, Policy(max_attempts=8))
    assert held.effective(QUEUE) == Policy(max_attempts=8)
    assert held.effective(QUEUE, "work") == Policy(max_attempts=3)
    told = [(entry.key, entry.source) for entry in held.entries(QUEUE)]
    assert told == [(ANY, PolicySource.SET), (ANY, PolicySource.FILE), (WORK, PolicySource.FILE)]
    told = [(entry.key, entry.source) for entry in held.sources(QUEUE, "work")]
    assert told == [(WORK, PolicySource.FILE), (ANY, PolicySource.SET)]
    assert await held.delete(ANY)
    assert not await held.delete(ANY)
    assert held.effective(QUEUE) == Policy(max_attempts=2, timeout_ms=5)
    await held.publish({})
    assert held.entries() == []


async def test_the_version_rises_with_every_change_and_with_no_repetition(rig: Rig) -> None:
    held, versions = rig.broker.policies, []
    for policy in (Policy(max_attempts=1), Policy(max_attempts=2), Policy(max_attempts=2)):
        await held.put(ANY, policy)
        versions.append(held.version)
    assert versions[0] < versions[1] == versions[2]
    before = held.version
    await rig.call("DEL", rig.broker.engine.names.policies())
    await held.put(ANY, Policy(max_attempts=2))
    assert held.version > before


async def test_the_number_of_policies_is_bounded(rig: Rig) -> None:
    held = rig.broker.policies
    for number in range(MAX_TYPES_PER_QUEUE):
        await held.put(PolicyKey(QUEUE, f"type-{number}"), Policy(max_attempts=1))
    with pytest.raises(LimitExceeded):
        await held.put(WORK, Policy(max_attempts=1))
    await held.put(PolicyKey(QUEUE, "type-0"), Policy(max_attempts=2))
    await held.put(ANY, Policy(max_attempts=2))
