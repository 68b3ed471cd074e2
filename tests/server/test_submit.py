"""Submits: what is stored, and what a repetition is answered with."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

import grpc
from google.protobuf.timestamp_pb2 import Timestamp
from google.rpc import code_pb2

from penstock.v1 import job_pb2
from penstock.v1 import job_service_pb2 as pb
from tests.server.rig import refusal_of, seconds, spec, unpacked

if TYPE_CHECKING:
    from tests.server.rig import Rig


async def test_a_job_is_stored_as_it_was_sent(rig: Rig) -> None:
    receipt = await rig.submit(
        queue="images",
        options=job_pb2.JobOptions(
            priority=job_pb2.PRIORITY_HIGH,
            max_attempts=7,
            timeout=seconds(60),
            retention=seconds(3600),
            expires_in=seconds(600),
            metadata={"traceparent": "00-abc"},
        ),
    )
    assert receipt.state == job_pb2.JOB_STATE_QUEUED
    assert receipt.outcome == pb.SUBMIT_OUTCOME_CREATED
    assert receipt.durability == job_pb2.DURABILITY_EVERYSEC
    job = await rig.job(receipt.job_id)
    assert job.job_id == receipt.job_id
    assert (job.type, job.queue) == ("image.resize", "images")
    assert job.state == job_pb2.JOB_STATE_QUEUED
    assert job.priority == job_pb2.PRIORITY_HIGH
    assert job.max_attempts == 7
    assert job.timeout == seconds(60)
    assert job.retention == seconds(3600)
    assert job.deadline.ToMilliseconds() == job.create_time.ToMilliseconds() + 600_000
    assert dict(job.metadata) == {"traceparent": "00-abc"}
    assert job.payload.data == b'{"width": 80}'
    assert job.last_sequence == 1


async def test_a_delayed_job_is_scheduled(rig: Rig) -> None:
    receipt = await rig.submit(options=job_pb2.JobOptions(delay=seconds(3600)))
    assert receipt.state == job_pb2.JOB_STATE_SCHEDULED
    job = await rig.job(receipt.job_id)
    assert job.run_at.ToMilliseconds() == job.create_time.ToMilliseconds() + 3_600_000


async def test_a_delayed_job_is_queued_in_time_though_no_worker_is_up(rig: Rig) -> None:
    receipt = await rig.submit(options=job_pb2.JobOptions(delay=seconds(0.05)))
    states = []
    async for event in rig.stream(receipt.job_id):
        if event.HasField("state_change"):
            states.append(event.state_change.state)
        if states and states[-1] == job_pb2.JOB_STATE_QUEUED:
            break
    assert states == [job_pb2.JOB_STATE_SCHEDULED, job_pb2.JOB_STATE_QUEUED]


async def test_a_repetition_is_answered_with_the_same_job(rig: Rig) -> None:
    request_id = str(uuid.uuid4())
    first = await rig.submit(request_id=request_id)
    second = await rig.submit(request_id=request_id)
    assert second.job_id == first.job_id
    assert second.outcome == pb.SUBMIT_OUTCOME_REPEATED


async def test_without_a_request_id_every_call_makes_a_job(rig: Rig) -> None:
    assert (await rig.submit()).job_id != (await rig.submit()).job_id


async def test_an_idempotency_key_joins_the_live_job(rig: Rig) -> None:
    options = job_pb2.JobOptions(idempotency_key="bestellung-4711-ü")
    first = await rig.submit(options=options)
    second = await rig.submit(options=options)
    assert second.job_id == first.job_id
    assert second.outcome == pb.SUBMIT_OUTCOME_JOINED


async def test_a_key_that_stands_for_other_work_is_refused(rig: Rig) -> None:
    options = job_pb2.JobOptions(idempotency_key="once")
    first = await rig.submit(options=options)
    other = spec(payload=b'{"width": 81}', options=options)
    refusal = await refusal_of(rig.jobs.SubmitJob(pb.SubmitJobRequest(job=other)))
    assert refusal.code is grpc.StatusCode.ALREADY_EXISTS
    assert refusal.reason == "KEY_REUSED"
    assert refusal.facts["job_id"] == first.job_id


async def test_a_past_deadline_is_refused(rig: Rig) -> None:
    options = job_pb2.JobOptions()
    options.deadline.FromSeconds(1_000_000_000)
    before = await rig.stored()
    refusal = await refusal_of(
        rig.jobs.SubmitJob(pb.SubmitJobRequest(job=spec(options=options, queue="default")))
    )
    assert refusal.code is grpc.StatusCode.INVALID_ARGUMENT
    assert "job.options.deadline" in refusal.violations
    assert await rig.stored() <= before + 2  # The queue and its mark, but no job.


async def test_no_payload_is_null(rig: Rig) -> None:
    await rig.register({}, "anything")
    receipt = await rig.submit(type="anything", payload=job_pb2.Content())
    assert (await rig.job(receipt.job_id)).payload.data == b"null"


async def test_an_opaque_payload_is_not_looked_into(rig: Rig) -> None:
    content = job_pb2.Content(data=b"\x00\xff", content_type="application/octet-stream")
    receipt = await rig.submit(payload=content)
    assert (await rig.job(receipt.job_id)).payload == content


async def test_a_batch_has_an_outcome_for_each_job(rig: Rig) -> None:
    known = str(uuid.uuid4())
    await rig.submit(request_id=known)
    answer = await rig.jobs.SubmitJobs(
        pb.SubmitJobsRequest(
            jobs=[
                spec(),
                spec(type="no.such"),
                spec(queue="{bad}"),
                spec(payload=b"{"),
                spec(request_id=known),
                spec(type="no.such", options=job_pb2.JobOptions(allow_unregistered=True)),
                spec(request_id=known, payload=b'{"width": 2}'),
                spec(options=job_pb2.JobOptions(deadline=Timestamp(seconds=1_000_000_000))),
            ]
        )
    )
    outcomes = [
        pb.SubmitOutcome.Name(result.job.outcome)
        if result.HasField("job")
        else code_pb2.Code.Name(result.error.code)
        for result in answer.results
    ]
    assert outcomes == [
        "SUBMIT_OUTCOME_CREATED",
        "FAILED_PRECONDITION",
        "INVALID_ARGUMENT",
        "INVALID_ARGUMENT",
        "SUBMIT_OUTCOME_REPEATED",
        "SUBMIT_OUTCOME_CREATED",
        "ALREADY_EXISTS",
        "INVALID_ARGUMENT",
    ]
    [violation] = unpacked(answer.results[2].error.details)["BadRequest"].field_violations  # type: ignore[attr-defined]
    assert violation.field == "jobs[2].queue"
    [violation] = unpacked(answer.results[3].error.details)["BadRequest"].field_violations  # type: ignore[attr-defined]
    assert violation.field == "jobs[3].payload.data"
    [violation] = unpacked(answer.results[7].error.details)["BadRequest"].field_violations  # type: ignore[attr-defined]
    assert violation.field == "jobs[7].options.deadline"


async def test_a_full_batch_is_stored_in_order(rig: Rig) -> None:
    specs = [spec(payload=b'{"width": %d}' % width) for width in range(1, 1_001)]
    answer = await rig.jobs.SubmitJobs(pb.SubmitJobsRequest(jobs=specs))
    ids = [result.job.job_id for result in answer.results]
    assert len(set(ids)) == 1_000
    assert (await rig.job(ids[500])).payload.data == b'{"width": 501}'
    assert (await rig.claim()).job_id == ids[0]


async def test_a_batch_has_1_to_1000_jobs(rig: Rig) -> None:
    for jobs in ([], [spec()] * 1_001):
        refusal = await refusal_of(rig.jobs.SubmitJobs(pb.SubmitJobsRequest(jobs=jobs)))
        assert refusal.code is grpc.StatusCode.INVALID_ARGUMENT
        assert "jobs" in refusal.violations
