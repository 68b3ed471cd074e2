"""Admission, deadlines, and what gRPC itself is told to refuse."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from grpc_health.v1 import health_pb2

from penstock.server.admission import Admission
from penstock.server.calls import Call
from penstock.server.errors import DeadlineSpent, Shed
from penstock.server.front import _options
from penstock.server.settings import ServerSettings
from penstock.v1 import job_service_pb2 as pb
from tests.server.rig import next_of, refusal_of, rest_of, rig_on, spec
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from penstock.runtime.embedded import EmbeddedServer
    from tests.server.rig import Rig


async def test_streams_over_the_limit_are_turned_away(redis_url: str) -> None:
    async with rig_on(redis_url, max_streams=3) as rig:
        job_id = (await rig.submit()).job_id
        calls = [rig.stream(job_id) for _ in range(2)]
        for call in calls:
            await next_of(call)
        waiting = rig.jobs.WaitJob(pb.WaitJobRequest(job_id=job_id))
        admission = rig.admission
        await eventually(lambda: admission.streams == 3, "three are open")
        refusal = await refusal_of(next_of(rig.stream(job_id)))
        assert refusal.code is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert refusal.reason == "GATEWAY_LIMIT"
        assert "RetryInfo" in refusal.details
        assert refusal.trailers["grpc-retry-pushback-ms"] == "1000"
        # Calls with one answer, and health, are counted apart.
        assert (await rig.job(job_id)).job_id == job_id
        assert await rig.health.Check(health_pb2.HealthCheckRequest(service="liveness"))
        calls[0].cancel()
        await eventually(lambda: admission.streams == 2, "one has left")
        assert (await next_of(rig.stream(job_id))).HasField("snapshot")
        waiting.cancel()


async def test_one_address_cannot_take_all_streams(redis_url: str) -> None:
    async with rig_on(redis_url, max_streams_per_peer=1) as rig:
        job_id = (await rig.submit()).job_id
        first = rig.stream(job_id)
        await next_of(first)
        refusal = await refusal_of(next_of(rig.stream(job_id)))
        assert "address" in refusal.message


async def test_unary_calls_over_the_limit_are_turned_away(
    redis_url: str, redis_server: EmbeddedServer
) -> None:
    async with rig_on(redis_url, max_unary_calls=2) as rig:
        await rig.submit()
        redis_server.kill()
        admission = rig.admission
        held = [rig.jobs.SubmitJob(pb.SubmitJobRequest(job=spec())) for _ in range(2)]
        await eventually(lambda: admission.unary == 2, "two are worked on")
        refusal = await refusal_of(rig.jobs.SubmitJob(pb.SubmitJobRequest(job=spec())))
        assert refusal.code is grpc.StatusCode.RESOURCE_EXHAUSTED
        redis_server.start()
        for call in held:
            assert (await call).job.job_id
        assert admission.unary == 0


@pytest.mark.parametrize(
    ("peer", "host"),
    [
        ("ipv4:10.0.0.1:5000", "ipv4:10.0.0.1"),
        ("ipv6:%5B::1%5D:5000", "ipv6:%5B::1%5D"),
        ("unix:", "unix:"),
    ],
)
def test_all_connections_of_an_address_count_together(peer: str, host: str) -> None:
    admission = Admission(ServerSettings(max_streams=5, max_streams_per_peer=2))
    assert admission.enter_stream(peer) == host
    admission.enter_stream(peer)
    with pytest.raises(Shed):
        admission.enter_stream(peer)
    admission.leave_stream(host)
    admission.enter_stream(peer)


class Context:
    """What a Call asks of gRPC's context."""

    def __init__(self, remaining_s: float | None) -> None:
        self._remaining_s = remaining_s

    def time_remaining(self) -> float | None:
        return self._remaining_s


@pytest.mark.parametrize(
    ("remaining_s", "budget_s"), [(None, 5.0), (100.0, 5.0), (2.0, 1.9), (0.5, 0.45)]
)
def test_a_budget_is_what_the_deadline_leaves_and_never_more_than_the_cap(
    remaining_s: float | None, budget_s: float
) -> None:
    call = Call(Context(remaining_s), 5.0)  # type: ignore[arg-type]
    assert call.budget_s == pytest.approx(budget_s)


def test_nothing_begins_after_the_deadline() -> None:
    with pytest.raises(DeadlineSpent):
        _ = Call(Context(0.0), 5.0).budget_s  # type: ignore[arg-type]


async def test_without_a_deadline_the_cap_holds(
    redis_url: str, redis_server: EmbeddedServer
) -> None:
    async with rig_on(redis_url, call_budget_s=0.3) as rig:
        redis_server.kill()
        began = asyncio.get_running_loop().time()
        refusal = await refusal_of(rig.jobs.SubmitJob(pb.SubmitJobRequest(job=spec())))
        assert refusal.code is grpc.StatusCode.UNAVAILABLE
        assert asyncio.get_running_loop().time() - began < 2.0


async def test_the_answer_comes_before_the_callers_deadline(
    rig: Rig, redis_server: EmbeddedServer
) -> None:
    job_id = (await rig.submit()).job_id
    redis_server.kill()
    request = pb.GetStatusRequest(job_id=job_id)
    refusal = await refusal_of(rig.jobs.GetStatus(request, timeout=0.5))
    # Not DEADLINE_EXCEEDED: it is the gateway that knows why.
    assert refusal.code is grpc.StatusCode.UNAVAILABLE
    assert "RetryInfo" in refusal.details


async def test_compression_is_refused_unless_it_is_enabled(redis_url: str) -> None:
    request = pb.SubmitJobRequest(job=spec())
    async with rig_on(redis_url) as rig:
        call = rig.jobs.SubmitJob(request, compression=grpc.Compression.Gzip)
        assert (await refusal_of(call)).code is grpc.StatusCode.UNIMPLEMENTED
    async with rig_on(redis_url, compression=True) as rig:
        answer = await rig.jobs.SubmitJob(request, compression=grpc.Compression.Gzip)
        assert answer.job.job_id


async def test_metadata_is_bounded(rig: Rig) -> None:
    call = rig.jobs.SubmitJob(pb.SubmitJobRequest(job=spec()), metadata=[("x", "y" * 20_000)])
    assert (await refusal_of(call)).code is grpc.StatusCode.RESOURCE_EXHAUSTED


async def test_reflection_is_off_unless_it_is_enabled(redis_url: str) -> None:
    path = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"
    listing = b"\x3a\x00"  # ServerReflectionRequest(list_services="")
    async with rig_on(redis_url) as rig:
        method: Any = rig.channel.stream_stream(path)
        refusal = await refusal_of(rest_of(method(iter([listing]))))
        assert refusal.code is grpc.StatusCode.UNIMPLEMENTED
    async with rig_on(redis_url, reflection=True) as rig:
        method = rig.channel.stream_stream(path)
        [answer] = await rest_of(method(iter([listing])))
        assert b"penstock.v1.JobService" in answer


async def test_a_connection_is_closed_gently_at_its_age(redis_url: str) -> None:
    async with rig_on(redis_url, max_connection_age_s=1.0) as rig:
        await rig.submit()
        ready = grpc.ChannelConnectivity.READY
        assert rig.channel.get_state() is ready
        # Told to go, an idle client does; the next call makes another connection.
        await eventually(lambda: rig.channel.get_state() is not ready, "the connection is closed")
        assert (await rig.submit()).job_id


def test_connections_are_kept_alive_and_pings_are_bounded() -> None:
    settings = ServerSettings(max_connection_age_s=100, stream_max_age_s=50)
    options = dict(_options(settings, share_port=False))
    # By default gRPC pings every two hours, and never a connection without calls.
    assert options["grpc.keepalive_time_ms"] == 30_000
    assert options["grpc.keepalive_timeout_ms"] == 10_000
    assert options["grpc.keepalive_permit_without_calls"] == 1
    assert options["grpc.http2.min_recv_ping_interval_without_data_ms"] == 20_000
    assert options["grpc.max_connection_age_ms"] == 100_000
    assert options["grpc.max_connection_age_grace_ms"] > 50_000


def test_a_port_is_shared_only_where_that_was_asked_for() -> None:
    for share_port in (False, True):
        options = dict(_options(ServerSettings(), share_port=share_port))
        assert options["grpc.so_reuseport"] == share_port
