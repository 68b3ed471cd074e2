"""Submitting, one job or very many, to a real gateway."""

from __future__ import annotations

import inspect
from dataclasses import dataclass, fields
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from google.rpc import code_pb2
from pydantic import BaseModel

from penstock.client import (
    AlreadyExists,
    AsyncClient,
    AsyncJobHandle,
    Backoff,
    CachePolicy,
    Durability,
    FailedPrecondition,
    InvalidRequest,
    JobState,
    NewJob,
    Priority,
    ResourceExhausted,
    SubmitOptions,
    SubmitOutcome,
    Unavailable,
)
from penstock.client.batch import chunks
from penstock.v1 import job_pb2, job_service_pb2
from tests.client.scripted import answers, fails

if TYPE_CHECKING:
    from collections.abc import Iterator

    from google.protobuf.message import Message

    from penstock.client.async_client import AsyncCalls
    from penstock.client.job_calls import Handles
    from penstock.server import Gateway
    from tests.client.conftest import Connect
    from tests.client.scripted import Context, ScriptedGateway


class Picture(BaseModel):
    path: str
    taken: datetime


@dataclass
class Size:
    width: int
    height: int


@pytest.mark.parametrize(
    ("payload", "stored"),
    [
        (None, None),
        ({"a": [1, 2.5, "x", None]}, {"a": [1, 2.5, "x", None]}),
        (
            Picture(path="a.png", taken=datetime(2030, 1, 1, tzinfo=UTC)),
            {"path": "a.png", "taken": "2030-01-01T00:00:00Z"},
        ),
        (Size(3, 4), {"width": 3, "height": 4}),
        (b"\x00\xff", b"\x00\xff"),
    ],
)
async def test_a_payload_may_be_what_pydantic_writes_or_bytes(
    client: AsyncClient, payload: object, stored: object
) -> None:
    handle = await client.submit("t", payload, allow_unregistered=True)
    job = await handle.status(include_payload=True)
    assert job.payload == stored


async def test_bytes_may_have_a_type_of_their_own(client: AsyncClient) -> None:
    handle = await client.submit("t", b"GIF89a", content_type="image/gif", allow_unregistered=True)
    content = (await handle.status(include_payload=True)).payload_content
    assert content is not None
    assert (content.data, content.content_type) == (b"GIF89a", "image/gif")


async def test_every_option_arrives(client: AsyncClient) -> None:
    soon = datetime.now(UTC).replace(microsecond=0) + timedelta(hours=1)
    handle = await client.submit(
        "t",
        {},
        queue="elsewhere",
        priority="high",
        run_at=soon,
        deadline=soon + timedelta(hours=1),
        max_attempts=7,
        backoff=Backoff(initial=2, max=timedelta(minutes=1), multiplier=3.0, jitter=0.0),
        timeout=90,
        idempotency_key="invoice 4",
        retention=timedelta(days=2),
        metadata={"traceparent": "00-1-2-01"},
        allow_unregistered=True,
        request_id="order 17",
    )
    assert handle.submitted is not None
    assert handle.submitted.outcome is SubmitOutcome.CREATED
    assert handle.submitted.durability is Durability.EVERYSEC
    assert handle.submitted.state is JobState.SCHEDULED
    job = await handle.status()
    assert (job.type, job.queue, job.priority) == ("t", "elsewhere", Priority.HIGH)
    assert (job.run_at, job.deadline) == (soon, soon + timedelta(hours=1))
    assert (job.max_attempts, job.timeout) == (7, timedelta(seconds=90))
    assert (job.retention, job.metadata) == (timedelta(days=2), {"traceparent": "00-1-2-01"})
    assert job.create_time is not None
    assert abs(job.create_time - datetime.now(UTC)) < timedelta(minutes=1)
    with pytest.raises(AlreadyExists):
        await client.submit(
            "other", queue="elsewhere", idempotency_key="invoice 4", allow_unregistered=True
        )


BROKEN: dict[str, tuple[dict[str, Any], str]] = {
    "a naive time": ({"run_at": datetime(2030, 1, 1)}, "job.options.run_at"),  # noqa: DTZ001 - that is the point.
    "a naive deadline": ({"deadline": datetime(2030, 1, 1)}, "job.options.deadline"),  # noqa: DTZ001 - likewise.
    "delay and run_at": ({"delay": 1, "run_at": datetime.now(UTC)}, "job.options.run_at"),
    "two deadlines": ({"expires_in": 1, "deadline": datetime.now(UTC)}, "job.options.deadline"),
    "no number": ({"delay": float("nan")}, "job.options.delay"),
    "two caches": ({"cache": CachePolicy(60), "cache_ttl": 60}, "job.options.cache"),
    "an endless cache": ({"cache_ttl": float("inf")}, "job.options.cache.ttl"),
    "endless": ({"retention": float("inf")}, "job.options.retention"),
    "no such priority": ({"priority": "urgent"}, "job.options.priority"),
    "an object": ({"payload": object()}, "job.payload"),
    "text of another type": ({"payload": "x", "content_type": "text/plain"}, "job.payload"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_what_the_wire_cannot_express_is_refused_here(case: str) -> None:
    options, field = BROKEN[case]
    (entry,) = next(chunks([NewJob("t", **options)]))
    assert isinstance(entry, InvalidRequest)
    assert [violation.field for violation in entry.violations] == [field]
    assert field in str(entry)


async def test_what_the_gateway_refuses_names_every_field(
    connect: Connect, gateway: Gateway
) -> None:
    async def scenario(calls: AsyncCalls) -> None:
        await calls.submit(
            "no{such", float("nan"), queue="q" * 65, delay=-1, max_attempts=101, priority="low"
        )

    async with connect(gateway.address) as client:
        with pytest.raises(InvalidRequest) as refusal:
            await client(scenario)
    found = {violation.field for violation in refusal.value.violations}
    assert {"job.type", "job.queue", "job.options.delay", "job.options.max_attempts"} <= found


async def test_an_unknown_type_is_refused_with_the_way_out(client: AsyncClient) -> None:
    with pytest.raises(FailedPrecondition) as refusal:
        await client.submit("never.heard.of")
    assert refusal.value.reason == "UNKNOWN_JOB_TYPE"
    assert "known_types" in refusal.value.metadata
    assert "allow_unregistered" in str(refusal.value)


def test_submit_takes_what_a_new_job_is_made_of() -> None:
    """The two lists of options cannot be one in Python; so they are compared."""
    options = {
        name: hint.__forward_arg__ for name, hint in inspect.get_annotations(SubmitOptions).items()
    }
    assert options == {
        field.name: field.type for field in fields(NewJob) if field.name not in {"type", "payload"}
    }


async def test_a_reply_that_is_lost_costs_no_second_job(
    connect: Connect, gateway: Gateway, script: ScriptedGateway
) -> None:
    """A relay that passes the submit on, and loses what comes back."""
    async with grpc.aio.insecure_channel(gateway.address) as channel:
        real = job_service_pb2.DESCRIPTOR.services_by_name["JobService"].full_name
        submit = channel.unary_unary(
            f"/{real}/SubmitJob",
            request_serializer=job_service_pb2.SubmitJobRequest.SerializeToString,
            response_deserializer=job_service_pb2.SubmitJobResponse.FromString,
        )

        async def loses(request: Message, context: Context) -> None:
            await submit(request)
            await context.abort(grpc.StatusCode.UNAVAILABLE, "Socket closed")

        async def passes(request: Message, _: Context) -> object:
            return await submit(request)

        script.on("SubmitJob", loses, passes)

        async def scenario(calls: AsyncCalls) -> AsyncJobHandle:
            return await calls.submit("t", 1, allow_unregistered=True)

        async with connect(script.address) as client:
            handle = await client(scenario)
    assert handle.submitted is not None
    assert handle.submitted.outcome is SubmitOutcome.REPEATED
    async with AsyncClient(gateway.address) as other:
        assert [job.job_id async for job in other.list()] == [handle.job_id]


# Many at once.


async def test_each_job_of_a_batch_has_its_own_outcome(connect: Connect, gateway: Gateway) -> None:
    def jobs() -> Iterator[NewJob]:
        for number in range(2_500):
            yield NewJob("t", number, allow_unregistered=True, queue="bulk")
            if number == 1_000:
                yield NewJob("t", object(), queue="bulk")
                yield NewJob("", number, queue="bulk")

    reports: list[int] = []

    async def scenario(calls: AsyncCalls) -> Handles:
        return await calls.submit_many(jobs(), on_progress=reports.append)

    async with connect(gateway.address) as client:
        handles = await client(scenario)
    assert len(handles) == 2_502
    refused = [index for index, each in enumerate(handles) if isinstance(each, InvalidRequest)]
    assert refused == [1_001, 1_002]
    assert reports == [1_000, 2_000, 2_502]
    async with AsyncClient(gateway.address) as other:
        assert (await other.queue_stats("bulk")).submitted == 2_500


async def test_an_empty_batch_is_no_call(client: AsyncClient) -> None:
    assert await client.submit_many([]) == []


def test_a_batch_is_cut_by_bytes_too() -> None:
    jobs = [NewJob("t", b"x" * 400) for _ in range(10)] + [NewJob("t", b"x" * 5_000)]
    cut = list(chunks(jobs, max_jobs=4, max_bytes=1_500))
    assert [len(chunk) for chunk in cut] == [3, 3, 3, 1, 1]


async def test_a_job_too_large_for_any_call_spoils_no_other(client: AsyncClient) -> None:
    jobs = [NewJob("t", b"x" * size, allow_unregistered=True) for size in (1, 5_000_000, 1)]
    first, second, third = await client.submit_many(jobs)
    assert isinstance(first, AsyncJobHandle)
    assert isinstance(second, ResourceExhausted)
    assert isinstance(third, AsyncJobHandle)


def _results(request: job_service_pb2.SubmitJobsRequest, troubled: set[str]) -> Any:  # noqa: ANN401
    response = job_service_pb2.SubmitJobsResponse()
    for job in request.jobs:
        result = response.results.add()
        if job.request_id in troubled:
            result.error.code = code_pb2.UNAVAILABLE
            result.error.message = "the server is away"
        else:
            result.job.job_id = job.request_id
            result.job.state = job_pb2.JOB_STATE_QUEUED
            result.job.outcome = job_service_pb2.SUBMIT_OUTCOME_CREATED
    return response


async def test_items_that_a_passing_trouble_kept_out_are_tried_again(
    connect: Connect, script: ScriptedGateway
) -> None:
    async def troubled(request: job_service_pb2.SubmitJobsRequest, _: Context) -> object:
        return _results(request, {"b", "d"})

    async def well(request: job_service_pb2.SubmitJobsRequest, _: Context) -> object:
        return _results(request, set())

    script.on("SubmitJobs", troubled, well)

    async def scenario(calls: AsyncCalls) -> Handles:
        return await calls.submit_many(NewJob("t", request_id=name) for name in "abcde")

    async with connect(script.address) as client:
        handles = await client(scenario)
    assert [each.job_id for each in handles if isinstance(each, AsyncJobHandle)] == [*"abcde"]
    again = script.requests["SubmitJobs"][1]
    assert [job.request_id for job in again.jobs] == ["b", "d"]


async def test_once_the_gateway_is_away_the_rest_is_not_tried(
    connect: Connect, script: ScriptedGateway
) -> None:
    async def well(request: job_service_pb2.SubmitJobsRequest, _: Context) -> object:
        return _results(request, set())

    script.on("SubmitJobs", well, fails(grpc.StatusCode.UNAVAILABLE))

    async def scenario(calls: AsyncCalls) -> Handles:
        return await calls.submit_many((NewJob("t") for _ in range(5_000)), rpc_timeout=1.5)

    async with connect(script.address) as client:
        handles = await client(scenario)
    stored = [isinstance(each, AsyncJobHandle) for each in handles]
    assert stored == [True] * 1_000 + [False] * 4_000
    assert isinstance(handles[-1], Unavailable)


async def test_too_few_results_are_no_results(connect: Connect, script: ScriptedGateway) -> None:
    script.on("SubmitJobs", answers(job_service_pb2.SubmitJobsResponse()))

    async def scenario(calls: AsyncCalls) -> Handles:
        return await calls.submit_many([NewJob("t")])

    async with connect(script.address) as client:
        (outcome,) = await client(scenario)
    assert "0 results" in str(outcome)
