"""A job can be cancelled wherever it is; a running one is asked to stop."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from penstock.client import JobState, StateEvent
from penstock.worker import SyncContext, Worker

if TYPE_CHECKING:
    from penstock.client import AsyncClient, AsyncJobHandle
    from tests.fundamentals.conftest import RunWorker

app = Worker()


@app.job("endless.coroutine")
async def endless_coroutine() -> None:
    """A coroutine is cancelled at its next await."""
    await asyncio.Event().wait()


@app.job("endless.thread")
def endless_thread(ctx: SyncContext) -> None:
    """A plain function runs in a thread, and has to look."""
    while True:
        ctx.check()


async def running(handle: AsyncJobHandle) -> None:
    async for event in handle.watch():
        if isinstance(event, StateEvent) and event.state is JobState.RUNNING:
            return


async def test_a_waiting_job_ends_at_once(client: AsyncClient) -> None:
    handle = await client.submit("anything", None, delay=3600, allow_unregistered=True)
    job = await handle.cancel("changed my mind")
    assert job.state is JobState.CANCELLED
    assert job.cancel_reason == "changed my mind"


async def test_a_running_coroutine_is_stopped(client: AsyncClient, run_worker: RunWorker) -> None:
    async with run_worker(app):
        handle = await client.submit("endless.coroutine", None)
        await running(handle)
        await handle.cancel("enough")
        assert (await handle.wait(timeout=10)).state is JobState.CANCELLED


async def test_a_running_thread_is_told(client: AsyncClient, run_worker: RunWorker) -> None:
    async with run_worker(app):
        handle = await client.submit("endless.thread", None)
        await running(handle)
        await handle.cancel("enough")
        assert (await handle.wait(timeout=10)).state is JobState.CANCELLED
