"""Clients that flood a gateway, or send it what nobody should, beside one that behaves."""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import TYPE_CHECKING, Any, ClassVar, Final, Self

import grpc
import grpc.aio

from penstock.broker import Broker
from penstock.v1 import job_pb2, job_service_pb2_grpc
from penstock.v1 import job_service_pb2 as pb
from tests.chaos.load.attacks import ATTACKS, MOST_STREAMS, strike
from tests.chaos.scenario import Scenario
from tests.chaos.worlds.observed_gateway import ObservedGateway
from tests.chaos.worlds.stage import PATIENCE_S, Stage

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from tests.chaos.scenario import Run

__all__ = ["Floods"]

PAYLOAD: Final = 100_000
EVERY_S: Final = 0.02
CALM_S: Final = 3.0
#: So long the good client is looked at, however short the attack.
LEAST_S: Final = 2.0
#: How much the gateway may grow by under each of them (MB), beyond what it keeps for later.
MOST_MB: Final = 200


class Floods(Scenario):
    """Floods of connections, streams, calls and resets, and what is malformed or far too large.

    One attack after the other, each beside a client of another address that submits and asks.
    """

    name: ClassVar = "floods"
    rows: ClassVar = (32,)
    expects: ClassVar = (
        "each is turned away with its status, memory is bounded, nothing is left of it, and the "
        "client that behaves gets all its answers"
    )
    seconds: ClassVar = 60.0

    async def run(self, run: Run) -> None:
        """See `Scenario`."""
        settings = {"max_streams_per_peer": MOST_STREAMS}
        async with (
            Stage(run) as stage,
            ObservedGateway(run.folder, stage.server.url, **settings) as gateway,
            _Good(gateway.address) as good,
        ):
            async with Broker(stage.server.url) as broker:
                await broker.registry.register_types({"task": {}})
            job_id = await good.submit(b'"%s"' % (b"x" * PAYLOAD))
            run.result.jobs += 1
            good.begin()
            await asyncio.sleep(CALM_S)
            run.result.figures["a good client alone"] = good.told()
            for name in ATTACKS:
                run.say(name)
                await _suffer(
                    run,
                    gateway,
                    good,
                    name,
                    strike(name, gateway.port, job_id, run.seed, run.scale),
                )
            await good.stop()
            run.result.expect(
                not good.errors,
                "floods",
                f"the client that behaves got {len(good.errors)} errors",
                *good.errors[:3],
            )
            log = gateway.log
            run.result.expect(
                "Traceback" not in log, "floods", "the gateway logged an exception", log[-2000:]
            )


async def _suffer(
    run: Run,
    gateway: ObservedGateway,
    good: _Good,
    name: str,
    attack: Coroutine[Any, Any, tuple[str, bool]],
) -> None:
    """One attack: what came of it, for the gateway and for others."""
    before = await gateway.look()
    good.told()
    struck = asyncio.create_task(attack)
    peak_kb = before.rss_kb
    least = time.monotonic() + LEAST_S
    while not struck.done() or time.monotonic() < least:
        peak_kb = max(peak_kb, (await gateway.look()).rss_kb)
        await asyncio.sleep(0.2)
    answered, is_right = struck.result()
    run.result.tally(name, Floods.rows).strikes += 1
    grown_mb = (peak_kb - before.rss_kb) / 1024
    beside = good.told()
    after = await _left(gateway)
    run.result.figures[name] = f"{answered}; +{grown_mb:.0f} MB; beside it {beside}"
    run.result.expect(is_right, "floods", f"{name}: answered {answered}")
    run.result.expect(
        grown_mb < MOST_MB, "floods", f"{name}: the gateway grew by {grown_mb:.0f} MB"
    )
    run.result.expect(not after, "I11", f"{name}: the gateway still held {after}")


async def _left(gateway: ObservedGateway) -> dict[str, int]:
    """What is left of it, but for the one call of the good client that may be under way."""
    give_up = time.monotonic() + PATIENCE_S
    while True:
        vitals = await gateway.look()
        left = {name: count for name, count in vitals.counts.items() if count > 1}
        if not left or time.monotonic() > give_up:
            return left
        await asyncio.sleep(0.1)


class _Good:
    """A client that submits and asks, all the time. An async context manager.

    Attributes:
        errors: what it was refused with.
    """

    def __init__(self, address: str) -> None:
        self._channel = grpc.aio.insecure_channel(address)
        self._stub: job_service_pb2_grpc.JobServiceAsyncStub
        self._stub = job_service_pb2_grpc.JobServiceStub(self._channel)
        self._took_s: list[float] = []
        self._task: asyncio.Task[None] | None = None
        self._stopping = False
        self.errors: list[str] = []

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_error: object) -> None:
        await self.stop()
        await self._channel.close()

    async def submit(self, payload: bytes) -> str:
        """Returns the id of the job."""
        spec = job_pb2.JobSpec(type="task", payload=job_pb2.Content(data=payload))
        return (await self._stub.SubmitJob(pb.SubmitJobRequest(job=spec))).job.job_id

    def begin(self) -> None:
        """From now on."""
        self._task = asyncio.create_task(self._go_on())

    def told(self) -> str:
        """How long it waited for answers, since it was asked last."""
        sample, self._took_s = sorted(self._took_s), []
        if not sample:
            return "no call"
        p99_ms = sample[int(0.99 * (len(sample) - 1))] * 1000
        return f"{len(sample)} calls, p99 {p99_ms:.0f} ms"

    async def stop(self) -> None:
        """Ends it, after the call under way."""
        self._stopping = True
        if self._task is not None:
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
            self._task = None

    async def _go_on(self) -> None:
        while not self._stopping:
            began = time.monotonic()
            try:
                async with asyncio.timeout(PATIENCE_S):
                    job_id = await self.submit(b"1")
                    await self._stub.GetStatus(pb.GetStatusRequest(job_id=job_id))
            except (TimeoutError, grpc.aio.AioRpcError) as error:
                self.errors.append(repr(error))
            self._took_s.append((time.monotonic() - began) / 2)
            await asyncio.sleep(EVERY_S)
