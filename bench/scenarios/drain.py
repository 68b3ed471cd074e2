"""How fast one worker process drains no-op jobs."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from bench.figures import Figure, samples
from bench.specs import QUEUE, new_job
from penstock.broker import Broker, QueueStats

if TYPE_CHECKING:
    from bench.stack import Stack

JOBS = 20_000
BATCH = 1_000
RATE_FLOOR = 8_000
POLL_S = 0.02
WARM_SHARE = 0.1


async def measure(stack: Stack, repeat: int) -> list[Figure]:
    """Jobs ended per second, from the first tenth to the last job."""
    rates = []
    async with Broker(stack.redis_url) as broker:
        for _ in range(repeat):
            await _wait_until_empty(broker, stack)
            for _ in range(JOBS // BATCH):
                await broker.jobs.submit_many([new_job() for _ in range(BATCH)])
            before = (await broker.queues.stats(QUEUE)).succeeded
            async with stack.worker():
                rates.append(await _drain_rate(broker, before))
    return [Figure("drain", "one worker process", samples(rates), "jobs/s", at_least=RATE_FLOOR)]


def _left(stats: QueueStats) -> int:
    return sum(stats.waiting.values()) + stats.running + stats.scheduled


async def _wait_until_empty(broker: Broker, stack: Stack) -> None:
    """Earlier scenarios leave jobs behind: run them first."""
    await broker.engine.ensure_queue(QUEUE)
    async with stack.worker():
        while _left(await broker.queues.stats(QUEUE)):  # noqa: ASYNC110 - by another process.
            await asyncio.sleep(POLL_S)


async def _drain_rate(broker: Broker, before: int) -> float:
    """Counted by the server: from when the worker is warm until the last job has ended."""
    start, first = 0.0, 0
    while True:
        done = (await broker.queues.stats(QUEUE)).succeeded - before
        if not start and done >= JOBS * WARM_SHARE:
            start, first = time.perf_counter(), done
        if done >= JOBS:
            return (done - first) / (time.perf_counter() - start)
        await asyncio.sleep(POLL_S)
