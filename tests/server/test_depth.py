"""A full queue, and a full server, as clients see them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration
from google.rpc import error_details_pb2

from penstock.v1 import job_pb2, queue_service_pb2, schedule_service_pb2, topic_service_pb2
from penstock.v1 import job_service_pb2 as pb
from tests.server.rig import JOB_TYPE, Refusal, refusal_of, rig_on, spec

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from tests.server.rig import Rig


def assert_full(refusal: Refusal, depth: int = 2) -> None:
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "QUEUE_FULL")
    assert refusal.facts == {"queue": "default", "depth": str(depth), "limit": "2"}
    assert "RetryInfo" in refusal.details
    quota = refusal.details["QuotaFailure"]
    assert isinstance(quota, error_details_pb2.QuotaFailure)
    assert [violation.subject for violation in quota.violations] == ["queue:default"]
    assert refusal.trailers["grpc-retry-pushback-ms"] == "1000"


async def test_a_full_queue_is_told_with_its_depth_and_when_to_come_back(redis_url: str) -> None:
    async with rig_on(redis_url, max_queue_depth=2) as rig:
        first = await rig.submit(request_id="first")
        await rig.submit()
        stored = await rig.stored()
        request = pb.SubmitJobRequest(job=spec(request_id="third"))
        assert_full(await refusal_of(rig.jobs.SubmitJob(request)))
        watch = rig.jobs.SubmitAndWatch(pb.SubmitAndWatchRequest(job=spec()))
        assert_full(await refusal_of(watch.read()))
        assert await rig.stored() == stored
        again = await rig.submit(request_id="first")
        assert (again.job_id, again.outcome) == (first.job_id, pb.SUBMIT_OUTCOME_REPEATED)
        batch = pb.SubmitJobsRequest(jobs=[spec(request_id="first"), spec()])
        answered, refused = (await rig.jobs.SubmitJobs(batch)).results
        assert answered.job.job_id == first.job_id
        assert refused.error.code == grpc.StatusCode.RESOURCE_EXHAUSTED.value[0]
        # Whoever is granted makes room.
        await rig.complete(await rig.claim())
        assert (await rig.jobs.SubmitJob(request)).job.outcome == pb.SUBMIT_OUTCOME_CREATED


async def test_an_ended_job_waits_for_room_before_it_runs_again(redis_url: str) -> None:
    async with rig_on(redis_url, max_queue_depth=2) as rig:
        job_id = (await rig.submit()).job_id
        await rig.jobs.CancelJob(pb.CancelJobRequest(job_id=job_id))
        for _ in range(2):
            await rig.submit()
        assert_full(await refusal_of(rig.jobs.RetryJob(pb.RetryJobRequest(job_id=job_id))))


async def test_a_schedule_is_triggered_where_there_is_room(redis_url: str) -> None:
    async with rig_on(redis_url, max_queue_depth=2) as rig:
        timing = schedule_service_pb2.Timing(interval=Duration(seconds=86_400))
        definition = schedule_service_pb2.ScheduleSpec(job=spec(), timing=timing)
        await rig.schedules.CreateSchedule(
            schedule_service_pb2.CreateScheduleRequest(schedule_id="nightly", spec=definition)
        )

        def trigger(request_id: str) -> Awaitable[schedule_service_pb2.TriggerScheduleResponse]:
            return rig.schedules.TriggerSchedule(
                schedule_service_pb2.TriggerScheduleRequest(
                    schedule_id="nightly", request_id=request_id
                )
            )

        first = (await trigger("first")).job
        await rig.submit()
        stored = await rig.stored()
        assert_full(await refusal_of(trigger("second")))
        assert await rig.stored() == stored
        again = (await trigger("first")).job
        assert (again.job_id, again.outcome) == (first.job_id, pb.SUBMIT_OUTCOME_REPEATED)
        await rig.complete(await rig.claim())
        assert (await trigger("second")).job.outcome == pb.SUBMIT_OUTCOME_CREATED


async def test_a_message_that_a_full_queue_keeps_out_is_completed_later(redis_url: str) -> None:
    async with rig_on(redis_url, max_queue_depth=2) as rig:
        for name, queue in (("a", "other"), ("b", "default")):
            subscription = topic_service_pb2.Subscription(name=name, pattern="order.*", queue=queue)
            await rig.topics.PutSubscription(
                topic_service_pb2.PutSubscriptionRequest(subscription=subscription)
            )
        for _ in range(2):
            await rig.submit()
        message = topic_service_pb2.PublishRequest(
            topic="order.paid", message_id="m", payload=job_pb2.Content(data=b"{}")
        )
        assert_full(await refusal_of(rig.topics.Publish(message)))
        await rig.claim()
        outcomes = [each.job.outcome for each in (await rig.topics.Publish(message)).jobs]
        assert outcomes == [pb.SUBMIT_OUTCOME_REPEATED, pb.SUBMIT_OUTCOME_CREATED]


async def test_a_policy_says_how_many_wait_and_stats_show_it(redis_url: str) -> None:
    async with rig_on(redis_url, max_queue_depth=7) as rig:
        await rig.submit()
        name = queue_service_pb2.GetQueueStatsRequest(queue="default")
        stats = await rig.queues.GetQueueStats(name)
        assert stats.max_waiting == 7
        assert stats.durability == job_pb2.DURABILITY_EVERYSEC
        assert stats.durability_reached == job_pb2.DURABILITY_EVERYSEC
        await rig.queues.SetQueuePolicy(
            queue_service_pb2.SetQueuePolicyRequest(
                queue="default", policy=queue_service_pb2.Policy(max_waiting=2)
            )
        )
        assert (await rig.queues.GetQueueStats(name)).max_waiting == 2
        await rig.submit()
        assert_full(await refusal_of(rig.jobs.SubmitJob(pb.SubmitJobRequest(job=spec()))))


@pytest.mark.parametrize("call", ["retry", "redrive"])
async def test_a_full_server_runs_nothing_again(rig: Rig, call: str) -> None:
    job_id = (await rig.submit(type=JOB_TYPE)).job_id
    await rig.jobs.CancelJob(pb.CancelJobRequest(job_id=job_id))
    rig.admission.storage_full = True
    if call == "retry":
        answer = rig.jobs.RetryJob(pb.RetryJobRequest(job_id=job_id))
        refusal = await refusal_of(answer)
    else:
        request = queue_service_pb2.RedriveDeadLettersRequest(queue="default")
        refusal = await refusal_of(rig.queues.RedriveDeadLetters(request))
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "STORAGE_FULL")
    assert refusal.trailers["grpc-retry-pushback-ms"] == "1000"
