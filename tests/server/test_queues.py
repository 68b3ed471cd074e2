"""Listing jobs, retrying them, and running queues."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import grpc
import pytest

from penstock.broker import Failure, InvalidArgument, WorkerInfo
from penstock.server.tokens import open_token, seal_token
from penstock.v1 import job_pb2
from penstock.v1 import job_service_pb2 as pb
from penstock.v1 import queue_service_pb2 as qb
from tests.server.rig import refusal_of, rig_on, seconds, spec

if TYPE_CHECKING:
    from tests.server.rig import Rig


async def fail(rig: Rig) -> str:
    """The id of a new dead letter, the only job that waits."""
    await rig.submit(options=job_pb2.JobOptions(max_attempts=1))
    grant = await rig.claim()
    failure = Failure("ValueError", "no")
    await rig.broker.attempts.fail(grant.job_id, grant.fencing_token, "error", failure)
    return grant.job_id


async def test_pages_cover_all_jobs_once(redis_url: str) -> None:
    async with rig_on(redis_url, partitions=3) as rig:
        answer = await rig.jobs.SubmitJobs(pb.SubmitJobsRequest(jobs=[spec()] * 25))
        submitted = {result.job.job_id for result in answer.results}
        listed: list[str] = []
        token = ""
        pages = 0
        while pages == 0 or token:
            page = await rig.jobs.ListJobs(pb.ListJobsRequest(page_size=7, page_token=token))
            assert len(page.jobs) <= 7
            listed += [job.job_id for job in page.jobs]
            token = page.next_page_token
            pages += 1
        assert len(listed) == 25
        assert set(listed) == submitted


async def test_a_list_is_of_states_and_a_type(rig: Rig) -> None:
    await rig.register({}, "other")
    dead = await fail(rig)
    waiting = (await rig.submit()).job_id
    other = (await rig.submit(type="other")).job_id
    due = (await rig.submit(options=job_pb2.JobOptions(delay=seconds(99)))).job_id

    async def listed(*states: job_pb2.JobState, job_type: str = "") -> set[str]:
        request = pb.ListJobsRequest(states=states, type=job_type)
        return {job.job_id for job in (await rig.jobs.ListJobs(request)).jobs}

    assert await listed() == {dead, waiting, other, due}
    assert await listed(job_pb2.JOB_STATE_FAILED) == {dead}
    assert await listed(job_pb2.JOB_STATE_QUEUED) == {waiting, other}
    assert await listed(job_pb2.JOB_STATE_QUEUED, job_pb2.JOB_STATE_SCHEDULED) == {
        waiting,
        other,
        due,
    }
    assert await listed(job_type="other") == {other}


async def test_a_token_is_good_for_its_own_listing_alone(rig: Rig) -> None:
    await rig.jobs.SubmitJobs(pb.SubmitJobsRequest(jobs=[spec()] * 3))
    page = await rig.jobs.ListJobs(pb.ListJobsRequest(page_size=1))
    token = page.next_page_token
    states = [job_pb2.JOB_STATE_QUEUED]
    refusal = await refusal_of(
        rig.jobs.ListJobs(pb.ListJobsRequest(states=states, page_token=token))
    )
    assert refusal.code is grpc.StatusCode.INVALID_ARGUMENT
    assert "page_token" in refusal.violations


def test_tokens_are_opaque_and_read_back() -> None:
    token = seal_token("3:1700-0", "jobs", "default")
    assert "1700" not in token
    assert open_token(token, "jobs", "default") == "3:1700-0"
    assert seal_token("", "jobs") == ""
    assert open_token("", "jobs") == ""


@pytest.mark.parametrize("token", ["x", "====", "ä", "\0", "AAAAAAAAAAAAAAAA", "x" * 100_000])
def test_foreign_tokens_are_refused(token: str) -> None:
    with pytest.raises(InvalidArgument):
        open_token(token, "jobs", "default")


async def test_a_retry_is_a_new_job(rig: Rig) -> None:
    dead = await fail(rig)
    request = pb.RetryJobRequest(job_id=dead, request_id="again")
    first = (await rig.jobs.RetryJob(request)).job
    assert first.outcome == pb.SUBMIT_OUTCOME_CREATED
    assert (await rig.jobs.RetryJob(request)).job.job_id == first.job_id
    job = await rig.job(first.job_id)
    assert job.retried_from == dead
    assert job.payload.data == b'{"width": 80}'
    assert (await rig.job(dead)).state == job_pb2.JOB_STATE_FAILED


async def test_a_live_job_is_not_retried(rig: Rig) -> None:
    job_id = (await rig.submit()).job_id
    refusal = await refusal_of(rig.jobs.RetryJob(pb.RetryJobRequest(job_id=job_id)))
    assert refusal.code is grpc.StatusCode.FAILED_PRECONDITION
    assert refusal.reason == "JOB_NOT_RETRYABLE"
    assert refusal.facts == {"state": "QUEUED"}


async def test_a_cancel_shows_what_became_of_the_job(rig: Rig) -> None:
    job_id = (await rig.submit()).job_id
    grant = await rig.claim()
    answer = await rig.jobs.CancelJob(pb.CancelJobRequest(job_id=job_id, reason="enough"))
    assert answer.job.state == job_pb2.JOB_STATE_RUNNING
    assert answer.job.cancel_requested
    assert answer.job.cancel_reason == "enough"
    # The handler was faster: the first accepted end holds.
    await rig.complete(grant)
    answer = await rig.jobs.CancelJob(pb.CancelJobRequest(job_id=job_id))
    assert answer.job.state == job_pb2.JOB_STATE_SUCCEEDED


async def test_queues_are_listed_by_name(rig: Rig) -> None:
    for name in ("b", "a"):
        await rig.submit(queue=name)
    await rig.queues.PauseQueue(qb.PauseQueueRequest(queue="b"))
    answer = await rig.queues.ListQueues(qb.ListQueuesRequest())
    assert [(q.name, q.partitions, q.paused) for q in answer.queues] == [
        ("a", 1, False),
        ("b", 1, True),
    ]
    assert all(q.create_time.seconds > 1_700_000_000 for q in answer.queues)


async def test_a_paused_queue_grants_nothing(rig: Rig) -> None:
    await rig.submit()
    assert (await rig.queues.PauseQueue(qb.PauseQueueRequest())).queue.paused
    with pytest.raises(ValueError, match="not enough values"):
        await rig.claim()
    assert not (await rig.queues.ResumeQueue(qb.ResumeQueueRequest())).queue.paused
    await rig.complete(await rig.claim())


async def test_stats_count_every_state(rig: Rig) -> None:
    await fail(rig)
    await rig.submit()
    await rig.complete(await rig.claim())
    await rig.submit()
    await rig.claim()
    await rig.submit(options=job_pb2.JobOptions(priority=job_pb2.PRIORITY_HIGH))
    await rig.submit(options=job_pb2.JobOptions(delay=seconds(99)))
    answer = await rig.queues.GetQueueStats(qb.GetQueueStatsRequest())
    stats = answer.stats
    assert answer.queue.name == "default"
    assert stats.waiting == qb.WaitingByPriority(high=1)
    assert (stats.scheduled, stats.running, stats.succeeded, stats.failed) == (1, 1, 1, 1)
    assert stats.submitted == 5
    assert [(count.reason, count.count) for count in stats.failed_by_reason] == [
        (job_pb2.FAILURE_REASON_EXHAUSTED, 1)
    ]
    assert stats.HasField("oldest_waiting_age")


async def test_stats_tell_jobs_handed_back_from_those_without_a_handler(rig: Rig) -> None:
    await rig.submit()
    for misrouted in (False, True, True):
        grant = await rig.claim()
        await rig.broker.attempts.release(
            grant.job_id, grant.fencing_token, "handed back", misrouted=misrouted
        )
    stats = (await rig.queues.GetQueueStats(qb.GetQueueStatsRequest())).stats
    assert (stats.released, stats.misrouted) == (1, 2)


async def test_a_purge_cancels_what_waits(rig: Rig) -> None:
    job_id = (await rig.submit()).job_id
    await rig.submit(options=job_pb2.JobOptions(delay=seconds(99)))
    answer = await rig.queues.PurgeQueue(qb.PurgeQueueRequest(queue="default"))
    assert (answer.cancelled, answer.more) == (2, False)
    job = await rig.job(job_id)
    assert (job.state, job.cancel_reason) == (job_pb2.JOB_STATE_CANCELLED, "purged")


async def test_a_redrive_runs_each_dead_letter_once(rig: Rig) -> None:
    dead = await fail(rig)
    request = qb.RedriveDeadLettersRequest(queue="default")
    assert (await rig.queues.RedriveDeadLetters(request)).redriven == 1
    assert (await rig.queues.RedriveDeadLetters(request)).redriven == 0
    assert (await rig.job((await rig.claim()).job_id)).retried_from == dead


async def test_workers_are_listed(rig: Rig) -> None:
    now = int(time.time() * 1000)
    worker = WorkerInfo(
        worker_id="w-1",
        host="host",
        pid=7,
        queues=("default",),
        types=("image.resize",),
        slots=4,
        running=1,
        draining=False,
        started_ms=now,
        heartbeat_ms=now,
    )
    await rig.broker.registry.heartbeat(worker)
    [found] = (await rig.queues.ListWorkers(qb.ListWorkersRequest())).workers
    assert (found.worker_id, found.host, found.pid, found.slots) == ("w-1", "host", 7, 4)
    assert list(found.queues) == ["default"]
    assert list(found.types) == ["image.resize"]
    assert found.start_time.ToMilliseconds() == now
    assert not (await rig.queues.ListWorkers(qb.ListWorkersRequest(queue="other"))).workers


async def test_ended_jobs_are_cleaned_by_state_age_and_type(rig: Rig) -> None:
    dead = await fail(rig)
    request = qb.CleanQueueRequest(queue="default", states=[job_pb2.JOB_STATE_FAILED])
    old = qb.CleanQueueRequest(
        queue="default", states=[job_pb2.JOB_STATE_FAILED], older_than=seconds(3600)
    )
    assert (await rig.queues.CleanQueue(old)).removed == 0
    answer = await rig.queues.CleanQueue(request)
    assert (answer.removed, answer.next_page_token) == (1, "")
    gone = await refusal_of(rig.jobs.GetStatus(pb.GetStatusRequest(job_id=dead)))
    assert gone.code is grpc.StatusCode.NOT_FOUND


async def test_what_has_not_ended_is_not_cleaned(rig: Rig) -> None:
    await rig.submit()
    states = [job_pb2.JOB_STATE_QUEUED, job_pb2.JOB_STATE_FAILED, job_pb2.JOB_STATE_UNSPECIFIED]
    request = qb.CleanQueueRequest(states=states, older_than=seconds(-1), type="*")
    refusal = await refusal_of(rig.queues.CleanQueue(request))
    assert refusal.code is grpc.StatusCode.INVALID_ARGUMENT
    assert set(refusal.violations) == {"queue", "states[0]", "states[2]", "older_than", "type"}
    nothing = qb.CleanQueueRequest(queue="default")
    assert set((await refusal_of(rig.queues.CleanQueue(nothing))).violations) == {"states"}
    token = qb.CleanQueueRequest(
        queue="default", states=[job_pb2.JOB_STATE_FAILED], page_token="made up"
    )
    assert set((await refusal_of(rig.queues.CleanQueue(token))).violations) == {"page_token"}
