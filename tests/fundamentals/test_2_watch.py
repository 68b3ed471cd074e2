"""Whoever has a job's id may watch it, from its first event, live, and go on after a break."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

from penstock.client import ChunkEvent, JobState, ProgressEvent, SnapshotEvent, StateEvent
from penstock.worker import Context, Worker

if TYPE_CHECKING:
    from penstock.client import AsyncClient
    from tests.fundamentals.conftest import RunWorker

app = Worker()


@app.job("recite")
async def recite(text: str, ctx: Context) -> int:
    """Sends its output in parts, and says how far it is."""
    words = text.split()
    for number, word in enumerate(words, 1):
        await ctx.emit(word)
        ctx.progress(number, len(words))
    return len(words)


async def test_a_watcher_sees_everything_in_order(
    client: AsyncClient, run_worker: RunWorker
) -> None:
    async with run_worker(app):
        job = await client.submit("recite", "to be or not to be")
        events = [event async for event in job.watch()]
    assert isinstance(events[0], SnapshotEvent)
    states = [event.state for event in events if isinstance(event, StateEvent)]
    assert states == [JobState.QUEUED, JobState.RUNNING, JobState.SUCCEEDED]
    words = [event.text for event in events if isinstance(event, ChunkEvent)]
    assert words == ["to", "be", "or", "not", "to", "be"]
    reports = [event.progress for event in events if isinstance(event, ProgressEvent)]
    assert (reports[-1].current, reports[-1].total) == (6, 6)


async def test_the_ranges_of_events_tile(client: AsyncClient, run_worker: RunWorker) -> None:
    async with run_worker(app):
        job = await client.submit("recite", "all the world's a stage")
        events = [event async for event in job.watch()][1:]
    assert events[0].first_sequence == 1
    for before, after in itertools.pairwise(events):
        assert after.first_sequence == before.last_sequence + 1


async def test_a_watch_goes_on_from_its_cursor(client: AsyncClient, run_worker: RunWorker) -> None:
    async with run_worker(app):
        job = await client.submit("recite", "brevity is the soul of wit")
        whole = [event async for event in job.watch()][1:]
        cursor = whole[3].last_sequence
        rest = [event async for event in job.watch(after=cursor)][1:]
    assert rest == whole[4:]
