"""Equal work is done once: who asks meanwhile joins it, and who asks soon after is answered."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from penstock.client import CachePolicy, JobState, SubmitOutcome
from penstock.worker import Context, Worker

if TYPE_CHECKING:
    from penstock.client import AsyncClient
    from tests.fundamentals.conftest import RunWorker

app = Worker()

shelf = {"dune": 3}


@app.job("shelf.count")
async def count(title: str) -> int:
    """A read that is worth caching."""
    await asyncio.sleep(0.05)
    return shelf[title]


@app.job("shelf.take")
async def take(title: str, ctx: Context) -> None:
    """A write: once it can be read, what was read before counts no more."""
    shelf[title] -= 1
    await ctx.invalidate(tags=[f"shelf:{title}"])


async def test_a_thousand_who_ask_at_once_share_one_run(
    client: AsyncClient, run_worker: RunWorker
) -> None:
    async with run_worker(app):
        handles = await asyncio.gather(
            *(client.submit("shelf.count", "dune", cache_ttl=60) for _ in range(1000))
        )
        assert await asyncio.gather(*(handle.result(timeout=30) for handle in handles)) == (
            [shelf["dune"]] * 1000
        )
        assert (await client.queue_stats("default")).cache_misses == 1


async def test_a_fresh_result_is_the_answer(client: AsyncClient, run_worker: RunWorker) -> None:
    async with run_worker(app):
        first = await client.submit("shelf.count", "dune", cache_ttl=60)
        await first.result(timeout=10)
        second = await client.submit("shelf.count", "dune", cache_ttl=60)
        assert second.outcome is SubmitOutcome.CACHED
        job = await second.status()
        assert job.state is JobState.SUCCEEDED
        assert (job.result, job.cached_from) == (shelf["dune"], first.job_id)


async def test_nobody_is_told_what_was_true_before(
    client: AsyncClient, run_worker: RunWorker
) -> None:
    async with run_worker(app):
        policy = CachePolicy(ttl=60, tags=["shelf:dune"])
        before = await client.submit("shelf.count", "dune", cache=policy)
        assert await before.result(timeout=10) == shelf["dune"]
        await (await client.submit("shelf.take", "dune")).result(timeout=10)
        after = await client.submit("shelf.count", "dune", cache=policy)
        assert after.outcome is SubmitOutcome.CREATED
        assert await after.result(timeout=10) == shelf["dune"]
