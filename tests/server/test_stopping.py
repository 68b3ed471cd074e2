"""A graceful stop under load: every call ends with an answer, or with UNAVAILABLE."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections import Counter
from functools import partial
from typing import TYPE_CHECKING

import grpc
import pytest
from structlog.testing import capture_logs

from penstock.v1 import job_pb2, job_service_pb2_grpc
from penstock.v1 import job_service_pb2 as pb
from tests.server.process import gateway_process
from tests.server.rig import refusal_of, rig_on, spec
from tests.support.processes import free_port
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from penstock.runtime.embedded import EmbeddedServer
    from tests.server.rig import Rig

OPTIONS = job_pb2.JobOptions(allow_unregistered=True)
CHANNELS = 8


@pytest.mark.parametrize(("over", "processes"), [("tcp", 1), ("tcp", 2), ("unix", 1)])
async def test_a_stop_under_load_cancels_no_call(
    redis_url: str, tmp_path: Path, over: str, processes: int
) -> None:
    address = f"127.0.0.1:{free_port()}" if over == "tcp" else f"unix:{tmp_path}/gateway"
    endings: Counter[grpc.StatusCode] = Counter()
    submit = pb.SubmitJobRequest(job=spec(options=OPTIONS))

    async def hammer(make: Callable[[], Awaitable[object]]) -> None:
        """Calls again and again, without a pause, until the gateway is gone."""
        while process.returncode is None:
            try:
                await make()
            except grpc.aio.AioRpcError as error:
                endings[error.code()] += 1
            else:
                endings[grpc.StatusCode.OK] += 1

    settings = {"PENSTOCK_LISTEN": address, "PENSTOCK_PROCESSES": str(processes)}
    async with (
        gateway_process(REDIS_URL=redis_url, **settings) as process,
        contextlib.AsyncExitStack() as stack,
    ):
        hammers = []
        for _ in range(CHANNELS):
            # Each has a connection of its own.
            channel = grpc.aio.insecure_channel(address, [("grpc.use_local_subchannel_pool", 1)])
            jobs = job_service_pb2_grpc.JobServiceStub(await stack.enter_async_context(channel))
            job_id = (await jobs.SubmitJob(submit, wait_for_ready=True)).job.job_id
            hammers += [
                hammer(partial(jobs.SubmitJob, submit)),
                hammer(partial(jobs.GetStatus, pb.GetStatusRequest(job_id=job_id))),
                hammer(partial(jobs.WaitJob, pb.WaitJobRequest(job_id=job_id))),
            ]
        calls = asyncio.gather(*hammers)
        await eventually(lambda: endings[grpc.StatusCode.OK] > 200, "calls go on", within_s=20)
        process.send_signal(signal.SIGTERM)
        assert await process.wait() == 0
        await calls
    assert endings.keys() == {grpc.StatusCode.OK, grpc.StatusCode.UNAVAILABLE}


async def test_open_calls_are_answered_while_new_ones_are_sent_away(
    redis_url: str, redis_server: EmbeddedServer
) -> None:
    async with rig_on(redis_url, shutdown_grace_s=20.0) as rig:
        status = pb.GetStatusRequest(job_id=(await rig.submit()).job_id)
        redis_server.kill()
        waits = rig.jobs.GetStatus(status)
        await eventually(lambda: rig.admission.unary == 1, "a call waits for the storage")
        stopping = asyncio.create_task(rig.gateway.stop())
        refusal = await refusal_of(_closed(rig, status))
        assert refusal.code is grpc.StatusCode.UNAVAILABLE
        assert "RetryInfo" in refusal.details
        redis_server.start()
        assert (await waits).job.state == job_pb2.JOB_STATE_QUEUED
        await stopping


async def test_a_call_that_outlasts_the_grace_is_told_to_come_back(
    redis_url: str, redis_server: EmbeddedServer
) -> None:
    async with rig_on(redis_url, shutdown_grace_s=0.1) as rig:
        status = pb.GetStatusRequest(job_id=(await rig.submit()).job_id)
        redis_server.kill()
        refused = asyncio.create_task(refusal_of(rig.jobs.GetStatus(status)))
        await eventually(lambda: rig.admission.unary == 1, "a call waits for the storage")
        await rig.gateway.stop()
        refusal = await refused
    assert refusal.code is grpc.StatusCode.UNAVAILABLE
    assert refusal.reason == "GATEWAY_STOPPING"
    assert "RetryInfo" in refusal.details


async def test_a_stop_without_redis_warns_of_nothing_that_may_be_cut_short(
    redis_url: str, redis_server: EmbeddedServer
) -> None:
    with capture_logs() as lines:
        async with rig_on(redis_url) as rig:
            await eventually(lambda: rig.readiness.ready, "the gateway is ready")
            await rig.submit()
            redis_server.kill()
            await eventually(lambda: not rig.readiness.ready, "it is not ready", within_s=30)
            await rig.gateway.stop()
    assert not [line for line in lines if "grace" in line["event"]]


async def _closed(rig: Rig, status: pb.GetStatusRequest) -> object:
    """Calls, for a short time each, until a call is sent away because of the stop."""
    while True:
        try:
            return await rig.jobs.GetStatus(status, timeout=0.5)
        except grpc.aio.AioRpcError as error:
            if "stopping" in (error.details() or ""):
                raise
