"""An attempt may fail; a job is tried again, and in the end is a dead letter, kept for redrive."""

from __future__ import annotations

from typing import TYPE_CHECKING

from penstock.client import Backoff, FailureReason, JobState, StateEvent
from penstock.worker import Cancel, Context, Retry, Worker

if TYPE_CHECKING:
    from penstock.client import AsyncClient
    from tests.fundamentals.conftest import RunWorker

app = Worker()
AT_ONCE = Backoff(initial=0.01)


@app.job("third.time.lucky")
async def third_time_lucky(ctx: Context) -> str:
    """Any exception is a failed attempt."""
    if ctx.attempt < 3:
        raise ConnectionError("the peer is moody")
    return "charm"


@app.job("busy.peer")
async def busy_peer(ctx: Context) -> str:
    """A handler may say itself when it wants to be run again."""
    if ctx.attempt == 1:
        raise Retry(after=0.01, message="the peer asked for a pause")
    return "done"


@app.job("never")
async def never() -> None:
    """Runs out of attempts."""
    raise ValueError("no way")


@app.job("pointless")
async def pointless() -> None:
    """Not worth doing any more."""
    raise Cancel("the order was withdrawn")


async def test_a_failed_attempt_is_tried_again(client: AsyncClient, run_worker: RunWorker) -> None:
    async with run_worker(app):
        handle = await client.submit("third.time.lucky", None, backoff=AT_ONCE)
        states = [event.state async for event in handle.watch() if isinstance(event, StateEvent)]
        job = await handle.status()
    trial = [JobState.QUEUED, JobState.RUNNING, JobState.SCHEDULED]
    assert states == [*trial, *trial, JobState.QUEUED, JobState.RUNNING, JobState.SUCCEEDED]
    assert job.attempt == 3


async def test_a_handler_may_ask_for_a_retry(client: AsyncClient, run_worker: RunWorker) -> None:
    async with run_worker(app):
        handle = await client.submit("busy.peer", None)
        assert await handle.result(timeout=10) == "done"


async def test_a_job_without_attempts_left_is_a_dead_letter(
    client: AsyncClient, run_worker: RunWorker
) -> None:
    async with run_worker(app):
        handle = await client.submit("never", None, max_attempts=2, backoff=AT_ONCE)
        job = await handle.wait(timeout=10)
    assert job.state is JobState.FAILED
    assert job.failure is not None
    assert job.failure.reason is FailureReason.EXHAUSTED
    assert job.failure.message == "no way"


async def test_a_dead_letter_never_changes_and_redrive_makes_a_new_job(
    client: AsyncClient, run_worker: RunWorker
) -> None:
    async with run_worker(app):
        dead = await client.submit("never", None, max_attempts=1)
        before = await dead.wait(timeout=10)
        alive = await dead.retry()
        assert (await alive.wait(timeout=10)).retried_from == dead.job_id
        assert await dead.status() == before


async def test_a_handler_may_give_a_job_up(client: AsyncClient, run_worker: RunWorker) -> None:
    async with run_worker(app):
        handle = await client.submit("pointless", None)
        job = await handle.wait(timeout=10)
    assert job.state is JobState.CANCELLED
    assert job.cancel_reason == "the order was withdrawn"
