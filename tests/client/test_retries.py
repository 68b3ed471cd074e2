"""Calls are repeated while that makes sense, and no longer."""

from __future__ import annotations

import json
import pkgutil
import time
from importlib import import_module
from typing import TYPE_CHECKING

import grpc
import pytest

import penstock.v1
from penstock.client import (
    AsyncClient,
    Client,
    DeadlineExceeded,
    Internal,
    JobState,
    NotFound,
    ResourceExhausted,
    StatusError,
    Unavailable,
    Unimplemented,
)
from penstock.client.channel import DEFAULT_ADDRESS, service_config
from penstock.v1 import job_pb2, job_service_pb2
from tests.client.process import free_port
from tests.client.scripted import ScriptedGateway, answers, fails, hangs, retry_info

if TYPE_CHECKING:
    from penstock.client import AsyncJobHandle, Job
    from penstock.client.async_client import AsyncCalls
    from tests.client.conftest import Connect

UNAVAILABLE = fails(grpc.StatusCode.UNAVAILABLE)
FOUND = answers(
    job_service_pb2.GetStatusResponse(job=job_pb2.Job(job_id="job", state=job_pb2.JOB_STATE_QUEUED))
)
DONE = answers(
    job_service_pb2.WaitJobResponse(
        job=job_pb2.Job(job_id="job", state=job_pb2.JOB_STATE_SUCCEEDED), done=True
    )
)
STORED = answers(
    job_service_pb2.SubmitJobResponse(
        job=job_service_pb2.SubmittedJob(
            job_id="job", outcome=job_service_pb2.SUBMIT_OUTCOME_REPEATED
        )
    )
)


async def status(calls: AsyncCalls) -> Job:
    return await calls.status("job")


async def wait(calls: AsyncCalls) -> Job:
    return await calls.wait("job")


async def test_grpc_itself_hides_a_short_trouble(connect: Connect, script: ScriptedGateway) -> None:
    script.on("GetStatus", UNAVAILABLE, UNAVAILABLE, FOUND)
    async with connect(script.address) as client:
        assert (await client(status)).state is JobState.QUEUED
    attempts = [each.get("grpc-previous-rpc-attempts") for each in script.metadata]
    assert attempts == [None, "1", "2"], "the service config's policy was at work"


async def test_the_client_hides_a_longer_one(connect: Connect, script: ScriptedGateway) -> None:
    script.on("GetStatus", *[UNAVAILABLE] * 6, FOUND)
    async with connect(script.address) as client:
        assert (await client(status)).state is JobState.QUEUED
    assert script.calls("GetStatus") == 7


async def test_a_call_that_the_way_gave_up_is_made_again(
    connect: Connect, script: ScriptedGateway
) -> None:
    """A gateway that stops, or a proxy, may end a call so; nobody here cancelled it."""
    script.on("GetStatus", fails(grpc.StatusCode.CANCELLED), FOUND)
    script.on("WaitJob", fails(grpc.StatusCode.CANCELLED), DONE)
    async with connect(script.address) as client:
        assert (await client(status)).state is JobState.QUEUED
        assert (await client(wait)).state is JobState.SUCCEEDED


async def test_a_gateway_may_come_later_than_its_client(connect: Connect) -> None:
    port = free_port()

    async def scenario(calls: AsyncCalls) -> None:
        with pytest.raises(Unavailable) as trouble:
            await calls.status("job", rpc_timeout=8)
        assert f"127.0.0.1:{port}" in str(trouble.value)
        assert "PENSTOCK_ADDRESS" in str(trouble.value), "it says where to look"

    async with connect(f"127.0.0.1:{port}", timeout=30) as client:
        await client(scenario)
        async with ScriptedGateway(port) as gateway:
            gateway.on("GetStatus", FOUND)
            assert (await client(status)).job_id == "job"


async def test_every_try_of_a_submit_has_the_same_request_id(
    connect: Connect, script: ScriptedGateway
) -> None:
    script.on("SubmitJob", *[UNAVAILABLE] * 5, STORED)

    async def scenario(calls: AsyncCalls) -> AsyncJobHandle:
        return await calls.submit("t")

    async with connect(script.address) as client:
        handle = await client(scenario)
    (request_id,) = {request.job.request_id for request in script.requests["SubmitJob"]}
    assert handle.submitted is not None
    assert handle.submitted.request_id == request_id


async def test_submits_have_request_ids_of_their_own(script: ScriptedGateway) -> None:
    script.on("SubmitJob", STORED)
    async with AsyncClient(script.address) as client:
        for _ in range(3):
            await client.submit("t")
    assert len({request.job.request_id for request in script.requests["SubmitJob"]}) == 3


async def test_an_unsettled_submit_says_how_to_settle_it(
    connect: Connect, script: ScriptedGateway
) -> None:
    script.on("SubmitJob", hangs)

    async def scenario(calls: AsyncCalls) -> None:
        await calls.submit("t", request_id="order 17", rpc_timeout=0.2)

    async with connect(script.address) as client:
        with pytest.raises(DeadlineExceeded) as trouble:
            await client(scenario)
    assert isinstance(trouble.value, TimeoutError)
    assert "request_id='order 17'" in trouble.value.__notes__[0]


async def test_the_gateway_says_when_to_come_back(
    connect: Connect, script: ScriptedGateway
) -> None:
    full = fails(grpc.StatusCode.RESOURCE_EXHAUSTED, "full", retry_info(0.4))
    script.on("GetStatus", full, FOUND)
    async with connect(script.address) as client:
        began = time.monotonic()
        await client(status)
        assert time.monotonic() - began >= 0.4


async def test_a_limit_that_time_does_not_mend_is_not_tried_again(
    connect: Connect, script: ScriptedGateway
) -> None:
    script.on("GetStatus", fails(grpc.StatusCode.RESOURCE_EXHAUSTED, "too large"))
    async with connect(script.address) as client:
        with pytest.raises(ResourceExhausted):
            await client(status)
    assert script.calls("GetStatus") == 1


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (grpc.StatusCode.NOT_FOUND, NotFound),
        (grpc.StatusCode.INTERNAL, Internal),
        (grpc.StatusCode.UNIMPLEMENTED, Unimplemented),
    ],
)
async def test_other_errors_are_not_tried_again(
    connect: Connect, script: ScriptedGateway, code: grpc.StatusCode, kind: type[StatusError]
) -> None:
    script.on("GetStatus", fails(code))
    async with connect(script.address) as client:
        with pytest.raises(kind):
            await client(status)
    assert script.calls("GetStatus") == 1


async def test_a_call_ends_in_time(connect: Connect, script: ScriptedGateway) -> None:
    script.on("GetStatus", UNAVAILABLE)

    async def scenario(calls: AsyncCalls) -> None:
        await calls.status("job", rpc_timeout=5)

    async with connect(script.address, timeout=40) as client:
        began = time.monotonic()
        with pytest.raises(Unavailable):
            await client(scenario)
        assert time.monotonic() - began < 20


async def test_the_cause_is_told_rather_than_that_the_time_is_up(
    connect: Connect, script: ScriptedGateway
) -> None:
    # As many as gRPC tries by itself; the next call is the client's.
    script.on("GetStatus", *[fails(grpc.StatusCode.UNAVAILABLE, "the cause")] * 4, hangs)

    async def scenario(calls: AsyncCalls) -> None:
        await calls.status("job", rpc_timeout=8)

    async with connect(script.address) as client:
        with pytest.raises(Unavailable, match="the cause"):
            await client(scenario)


async def test_a_probe_wants_to_know_now(connect: Connect) -> None:
    async def scenario(calls: AsyncCalls) -> bool:
        return await calls.health()

    async with connect(f"127.0.0.1:{free_port()}", timeout=40) as client:
        began = time.monotonic()
        with pytest.raises(Unavailable):
            await client(scenario)
        assert time.monotonic() - began < 20


async def test_a_client_may_wait_for_a_connection_instead(connect: Connect) -> None:
    async with connect(f"127.0.0.1:{free_port()}", wait_for_ready=True, timeout=0.3) as client:
        with pytest.raises(DeadlineExceeded):
            await client(status)


async def test_a_closed_client_says_so(script: ScriptedGateway) -> None:
    client = AsyncClient(script.address)
    await client.aclose()
    await client.aclose()
    with pytest.raises(RuntimeError, match="closed"):
        await client.status("job")
    blocking = Client(script.address)
    blocking.close()
    blocking.close()
    with pytest.raises(RuntimeError, match="closed"):
        blocking.status("job")


def test_the_address_is_given_or_the_environments_or_the_default(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("PENSTOCK_ADDRESS", raising=False)
    assert AsyncClient().address == DEFAULT_ADDRESS
    monkeypatch.setenv("PENSTOCK_ADDRESS", "gateway:1")
    assert AsyncClient().address == "gateway:1"
    assert AsyncClient("elsewhere:2").address == "elsewhere:2"


def test_the_service_config_covers_every_service_of_the_contract() -> None:
    config = json.loads(service_config())
    named = {each["service"] for method in config["methodConfig"] for each in method["name"]}
    names = [module.name for module in pkgutil.iter_modules(penstock.v1.__path__)]
    files = [
        import_module(f"penstock.v1.{name}") for name in names if name.endswith("_service_pb2")
    ]
    assert named == {
        service.full_name for each in files for service in each.DESCRIPTOR.services_by_name.values()
    }
    assert config["retryThrottling"]
