"""Watchers of the health service that take nothing."""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any, ClassVar, Final, cast

import grpc
import grpc.aio
from grpc_health.v1 import health_pb2, health_pb2_grpc

from tests.chaos.scenario import Scenario
from tests.chaos.waiting import PATIENCE_S, when
from tests.chaos.worlds.stage import Stage
from tests.support.http2 import Peer, framed

if TYPE_CHECKING:
    from tests.chaos.scenario import Run
    from tests.chaos.worlds.observed_gateway import ObservedGateway

__all__ = ["HealthWatch"]

MOST: Final = 100
ROUNDS: Final = 3
GRACE_S: Final = 2.0
#: What a shutdown takes beyond its grace, for the last words to watchers and to close, and on
#: however busy a machine (s).
BEYOND_S: Final = 4.0
AT_LATEST_S: Final = 20.0
WATCH: Final = "/grpc.health.v1.Health/Watch"
_SERVING: Final = health_pb2.HealthCheckResponse.SERVING
_NOT_SERVING: Final = health_pb2.HealthCheckResponse.NOT_SERVING


class HealthWatch(Scenario):
    """All places but one for health watches are taken by clients with HTTP/2 windows of 0."""

    name: ClassVar = "health_watch"
    rows: ClassVar = (30,)
    expects: ClassVar = (
        "one who reads learns of each change, more watches are refused, and a shutdown does not "
        "wait for those who take nothing"
    )
    seconds: ClassVar = 20.0

    async def run(self, run: Run) -> None:
        """See `Scenario`."""
        settings = {"max_health_watches": MOST, "shutdown_grace_s": GRACE_S}
        async with AsyncExitStack() as exits:
            stage = await exits.enter_async_context(Stage(run))
            gateway = await stage.start_observed_gateway(**settings)
            channel = grpc.aio.insecure_channel(gateway.address)
            await exits.enter_async_context(channel)
            watch = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest())
            await _until(watch, _SERVING)
            peers = [
                await exits.enter_async_context(Peer(gateway.port, window=0))
                for _ in range(MOST - 1)
            ]
            for peer in peers:
                peer.call(WATCH, framed(b""))
            await when(lambda: _all_watch(gateway), "all watch")
            await _check_refused(run, gateway)
            await _strike(run, stage, watch)
            await _check_shutdown(run, gateway, watch)
            run.result.expect(
                not any(stream.data for peer in peers for stream in peer.streams.values()),
                "health",
                "those with a window of 0 were sent something: the run proves nothing",
            )


async def _all_watch(gateway: ObservedGateway) -> bool:
    return (await gateway.look()).watches >= MOST


async def _strike(run: Run, stage: Stage, watch: Any) -> None:  # noqa: ANN401 - a call of gRPC.
    """The server goes and comes back; how soon the one who reads is told."""
    down_s, up_s = [], []
    for _ in range(run.scaled(ROUNDS)):
        await asyncio.to_thread(stage.server.kill)
        began = time.monotonic()
        await _until(watch, _NOT_SERVING)
        down_s.append(time.monotonic() - began)
        await asyncio.to_thread(stage.server.start)
        began = time.monotonic()
        await _until(watch, _SERVING)
        up_s.append(time.monotonic() - began)
    tally = run.result.tally("readiness changes beside stalled watchers", HealthWatch.rows)
    tally.strikes += len(down_s) + len(up_s)
    tally.recovery_ms += [span * 1000 for span in up_s]
    run.result.figures["told of a change"] = (
        f"after {max(down_s):.1f} s that the server has gone, after {max(up_s):.1f} s that it is "
        "back (worst)"
    )


async def _check_refused(run: Run, gateway: ObservedGateway) -> None:
    async with Peer(gateway.port) as one_more:
        status = await one_more.status_of(one_more.call(WATCH, framed(b"")), PATIENCE_S)
    run.result.expect(
        status == grpc.StatusCode.RESOURCE_EXHAUSTED.value[0],
        "health",
        f"a watch beyond the limit was answered {status}",
    )


async def _check_shutdown(run: Run, gateway: ObservedGateway, watch: Any) -> None:  # noqa: ANN401 - as above.
    told = asyncio.create_task(_until(watch, _NOT_SERVING))
    took_s = await gateway.stop()
    run.result.figures["a shutdown took"] = f"{took_s:.1f} s at a grace of {GRACE_S:g} s"
    text = f"a shutdown took {took_s:.1f} s beside them"
    run.result.expect(took_s < GRACE_S + AT_LATEST_S, "health", text)
    run.result.aim(took_s < GRACE_S + BEYOND_S, text)
    try:
        await told
    except AssertionError as error:
        run.result.expect(None, "health", f"one who reads was not told of the shutdown: {error}")


async def _until(watch: Any, status: int) -> None:  # noqa: ANN401 - as above.
    """Reads changes up to that one. Raises AssertionError where it does not come."""
    name = health_pb2.HealthCheckResponse.ServingStatus.Name(status)
    try:
        async with asyncio.timeout(PATIENCE_S):
            while (answer := await watch.read()) is not grpc.aio.EOF:
                if cast("health_pb2.HealthCheckResponse", answer).status == status:
                    return
    except TimeoutError:
        pass
    raise AssertionError(f"the watch did not tell {name}, or ended")
