"""A gateway that cannot reach the server for some seconds."""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, ClassVar, Final, Self

import grpc.aio
from grpc_health.v1 import health_pb2, health_pb2_grpc

from penstock.client import AsyncClient, StatusError
from tests.chaos.link.proxy import FaultProxy
from tests.chaos.scenario import Scenario
from tests.chaos.waiting import PATIENCE_S, when
from tests.chaos.worlds.loop_lag import LoopLag
from tests.chaos.worlds.stage import Stage

if TYPE_CHECKING:
    from tests.chaos.scenario import Run

__all__ = ["GatewayPartition"]

#: The deadlines of calls to a gateway that is cut off (s).
DEADLINES_S: Final = (0.3, 1.0, 3.0)
#: Submitted to both gateways meanwhile.
JOBS: Final = 20
#: A gateway that was cut off is ready after it, and on however busy a machine (s).
READY_WITHIN_S: Final = 5.0
READY_AT_LATEST_S: Final = 20.0


class GatewayPartition(Scenario):
    """Nothing passes between a gateway and the server for some seconds; another one serves on."""

    name: ClassVar = "gateway_partition"
    rows: ClassVar = (14,)
    expects: ClassVar = (
        "it answers UNAVAILABLE with a time to retry after, within the caller's deadline, turns "
        "NOT_SERVING and tells watchers, and is back by itself; clients of both see nothing of it"
    )
    seconds: ClassVar = 40.0

    async def run(self, run: Run) -> None:
        """See `Scenario`."""
        async with AsyncExitStack() as exits:
            stage = await exits.enter_async_context(Stage(run))
            link = await exits.enter_async_context(FaultProxy("127.0.0.1", stage.server.port))
            lag = await exits.enter_async_context(LoopLag())
            await stage.start_gateway(redis_url=link.url)
            await stage.start_gateway()
            stage.start_worker()
            client = await exits.enter_async_context(stage.connect())
            await stage.registered(client)
            alone = await exits.enter_async_context(stage.connect(stage.ports[0], retry_for=0))
            watch = await exits.enter_async_context(_HealthWatch(stage.ports[0]))
            await when(lambda: watch.serving is True, "the gateway is ready")
            job_id = (await client.submit("hold", 0.0)).job_id
            for number in range(run.scaled(2, at_least=2)):
                run.say(f"cut {number + 1}")
                cut = _Silence(run, link, watch, lag, hangs_up=bool(number % 2))
                await cut.go(client, alone, job_id)


class _HealthWatch:
    """Readiness of one gateway, as its health service tells a watcher."""

    def __init__(self, port: int) -> None:
        self._channel = grpc.aio.insecure_channel(f"127.0.0.1:{port}")
        self._task: asyncio.Task[None] | None = None
        self.serving: bool | None = None

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._follow())
        return self

    async def __aexit__(self, *_error: object) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})
        await self._channel.close()

    async def _follow(self) -> None:
        stub = health_pb2_grpc.HealthStub(self._channel)
        async for told in stub.Watch(health_pb2.HealthCheckRequest()):
            self.serving = told.status == health_pb2.HealthCheckResponse.SERVING


class _Silence:
    """One cut of a gateway."""

    def __init__(
        self, run: Run, link: FaultProxy, watch: _HealthWatch, lag: LoopLag, *, hangs_up: bool
    ) -> None:
        self._run = run
        self._link = link
        self._watch = watch
        self._lag = lag
        self._hangs_up = hangs_up
        self._how = "refused" if hangs_up else "silent"

    async def go(self, client: AsyncClient, alone: AsyncClient, job_id: str) -> None:
        """Cuts it off; asks it, and both; heals it."""
        result = self._run.result
        tally = result.tally("a gateway is cut off", GatewayPartition.rows)
        tally.strikes += 1
        began_s = time.monotonic()
        self._link.cut_off(hangs_up=self._hangs_up)
        for deadline_s in DEADLINES_S:
            await self._refused(alone, job_id, deadline_s)
        await when(lambda: self._watch.serving is False, f"{self._how}: watchers are told")
        told_s = time.monotonic() - began_s
        result.expect(
            not await alone.health() and await alone.health("liveness"),
            "partition",
            f"{self._how}: the gateway is not NOT_SERVING, or not alive",
        )
        await self._both_serve(client)
        self._link.restore()
        healed_s = time.monotonic()
        await when(lambda: _answers(alone, job_id), f"{self._how}: it answers again")
        back_s = time.monotonic() - healed_s
        await when(lambda: self._watch.serving is True, f"{self._how}: it is ready again")
        ready_s = time.monotonic() - healed_s
        tally.recovery_ms.append(back_s * 1000)
        told = f"{self._how}: the gateway was ready only {ready_s:.2f} s after the heal"
        result.expect(ready_s <= READY_AT_LATEST_S, "recovery", told)
        result.aim(ready_s <= READY_WITHIN_S + self._lag.worst_s, told)
        result.figures[f"{self._how}: told NOT_SERVING, answered again, SERVING after"] = (
            f"{told_s:.2f} s (with {sum(DEADLINES_S):.1f} s of calls before), {back_s:.2f} s, "
            f"{ready_s:.2f} s"
        )

    async def _both_serve(self, client: AsyncClient) -> None:
        """A client of both gateways sees nothing of it."""
        asked_s = time.monotonic()
        jobs = await asyncio.gather(*(client.submit("hold", 0.0) for _ in range(JOBS)))
        self._run.result.jobs += len(jobs)
        self._run.result.figures[
            f"{self._how}: {JOBS} submits to both gateways were accepted within"
        ] = f"{time.monotonic() - asked_s:.2f} s"
        await asyncio.gather(*(job.wait(timeout=PATIENCE_S) for job in jobs))

    async def _refused(self, alone: AsyncClient, job_id: str, deadline_s: float) -> None:
        began_s = time.monotonic()
        try:
            await alone.status(job_id, rpc_timeout=deadline_s)
        except StatusError as error:
            status = error.status
        else:
            self._run.result.expect(None, "partition", f"{self._how}: it answered")
            return
        took_s = time.monotonic() - began_s
        # Late timers, here or there, make it a DEADLINE_EXCEEDED of our own.
        in_time = status.code == "UNAVAILABLE" and status.retry_after_s is not None
        self._run.result.expect(
            in_time or self._lag.worst_s > deadline_s / 20,
            "partition",
            f"{self._how}: with a deadline of {deadline_s:g} s it answered {status} after "
            f"{took_s:.2f} s",
        )


async def _answers(alone: AsyncClient, job_id: str) -> bool:
    try:
        await alone.status(job_id, rpc_timeout=1.0)
    except StatusError:
        return False
    return True
