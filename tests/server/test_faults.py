"""Faults: the storage goes away, the gateway stops, a client goes away."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import re
import signal
from typing import TYPE_CHECKING

import grpc
import pytest

from penstock.broker import NewJob, Progress, UnsafeServer, repairer
from penstock.runtime import ConfigurationError
from penstock.runtime.embedded import EmbeddedServer
from penstock.server import Gateway, ServerSettings
from penstock.v1 import job_pb2, job_service_pb2_grpc
from penstock.v1 import job_service_pb2 as pb
from tests.server.rig import next_of, refusal_of, rest_of, rig_on, seconds, spec, states_of
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from tests.server.rig import Rig


async def test_a_killed_server_is_unavailable_and_then_all_goes_on(
    rig: Rig, redis_server: EmbeddedServer
) -> None:
    job_id = (await rig.submit()).job_id
    stream = rig.stream(job_id)
    assert (await next_of(stream)).HasField("snapshot")
    waiting = rig.jobs.WaitJob(pb.WaitJobRequest(job_id=job_id, timeout=seconds(60)))
    watched = rig.hub._feeds[job_id]
    await eventually(lambda: len(watched.watchers) == 2, "the wait has begun")
    redis_server.kill()
    refusals = [
        await refusal_of(rig.jobs.SubmitJob(pb.SubmitJobRequest(job=spec()), timeout=10)),
        await refusal_of(rig.jobs.GetStatus(pb.GetStatusRequest(job_id=job_id), timeout=10)),
        await refusal_of(next_of(stream_with_deadline(rig, job_id))),
    ]
    for refusal in refusals:
        assert refusal.code is grpc.StatusCode.UNAVAILABLE
        assert refusal.reason == "STORAGE_UNAVAILABLE"
        assert "RetryInfo" in refusal.details
        assert "valkey" not in refusal.message
    redis_server.start()
    # The streams that were open go on, without a hole, when the storage is back.
    await rig.broker.link.ready(30)
    await rig.complete(await rig.claim())
    assert states_of(await rest_of(stream)) == [
        "JOB_STATE_QUEUED",
        "JOB_STATE_RUNNING",
        "JOB_STATE_SUCCEEDED",
    ]
    assert (await waiting).done


def stream_with_deadline(
    rig: Rig, job_id: str
) -> grpc.aio.UnaryStreamCall[pb.StreamProgressRequest, pb.StreamProgressResponse]:
    return rig.jobs.StreamProgress(pb.StreamProgressRequest(job_id=job_id), timeout=10)


async def test_a_short_absence_is_only_a_delay(rig: Rig, redis_server: EmbeddedServer) -> None:
    await rig.submit()
    redis_server.kill()
    submit = asyncio.ensure_future(rig.submit())
    redis_server.start()
    assert (await submit).outcome == pb.SUBMIT_OUTCOME_CREATED


async def test_while_the_storage_is_away_nobody_is_kept_waiting(
    redis_url: str, redis_server: EmbeddedServer
) -> None:
    """Calls that took their whole budget would be the slowest where another gateway could serve."""
    async with rig_on(redis_url, call_budget_s=120.0) as rig:
        job_id = (await rig.submit()).job_id
        redis_server.kill()
        await eventually(lambda: rig.admission.storage_away, "the gateway knows", within_s=30)
        request = pb.GetStatusRequest(job_id=job_id)
        refusal = await refusal_of(rig.jobs.GetStatus(request, timeout=120.0))
        assert refusal.reason == "STORAGE_UNAVAILABLE"
        assert "RetryInfo" in refusal.details
        redis_server.start()
        await eventually(lambda: not rig.admission.storage_away, "it is back", within_s=30)
        assert (await rig.jobs.GetStatus(request)).job.job_id == job_id


@pytest.mark.parametrize("how", ["silent", "gone"])
async def test_a_refused_call_leaves_nothing_to_the_garbage_collector(
    redis_url: str, redis_server: EmbeddedServer, how: str
) -> None:
    """Its payload would stay until that comes by: under a flood, hundreds of megabytes."""

    def jobs() -> int:
        return sum(isinstance(each, NewJob) for each in gc.get_objects())

    async with rig_on(redis_url) as rig:
        await rig.submit()
        gc.collect()
        before = jobs()
        gc.disable()
        try:
            if how == "gone":
                redis_server.kill()
            else:
                os.kill(redis_server.pid, signal.SIGSTOP)
            request = pb.SubmitJobRequest(job=spec())
            calls = [rig.jobs.SubmitJob(request, timeout=0.5) for _ in range(10)]
            for call in calls:
                await refusal_of(call)
            await eventually(lambda: not rig.admission.unary, "the gateway is done with them")
            await eventually(lambda: jobs() == before, "their jobs are gone", within_s=30)
        finally:
            gc.enable()
            if how == "silent":
                os.kill(redis_server.pid, signal.SIGCONT)
            redis_server.start()


async def test_a_gateway_starts_without_its_storage_and_finds_it_later() -> None:
    with EmbeddedServer() as server:
        server.kill()
        async with contextlib.AsyncExitStack() as stack:
            gateway = await stack.enter_async_context(
                Gateway(
                    ServerSettings.load(
                        redis_url=server.url, listen="127.0.0.1:0", startup_wait_s=0.0
                    )
                )
            )
            channel = await stack.enter_async_context(grpc.aio.insecure_channel(gateway.address))
            jobs = job_service_pb2_grpc.JobServiceStub(channel)
            request = pb.SubmitJobRequest(
                job=spec(options=job_pb2.JobOptions(allow_unregistered=True))
            )
            refusal = await refusal_of(jobs.SubmitJob(request, timeout=10))
            assert refusal.code is grpc.StatusCode.UNAVAILABLE
            server.start()

            async def submitted() -> bool:
                with contextlib.suppress(grpc.aio.AioRpcError):  # Not connected yet.
                    return bool((await jobs.SubmitJob(request)).job.job_id)
                return False

            await eventually(submitted, "it has found its storage", within_s=30)


async def test_an_unsafe_server_is_not_served_from() -> None:
    with EmbeddedServer(options={"appendonly": "no"}) as server:
        settings = ServerSettings.load(redis_url=server.url, listen="127.0.0.1:0")
        with pytest.raises(UnsafeServer, match="appendonly"):
            await Gateway(settings).start()


async def test_a_full_server_is_told_apart_from_one_that_is_away(rig: Rig) -> None:
    await rig.submit()
    call = rig.broker.link.call
    await call("CONFIG", "SET", "maxmemory", 1)
    try:
        refusal = await refusal_of(rig.jobs.SubmitJob(pb.SubmitJobRequest(job=spec())))
    finally:
        await call("CONFIG", "SET", "maxmemory", 0)
    assert refusal.code is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert refusal.reason == "STORAGE_FULL"
    assert "RetryInfo" in refusal.details


async def test_submits_are_turned_away_before_the_server_is_full(rig: Rig) -> None:
    await rig.submit()
    grant = await rig.claim()
    call = rig.broker.link.call
    used = int(re.search(rb"used_memory:([0-9]+)", await call("INFO", "memory"))[1])  # type: ignore[index]
    await call("CONFIG", "SET", "maxmemory", used * 10 // 9)
    try:
        await eventually(lambda: rig.admission.storage_full, "the gauge has looked")
        refusal = await refusal_of(rig.jobs.SubmitJob(pb.SubmitJobRequest(job=spec())))
        assert refusal.reason == "STORAGE_FULL"
        await rig.complete(grant)
    finally:
        await call("CONFIG", "SET", "maxmemory", 0)
    await eventually(lambda: not rig.admission.storage_full, "the gauge has looked again")
    await rig.submit()


async def test_a_lost_stream_is_rebuilt_at_once(rig: Rig) -> None:
    await rig.submit()
    call = rig.broker.link.call
    [stream] = await call("KEYS", "*:s:d")
    await call("DEL", stream)
    await eventually(lambda: call("EXISTS", stream), "the job is in its stream again", within_s=30)
    await rig.complete(await rig.claim())


async def lose_a_deadline(rig: Rig) -> bytes:
    """Takes away what no count misses, once the gateway's first walk is over. Returns the key."""
    mark, call = rig.broker.engine.names.walk(), rig.broker.link.call

    async def has_walked() -> bool:
        return bool(await call("GET", mark) == b"walked")

    await eventually(has_walked, "the gateway has walked over all records")
    expires_in = job_pb2.JobOptions(expires_in=seconds(3_600))
    await rig.jobs.SubmitJob(pb.SubmitJobRequest(job=spec(options=expires_in)))
    key: bytes
    [key] = await call("KEYS", "*:dl")
    await call("DEL", key)
    return key


async def test_what_no_count_misses_is_rebuilt_after_a_reconnect(rig: Rig) -> None:
    deadlines = await lose_a_deadline(rig)
    call = rig.broker.link.call
    # As after a failover: every connection breaks, and a part of the data is gone.
    await call("DEL", rig.broker.engine.names.walk())
    await call("CLIENT", "KILL", "TYPE", "NORMAL", "SKIPME", "YES")
    await eventually(lambda: call("EXISTS", deadlines), "the deadline is known again", within_s=30)


async def test_a_walk_that_stood_in_for_another_is_made_up_for(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(repairer, "WALK_AGAIN_S", 1.5)
    deadlines = await lose_a_deadline(rig)
    call = rig.broker.link.call
    # Another process walked right before the data was lost: its mark holds others off.
    await call("SET", rig.broker.engine.names.walk(), 1, "PX", 1_000)
    await call("CLIENT", "KILL", "TYPE", "NORMAL", "SKIPME", "YES")
    await eventually(lambda: call("EXISTS", deadlines), "the deadline is known again", within_s=30)


async def test_a_shutdown_ends_streams_with_a_cursor(redis_url: str) -> None:
    async with rig_on(redis_url, shutdown_grace_s=20.0) as rig:
        job_id = (await rig.submit()).job_id
        grant = await rig.claim()
        await rig.report(grant, Progress(1, 2))
        streams = [rig.stream(job_id) for _ in range(3)]
        for stream in streams:
            *_, last = [await next_of(stream) for _ in range(4)]
            assert last.progress.current == 1
        waiting = rig.jobs.WaitJob(pb.WaitJobRequest(job_id=job_id))
        await eventually(lambda: rig.admission.streams == 4, "all are open")
        began = asyncio.get_running_loop().time()
        await rig.gateway.stop()
        # The grace is a limit, not a pause.
        assert asyncio.get_running_loop().time() - began < 15.0
        for stream in streams:
            [end] = await rest_of(stream)
            assert end.end.reason == pb.EndOfStream.REASON_SHUTDOWN
            assert end.end.cursor == 3
        answer = await waiting
        assert not answer.done
        assert answer.job.state == job_pb2.JOB_STATE_RUNNING
        # Another gateway goes on from there.
        async with rig_on(redis_url) as other:
            await other.complete(grant)
            assert states_of(await rest_of(other.stream(job_id, 3))) == ["JOB_STATE_SUCCEEDED"]


async def test_a_shutdown_does_not_wait_for_the_storage(
    redis_url: str, redis_server: EmbeddedServer
) -> None:
    async with rig_on(redis_url) as rig:
        stream = rig.stream((await rig.submit()).job_id)
        await next_of(stream)
        await next_of(stream)
        redis_server.kill()
        began = asyncio.get_running_loop().time()
        await rig.gateway.stop()
        assert asyncio.get_running_loop().time() - began < 8.0
        [end] = await rest_of(stream)
        assert end.end.reason == pb.EndOfStream.REASON_SHUTDOWN


async def test_clients_that_leave_leave_nothing_behind(rig: Rig) -> None:
    job_id = (await rig.submit()).job_id
    async with grpc.aio.insecure_channel(
        rig.gateway.address, options=[("grpc.use_local_subchannel_pool", 1)]
    ) as channel:
        jobs = job_service_pb2_grpc.JobServiceStub(channel)
        streams = [jobs.StreamProgress(pb.StreamProgressRequest(job_id=job_id)) for _ in range(5)]
        for stream in streams:
            await next_of(stream)
        assert rig.admission.streams == 5
    await eventually(lambda: rig.admission.streams == 0, "the streams are gone")
    await eventually(lambda: rig.hub.readers == 0, "so is their reader")


async def test_a_port_that_is_taken_is_a_clear_error(rig: Rig, redis_url: str) -> None:
    settings = ServerSettings.load(redis_url=redis_url, listen=rig.gateway.address)
    with pytest.raises(ConfigurationError, match="PENSTOCK_LISTEN"):
        await Gateway(settings).start()


def test_no_redis_address_is_a_clear_error() -> None:
    with pytest.raises(ConfigurationError, match="REDIS_URL"):
        Gateway(ServerSettings())
