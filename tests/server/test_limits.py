"""Admission, deadlines, and what gRPC itself is told to refuse."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from grpc_health.v1 import health_pb2

from penstock.server import calls
from penstock.server.admission import Lane, caller_of
from penstock.server.calls import Call
from penstock.server.errors import DeadlineSpent, Shed
from penstock.server.front import _options
from penstock.server.settings import ServerSettings
from penstock.v1 import job_service_pb2 as pb
from penstock.v1 import job_service_pb2_grpc
from tests.server.rig import next_of, refusal_of, rest_of, rig_on, spec
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from penstock.runtime.embedded import EmbeddedServer
    from tests.server.rig import Rig


async def test_streams_over_the_limit_are_turned_away(redis_url: str) -> None:
    async with rig_on(redis_url, max_streams=3) as rig:
        job_id = (await rig.submit()).job_id
        open_streams = [rig.stream(job_id) for _ in range(2)]
        for call in open_streams:
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
        open_streams[0].cancel()
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


@pytest.fixture
def patient_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    """Calls wait for a server that is known to be away as long as for any, however slow all is."""
    monkeypatch.setattr(calls, "_AWAY_CAP_S", 60.0)


@pytest.mark.usefixtures("patient_calls")
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
        await eventually(lambda: admission.unary == 0, "none is counted any more")


@pytest.mark.usefixtures("patient_calls")
async def test_a_greedy_caller_leaves_room_for_others(
    redis_url: str, redis_server: EmbeddedServer
) -> None:
    settings = {"max_unary_calls": 4, "max_unary_calls_per_peer": 2, "call_budget_s": 60.0}
    async with rig_on(redis_url, **settings) as rig, neighbour_of(rig) as neighbour:
        await rig.submit()
        redis_server.kill()
        request = pb.SubmitJobRequest(job=spec())
        greedy = [asyncio.ensure_future(rig.jobs.SubmitJob(request)) for _ in range(8)]
        done, held = await asyncio.wait(greedy, return_when=asyncio.FIRST_COMPLETED)
        while len(done) < 6:
            done, held = await asyncio.wait(greedy, timeout=0.01)
        for call in done:
            refusal = await refusal_of(call)
            assert (refusal.code, refusal.reason) == (
                grpc.StatusCode.RESOURCE_EXHAUSTED,
                "GATEWAY_LIMIT",
            )
            assert "address" in refusal.message
            assert refusal.trailers["grpc-retry-pushback-ms"] == "1000"
        others = [asyncio.ensure_future(neighbour.SubmitJob(request)) for _ in range(2)]
        await eventually(lambda: rig.admission.unary == 4, "the others are worked on", within_s=30)
        redis_server.start()
        for call in (*held, *others):
            assert (await call).job.job_id


@pytest.mark.usefixtures("patient_calls")
async def test_whoever_finds_the_gateway_full_is_not_even_read(
    redis_url: str, redis_server: EmbeddedServer
) -> None:
    async with rig_on(redis_url, max_unary_calls=1, max_streams=1, call_budget_s=60.0) as rig:
        watched = rig.stream((await rig.submit()).job_id)
        await next_of(watched)
        redis_server.kill()
        held = rig.jobs.SubmitJob(pb.SubmitJobRequest(job=spec()))
        await eventually(lambda: rig.admission.unary == 1, "one is worked on")

        # No message is ever sent.
        for name in ("SubmitJob", "WaitJob"):
            call: Any = rig.channel.stream_unary(f"/penstock.v1.JobService/{name}")()
            assert (await refusal_of(call)).reason == "GATEWAY_LIMIT"
        stream: Any = rig.channel.stream_stream("/penstock.v1.JobService/StreamProgress")()
        assert (await refusal_of(stream.read())).reason == "GATEWAY_LIMIT"
        redis_server.start()
        assert (await held).job.job_id
        watched.cancel()


@pytest.mark.timeout(300)
async def test_a_flood_is_told_when_to_come_back_and_nobody_is_dropped(redis_url: str) -> None:
    limits = {"max_unary_calls": 50, "max_unary_calls_per_peer": 50}
    async with rig_on(redis_url, **limits) as rig:
        job_id = (await rig.submit()).job_id
        request = pb.GetStatusRequest(job_id=job_id)
        # All are sent before the gateway, which shares the loop, begins with any.
        flood = [rig.jobs.GetStatus(request) for _ in range(1_900)]
        answers = Counter([await call.code() for call in flood])
        assert set(answers) <= {grpc.StatusCode.OK, grpc.StatusCode.RESOURCE_EXHAUSTED}
        assert answers[grpc.StatusCode.OK] >= 1
        assert (await rig.job(job_id)).job_id == job_id


@contextlib.asynccontextmanager
async def neighbour_of(rig: Rig) -> AsyncIterator[job_service_pb2_grpc.JobServiceAsyncStub]:
    """A client that comes from another address of this machine."""
    pumps: set[asyncio.Task[None]] = set()

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(65_536):
                writer.write(data)
        writer.close()

    async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        back, forth = await asyncio.open_connection(
            "127.0.0.1", rig.gateway.port, local_addr=("127.0.0.2", 0)
        )
        pumps.add(asyncio.create_task(pump(reader, forth)))
        pumps.add(asyncio.create_task(pump(back, writer)))

    server = await asyncio.start_server(relay, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield job_service_pb2_grpc.JobServiceStub(channel)
    server.close()
    if pumps:
        await asyncio.wait(pumps)
    await server.wait_closed()


@pytest.mark.parametrize(
    ("peer", "host"),
    [
        ("ipv4:10.0.0.1:5000", "ipv4:10.0.0.1"),
        ("ipv6:%5B::1%5D:5000", "ipv6:%5B::1%5D"),
        ("unix:", "unix:"),
    ],
)
def test_all_connections_of_an_address_count_together(peer: str, host: str) -> None:
    assert caller_of(Context(None, peer)) == host  # type: ignore[arg-type]


def test_who_leaves_makes_room() -> None:
    lane = Lane("streams", 3, 2)
    for caller in ("a", "a", "b"):
        lane.enter(caller)
    assert lane.is_full
    with pytest.raises(Shed, match="gateway"):
        lane.enter("b")
    lane.leave("b")
    with pytest.raises(Shed, match="address"):
        lane.enter("a")
    lane.leave("a")
    lane.enter("a")
    assert lane.open == 2


class Context:
    """What is asked of gRPC's context."""

    def __init__(self, remaining_s: float | None, peer: str = "") -> None:
        self._remaining_s = remaining_s
        self._peer = peer

    def peer(self) -> str:
        return self._peer

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
        assert asyncio.get_running_loop().time() - began < 4.0


@pytest.mark.usefixtures("patient_calls")
async def test_the_answer_comes_before_the_callers_deadline(
    redis_url: str, redis_server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A long way back, for a machine that is slow: it is answered after a tenth of the time.
    monkeypatch.setattr(calls, "_MARGIN", 0.9)
    monkeypatch.setattr(calls, "_MAX_MARGIN_S", 60.0)
    async with rig_on(redis_url, call_budget_s=60.0) as rig:
        job_id = (await rig.submit()).job_id
        redis_server.kill()
        request = pb.GetStatusRequest(job_id=job_id)
        refusal = await refusal_of(rig.jobs.GetStatus(request, timeout=20))
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
