"""Thousands of worker identities that came and went, as a fleet has them that scales to and fro."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, ClassVar, Final

from penstock.broker import Broker
from penstock.broker.registry import WorkerInfo
from tests.chaos.scenario import Scenario
from tests.chaos.waiting import when
from tests.chaos.worlds.stage import Stage

if TYPE_CHECKING:
    from tests.chaos.scenario import Run

__all__ = ["Consumers"]

IDENTITIES: Final = 10_000
#: That are there at once.
AT_ONCE: Final = 50
LEASE_MS: Final = 1_000
#: What stays of them all, beside what was there before.
KEYS_LEFT: Final = 20
BYTES_LEFT: Final = 500_000
#: Whatever names a worker is gone a minute after it, or two (s).
GONE_WITHIN_S: Final = 180.0


class Consumers(Scenario):
    """10,000 workers register, say that they are idle, look for jobs, and vanish without a word."""

    name: ClassVar = "consumers"
    rows: ClassVar = (28,)
    expects: ClassVar = "keys and memory are what they were before, a minute or two later"
    seconds: ClassVar = 120.0

    async def run(self, run: Run) -> None:
        """See `Scenario`."""
        identities = run.scaled(IDENTITIES)
        async with Stage(run) as stage, Broker(stage.server.url) as broker:
            await stage.start_gateway()
            stage.start_worker()
            async with stage.connect() as client:
                await stage.registered(client)
                await client.wait((await client.submit("hold", 0.0)).job_id, timeout=60)
                before = await _held(broker)
                await _come_and_go(run, broker, identities)
                peak = await _held(broker)
                run.say("waiting until they are forgotten")

                async def forgotten() -> bool:
                    return (await _held(broker))[0] <= before[0] + KEYS_LEFT

                await when(forgotten, "their keys are gone", GONE_WITHIN_S)
                # Ids alone are kept for a day, or until somebody asks who is there.
                ids = await broker.link.call("ZCARD", broker.engine.names.workers())
                listed = len(await client.workers())
                after = await _held(broker)
                consumers = await _consumers(broker)
                await client.wait((await client.submit("hold", 0.0)).job_id, timeout=60)
        result = run.result
        for moment, (keys, size) in {"before": before, "peak": peak, "after": after}.items():
            result.figures[f"{moment}: keys, memory"] = f"{keys}, {size / 1e6:.2f} MB"
        result.figures["ids of workers, before somebody asked for the list"] = str(ids)
        result.figures["names of consumers in the server"] = str(consumers)
        result.expect(
            after[1] <= before[1] + BYTES_LEFT,
            "I11",
            f"{after[1] - before[1]} bytes are left of {identities} workers",
        )
        result.expect(listed == 1, "I11", f"{listed} workers are still listed")
        result.expect(consumers <= 1, "I11", f"{consumers} consumers are left in the groups")


async def _come_and_go(run: Run, broker: Broker, identities: int) -> None:
    queue = await broker.engine.ensure_queue("default")
    (slot,) = broker.engine.slots(queue)
    numbers = iter(range(identities))

    async def live() -> None:
        for number in numbers:
            worker_id = f"gone-{number}-{run.seed}"
            now_ms = int(time.time() * 1000)
            await broker.registry.heartbeat(
                WorkerInfo(
                    worker_id,
                    host="nowhere",
                    pid=number,
                    queues=("default",),
                    types=("hold",),
                    slots=1,
                    running=0,
                    draining=False,
                    started_ms=now_ms,
                    heartbeat_ms=now_ms,
                )
            )
            await broker.doorbell.idle(worker_id, [queue.code])
            await broker.attempts.claim(slot, worker_id, 1, LEASE_MS, "hdl")
            if number % 1_000 == 0:
                run.say(f"{number} of {identities} workers have come and gone")

    async with asyncio.TaskGroup() as group:
        for _ in range(AT_ONCE):
            group.create_task(live())


async def _held(broker: Broker) -> tuple[int, int]:
    """Keys, and bytes of data, of the server."""
    keys = await broker.link.call("DBSIZE")
    stats = await broker.link.call("INFO", "memory")
    fields = dict(line.split(b":") for line in stats.splitlines() if b":" in line)
    return int(keys), int(fields[b"used_memory_dataset"])


async def _consumers(broker: Broker) -> int:
    names = set()
    for stream in await broker.link.call("KEYS", "ps{*}:s:?"):
        for consumer in await broker.link.call("XINFO", "CONSUMERS", stream, "workers"):
            names.add(consumer[1])
    return len(names)
