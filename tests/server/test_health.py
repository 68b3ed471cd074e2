"""grpc.health.v1: liveness, readiness, watches."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from penstock.server import health, upkeep
from tests.server.rig import next_of, refusal_of, rest_of, rig_on
from tests.support.http2 import Peer, framed
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from penstock.runtime.embedded import EmbeddedServer
    from tests.server.rig import Rig

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
SERVICE_UNKNOWN = health_pb2.HealthCheckResponse.SERVICE_UNKNOWN
READINESS = [
    "",
    *(f"penstock.v1.{name}Service" for name in ("Job", "Queue", "Schedule", "Topic", "Cache")),
]


async def check(rig: Rig, service: str = "") -> int:
    answer = await rig.health.Check(health_pb2.HealthCheckRequest(service=service))
    return int(answer.status)


async def facts(rig: Rig) -> dict[str, object]:
    """What a check tells beside the status."""
    call = rig.health.Check(health_pb2.HealthCheckRequest())
    assert await call
    return dict(await call.trailing_metadata())


@pytest.fixture
async def ready(redis_url: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Rig]:
    """A gateway that is ready, and probes often."""
    monkeypatch.setattr(upkeep, "PROBE_EVERY_S", 0.05)
    async with rig_on(redis_url) as rig:
        await eventually(lambda: rig.readiness.ready, "the gateway is ready")
        yield rig


async def test_every_service_is_ready(ready: Rig) -> None:
    for service in (*READINESS, "liveness"):
        assert await check(ready, service) == SERVING
    listed = await ready.health.List(health_pb2.HealthListRequest())
    assert set(listed.statuses) == {*READINESS, "liveness"}


async def test_an_unknown_service_is_not_found(ready: Rig) -> None:
    request = health_pb2.HealthCheckRequest(service="nobodys")
    assert (await refusal_of(ready.health.Check(request))).code is grpc.StatusCode.NOT_FOUND
    assert (await next_of(ready.health.Watch(request))).status == SERVICE_UNKNOWN


@pytest.mark.parametrize("method", ["Check", "List", "Watch"])
async def test_bytes_that_are_no_message_are_refused(
    ready: Rig, method: str, caplog: pytest.LogCaptureFixture
) -> None:
    path = f"/grpc.health.v1.Health/{method}"
    if method == "Watch":
        watch: Any = ready.channel.unary_stream(path)
        refusal = await refusal_of(next_of(watch(b"\xff")))
    else:
        call: Any = ready.channel.unary_unary(path)
        refusal = await refusal_of(call(b"\xff"))
    assert refusal.code is grpc.StatusCode.INVALID_ARGUMENT
    assert refusal.message == "the request is not a message of the method's type"
    assert not caplog.records
    assert not ready.readiness.watches


async def test_readiness_follows_the_storage_and_liveness_does_not(
    ready: Rig, redis_server: EmbeddedServer
) -> None:
    watch = ready.health.Watch(health_pb2.HealthCheckRequest())
    assert (await next_of(watch)).status == SERVING
    assert (await facts(ready))["penstock-durability"] == "EVERYSEC"
    redis_server.kill()
    assert (await next_of(watch)).status == NOT_SERVING
    told = await facts(ready)
    assert "penstock-durability" not in told
    assert told["penstock-reason"] == "the storage behind this gateway cannot be reached now"
    assert [await check(ready, service) for service in READINESS] == [NOT_SERVING] * len(READINESS)
    assert await check(ready, "liveness") == SERVING
    redis_server.start()
    assert (await next_of(watch)).status == SERVING
    assert "penstock-reason" not in await facts(ready)


async def test_a_server_that_takes_no_writes_is_not_ready(ready: Rig) -> None:
    call = ready.broker.link.call
    readiness = ready.readiness
    await call("CONFIG", "SET", "maxmemory", 1)
    try:
        await eventually(lambda: not readiness.ready, "the gateway is not ready")
    finally:
        await call("CONFIG", "SET", "maxmemory", 0)
    await eventually(lambda: readiness.ready, "the gateway is ready again")


async def test_a_watcher_that_stops_reading_hangs_nobody(
    ready: Rig, redis_server: EmbeddedServer
) -> None:
    deaf = grpc.aio.insecure_channel(
        ready.gateway.address,
        options=[("grpc.http2.lookahead_bytes", 0), ("grpc.use_local_subchannel_pool", 1)],
    )
    readiness = ready.readiness
    async with deaf:
        watch = health_pb2_grpc.HealthStub(deaf).Watch(health_pb2.HealthCheckRequest())
        await eventually(lambda: readiness.watches == 1, "the watch has begun")
        redis_server.kill()
        await eventually(lambda: not readiness.ready, "the change is known")
        assert await check(ready) == NOT_SERVING
        redis_server.start()
        watch.cancel()
    await eventually(lambda: not readiness.watches, "the watch is over")


async def test_a_watcher_that_takes_nothing_does_not_keep_its_place(
    redis_url: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(health, "STALL_S", 0.2)
    async with (
        rig_on(redis_url, max_health_watches=1) as rig,
        Peer(rig.gateway.port, window=0) as peer,
    ):
        stream = peer.call("/grpc.health.v1.Health/Watch", framed(b""))
        await eventually(lambda: rig.readiness.watches, "it watches")
        await eventually(lambda: not rig.readiness.watches, "it has lost its place")
        assert await next_of(rig.health.Watch(health_pb2.HealthCheckRequest()))
        assert not peer.streams[stream].data
    assert not caplog.records


async def test_watches_are_bounded(redis_url: str) -> None:
    async with rig_on(redis_url, max_health_watches=2) as rig:
        request = health_pb2.HealthCheckRequest()
        watches = [rig.health.Watch(request) for _ in range(2)]
        for watch in watches:
            await next_of(watch)
        refusal = await refusal_of(next_of(rig.health.Watch(request)))
        assert refusal.code is grpc.StatusCode.RESOURCE_EXHAUSTED
        watches[0].cancel()
        await eventually(lambda: rig.readiness.watches == 1, "one has left")
        assert await next_of(rig.health.Watch(request))


async def test_a_shutdown_is_told_to_watchers(redis_url: str) -> None:
    async with rig_on(redis_url) as rig:
        readiness = rig.readiness
        await eventually(lambda: readiness.ready, "the gateway is ready")
        watch = rig.health.Watch(health_pb2.HealthCheckRequest())
        assert (await next_of(watch)).status == SERVING
        # Read meanwhile, as watchers do: what is unread when a connection closes may be dropped.
        rest = asyncio.create_task(rest_of(watch))
        await rig.gateway.stop()
        assert [answer.status for answer in await rest] == [NOT_SERVING]
        # Whatever a probe says from now on.
        readiness.set_ready(ready=True)
        assert not readiness.ready


async def test_a_shutdown_is_told_also_to_those_who_have_just_come(redis_url: str) -> None:
    async with rig_on(redis_url) as rig:
        await eventually(lambda: rig.readiness.ready, "the gateway is ready")
        watches = [rig.health.Watch(health_pb2.HealthCheckRequest()) for _ in range(5)]
        rest = [asyncio.create_task(rest_of(watch)) for watch in watches]
        while not rig.readiness.watches:  # noqa: ASYNC110 - at the very next step.
            await asyncio.sleep(0)
        # Its first answer is on its way.
        rig.readiness.close()
        for told in await asyncio.gather(*rest):
            assert told[-1].status == NOT_SERVING
