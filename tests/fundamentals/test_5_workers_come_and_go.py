"""A worker may stop, or vanish: its jobs go on elsewhere, from their checkpoints."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from penstock.client import ChunkEvent, JobState
from penstock.worker import Context, Worker

if TYPE_CHECKING:
    from penstock.client import AsyncClient
    from tests.fundamentals.conftest import RunWorker

app = Worker()
STEPS = 4


@app.job("long.way")
async def long_way(ctx: Context) -> list[int]:
    """Goes on from where an earlier attempt got to; its first attempt waits half-way."""
    done: list[int] = ctx.last_checkpoint or []
    while len(done) < STEPS:
        done.append(len(done))
        await ctx.checkpoint(done)
        await ctx.emit(f"step {len(done)}")
        if len(done) == STEPS // 2:
            await asyncio.Event().wait()
    return done


async def test_a_drained_worker_hands_its_jobs_back_at_no_cost(
    client: AsyncClient, run_worker: RunWorker
) -> None:
    async with run_worker(app):
        handle = await client.submit("long.way", None)
        async for event in handle.watch():
            if isinstance(event, ChunkEvent) and event.text == "step 2":
                break
    # The worker has stopped, and could not wait for the job.
    assert (await handle.status()).state is JobState.QUEUED
    async with run_worker(app):
        assert await handle.result(timeout=10) == [0, 1, 2, 3]
    job = await handle.status()
    assert (job.attempt, job.crashes) == (1, 0)
