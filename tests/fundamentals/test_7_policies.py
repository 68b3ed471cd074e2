"""What holds for all jobs of a queue is said once: defaults, how many run at once, what is kept."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from penstock.client import HoldReason, Keep, Priority
from penstock.worker import Worker
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from penstock.client import AsyncClient
    from tests.fundamentals.conftest import RunWorker

app = Worker("mail", slots=8)

gate = asyncio.Event()


@app.job("mail.welcome")
async def welcome(address: str) -> str:
    await gate.wait()
    return f"welcome, {address}"


async def test_a_submit_says_what_is_special_and_the_policy_the_rest(client: AsyncClient) -> None:
    await client.set_queue_policy("mail", max_attempts=5, timeout=30, failed=Keep(count=1000))
    await client.set_queue_policy("mail", "mail.welcome", priority=Priority.LOW, concurrency=2)
    handle = await client.submit("mail.welcome", "ada", queue="mail", allow_unregistered=True)
    job = await handle.status()
    assert (job.max_attempts, job.priority) == (5, Priority.LOW)
    handle = await client.submit(
        "mail.welcome", "bob", queue="mail", priority=Priority.HIGH, allow_unregistered=True
    )
    assert (await handle.status()).priority is Priority.HIGH


async def test_no_more_run_at_once_than_may_in_the_whole_fleet(
    client: AsyncClient, run_worker: RunWorker
) -> None:
    await client.set_queue_policy("mail", "mail.welcome", concurrency=2)
    async with run_worker(app), run_worker(app):
        handles = [await client.submit("mail.welcome", str(n), queue="mail") for n in range(6)]

        async def held() -> bool:
            return (await client.queue_stats("mail")).held == 4

        await eventually(held, "two run, and four are held")
        last = await handles[-1].status()
        assert last.hold_reason is HoldReason.TYPE_CONCURRENCY
        gate.set()
        for handle in handles:
            await handle.result(timeout=10)


async def test_what_has_ended_is_cleaned(client: AsyncClient) -> None:
    handle = await client.submit("mail.welcome", "ada", queue="mail", allow_unregistered=True)
    await handle.cancel("never mind")
    assert await client.clean_queue("mail", ["cancelled"], older_than=3600) == 0
    assert await client.clean_queue("mail", ["cancelled"]) == 1
