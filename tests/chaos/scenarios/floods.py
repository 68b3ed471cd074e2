"""Clients that flood a gateway, or send it what nobody should, beside one that behaves."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any, ClassVar, Final

import grpc
import grpc.aio

from penstock.broker import Broker
from tests.chaos.load.attacks import ATTACKS, MOST_STREAMS, strike
from tests.chaos.load.callers import Callers
from tests.chaos.scenario import Scenario
from tests.chaos.waiting import PATIENCE_S
from tests.chaos.worlds.stage import Stage

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from tests.chaos.scenario import Run
    from tests.chaos.worlds.observed_gateway import ObservedGateway

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
        async with Stage(run) as stage, Callers() as good:
            gateway = await stage.start_observed_gateway(**settings)
            async with Broker(stage.server.url) as broker:
                await broker.registry.register_types({"task": {}})
            async with stage.connect() as client:
                job_id = (await client.submit("task", "x" * PAYLOAD)).job_id
            async with grpc.aio.insecure_channel(gateway.address) as channel:
                good.submit_plainly_by(channel, "task", PATIENCE_S)
                await self._suffer_all(run, gateway, good, job_id)
                await good.finish()
            good.into(run.result)
            log = gateway.log
            run.result.expect(
                "Traceback" not in log, "floods", "the gateway logged an exception", log[-2000:]
            )

    @staticmethod
    async def _suffer_all(run: Run, gateway: ObservedGateway, good: Callers, job_id: str) -> None:
        await asyncio.sleep(CALM_S)
        run.result.figures["a good client alone"] = good.waited()
        for name in ATTACKS:
            run.say(name)
            attack = strike(name, gateway.port, job_id, run.seed, run.scale)
            await _suffer(run, gateway, good, name, attack)


async def _suffer(
    run: Run,
    gateway: ObservedGateway,
    good: Callers,
    name: str,
    attack: Coroutine[Any, Any, tuple[str, bool]],
) -> None:
    """One attack: what came of it, for the gateway and for others."""
    before = await gateway.look()
    good.waited()  # From here on.
    struck = asyncio.create_task(attack)
    peak_kb = before.rss_kb
    least = time.monotonic() + LEAST_S
    while not struck.done() or time.monotonic() < least:
        peak_kb = max(peak_kb, (await gateway.look()).rss_kb)
        await asyncio.sleep(0.2)
    answered, is_right = struck.result()
    run.result.tally(name, Floods.rows).strikes += 1
    grown_mb = (peak_kb - before.rss_kb) / 1024
    beside = good.waited()
    # But for the one call of the good client that may be under way.
    held = (await gateway.settled(at_most=1)).counts
    after = {kind: count for kind, count in held.items() if count > 1}
    run.result.figures[name] = f"{answered}; +{grown_mb:.0f} MB; beside it {beside}"
    run.result.expect(is_right, "floods", f"{name}: answered {answered}")
    run.result.expect(
        grown_mb < MOST_MB, "floods", f"{name}: the gateway grew by {grown_mb:.0f} MB"
    )
    run.result.expect(not after, "I11", f"{name}: the gateway still held {after}")
