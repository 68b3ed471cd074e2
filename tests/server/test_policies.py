"""Policies over gRPC: put down, looked at, taken back; and what is refused."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

import grpc
import pytest

from penstock.v1 import job_pb2
from penstock.v1 import queue_service_pb2 as pb
from tests.server.rig import JOB_TYPE, refusal_of, rig_on, seconds
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from tests.server.rig import Rig

POLICY: Final = pb.Policy(
    max_attempts=5,
    backoff=job_pb2.Backoff(initial=seconds(2), max=seconds(60), multiplier=3.0, jitter=0.0),
    timeout=seconds(30),
    priority=job_pb2.PRIORITY_HIGH,
    concurrency=10,
    succeeded=pb.RetentionPolicy(age=seconds(0), count=0),
    failed=pb.RetentionPolicy(age=seconds(3600), count=1_000),
)
OF_QUEUE: Final = pb.Policy(max_attempts=2, max_waiting=1_000_000_000)


async def put(rig: Rig, policy: pb.Policy, job_type: str = "") -> pb.QueuePolicy:
    """A policy of the default queue, as it was stored."""
    request = pb.SetQueuePolicyRequest(queue="default", type=job_type, policy=policy)
    return (await rig.queues.SetQueuePolicy(request)).policy


async def test_a_policy_is_shown_as_it_was_put_down(rig: Rig) -> None:
    stored = await put(rig, POLICY, JOB_TYPE)
    assert (stored.queue, stored.type) == ("default", JOB_TYPE)
    assert stored.source == pb.POLICY_SOURCE_SET
    assert stored.policy == POLICY
    other = await put(rig, OF_QUEUE)
    assert other.policy == OF_QUEUE
    answer = await rig.queues.ListQueuePolicies(pb.ListQueuePoliciesRequest())
    assert list(answer.policies) == [other, stored]
    got = await rig.queues.GetQueuePolicy(pb.GetQueuePolicyRequest(type=JOB_TYPE))
    assert got.effective == POLICY
    assert list(got.policies) == [stored, other]
    elsewhere = pb.ListQueuePoliciesRequest(queue="elsewhere")
    assert not (await rig.queues.ListQueuePolicies(elsewhere)).policies
    nothing = await rig.queues.GetQueuePolicy(pb.GetQueuePolicyRequest(queue="elsewhere"))
    assert nothing == pb.GetQueuePolicyResponse(effective=pb.Policy())


async def test_a_submit_takes_what_it_does_not_choose_itself(rig: Rig) -> None:
    await put(rig, POLICY)
    job = await rig.job((await rig.submit()).job_id)
    assert job.max_attempts == 5
    assert job.priority == job_pb2.PRIORITY_HIGH
    assert job.timeout == seconds(30)
    assert job.retention == seconds(3600)
    options = job_pb2.JobOptions(
        max_attempts=1, priority=job_pb2.PRIORITY_DEFAULT, timeout=seconds(1), retention=seconds(7)
    )
    chosen = await rig.job((await rig.submit(options=options)).job_id)
    assert (chosen.max_attempts, chosen.priority) == (1, job_pb2.PRIORITY_DEFAULT)
    assert (chosen.timeout, chosen.retention) == (seconds(1), seconds(7))


async def test_a_policy_that_is_taken_back_holds_no_more(rig: Rig) -> None:
    await put(rig, POLICY)
    request = pb.DeleteQueuePolicyRequest(queue="default")
    assert (await rig.queues.DeleteQueuePolicy(request)).deleted
    assert not (await rig.queues.DeleteQueuePolicy(request)).deleted
    assert (await rig.job((await rig.submit()).job_id)).max_attempts == 3


async def test_another_gateway_applies_it_soon(rig: Rig, redis_url: str) -> None:
    async with rig_on(redis_url) as other:
        await put(rig, POLICY)

        async def applied() -> bool:
            return (await other.job((await other.submit()).job_id)).max_attempts == 5

        await eventually(applied, "the other gateway applies the policy", within_s=10)


BAD: Final = [
    (pb.Policy(max_attempts=101), "max_attempts"),
    (pb.Policy(max_attempts=-1), "max_attempts"),
    (pb.Policy(priority=9), "priority"),  # type: ignore[arg-type]
    (pb.Policy(timeout=seconds(0)), "timeout"),
    (pb.Policy(timeout=seconds(86_401)), "timeout"),
    (pb.Policy(backoff=job_pb2.Backoff(multiplier=0.5)), "backoff.multiplier"),
    (pb.Policy(backoff=job_pb2.Backoff(multiplier=math.nan)), "backoff.multiplier"),
    (pb.Policy(backoff=job_pb2.Backoff(jitter=2)), "backoff.jitter"),
    (pb.Policy(backoff=job_pb2.Backoff(max=seconds(-1))), "backoff.max"),
    (pb.Policy(succeeded=pb.RetentionPolicy(age=seconds(-1))), "succeeded.age"),
    (pb.Policy(failed=pb.RetentionPolicy(age=seconds(367 * 86_400))), "failed.age"),
    (pb.Policy(failed=pb.RetentionPolicy(count=-1)), "failed.count"),
    (pb.Policy(succeeded=pb.RetentionPolicy(count=1_000_001)), "succeeded.count"),
    (pb.Policy(concurrency=-1), "concurrency"),
    (pb.Policy(concurrency=100_001), "concurrency"),
    (pb.Policy(max_waiting=-1), "max_waiting"),
    (pb.Policy(max_waiting=1_000_000_001), "max_waiting"),
]


@pytest.mark.parametrize(("policy", "field"), BAD)
async def test_a_bad_policy_is_refused_with_its_field(
    rig: Rig, policy: pb.Policy, field: str
) -> None:
    refusal = await refusal_of(put(rig, policy))
    assert refusal.code is grpc.StatusCode.INVALID_ARGUMENT
    assert set(refusal.violations) == {f"policy.{field}"}


async def test_how_many_wait_is_no_matter_of_a_type(rig: Rig) -> None:
    refusal = await refusal_of(put(rig, pb.Policy(max_waiting=1), JOB_TYPE))
    assert set(refusal.violations) == {"policy.max_waiting"}


async def test_all_that_is_wrong_is_told_at_once(rig: Rig) -> None:
    policy = pb.Policy(max_attempts=-1, timeout=seconds(-1))
    request = pb.SetQueuePolicyRequest(queue="a b", type="-", policy=policy)
    refusal = await refusal_of(rig.queues.SetQueuePolicy(request))
    assert set(refusal.violations) == {"queue", "type", "policy.max_attempts", "policy.timeout"}
    for call in (
        rig.queues.DeleteQueuePolicy(pb.DeleteQueuePolicyRequest()),
        rig.queues.SetQueuePolicy(pb.SetQueuePolicyRequest()),
    ):
        assert set((await refusal_of(call)).violations) == {"queue"}
    bad_type = rig.queues.GetQueuePolicy(pb.GetQueuePolicyRequest(type="*"))
    assert set((await refusal_of(bad_type)).violations) == {"type"}


async def test_a_limit_below_the_number_of_partitions_is_refused_with_the_reason(
    redis_url: str,
) -> None:
    async with rig_on(redis_url, partitions=3) as rig:
        refusal = await refusal_of(put(rig, pb.Policy(concurrency=2)))
        assert refusal.code is grpc.StatusCode.INVALID_ARGUMENT
        assert "3 partitions" in refusal.violations["policy.concurrency"]
        await put(rig, pb.Policy(concurrency=3))


async def test_stats_tell_of_limits_and_of_who_is_held(rig: Rig) -> None:
    await put(rig, pb.Policy(concurrency=5))
    await put(rig, pb.Policy(concurrency=1), JOB_TYPE)
    held = [(await rig.submit()).job_id for _ in range(3)][1:]
    info = await rig.broker.queues.get("default")
    (slot,) = rig.broker.engine.slots(info)
    assert len(await rig.broker.attempts.claim(slot, "worker-1", 10, 30_000)) == 1
    answer = await rig.queues.GetQueueStats(pb.GetQueueStatsRequest())
    assert (answer.stats.held, answer.stats.waiting.default, answer.stats.running) == (2, 2, 1)
    assert list(answer.limits) == [
        pb.ConcurrencyLimit(concurrency=5, running=1),
        pb.ConcurrencyLimit(type=JOB_TYPE, concurrency=1, running=1, held=2),
    ]
    for job_id in held:
        job = await rig.job(job_id)
        assert job.state == job_pb2.JOB_STATE_QUEUED
        assert job.hold_reason == job_pb2.HOLD_REASON_TYPE_CONCURRENCY
