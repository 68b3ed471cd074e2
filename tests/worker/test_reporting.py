"""What handlers say on its way: throttled, batched, bounded, and stored once."""

import asyncio
from itertools import pairwise

import pytest

from penstock.broker import Chunk, JobState, LogLine, Progress
from penstock.broker.attempts import CHECKPOINT, COMPLETE, PROGRESS
from penstock.broker.script import Script
from penstock.runtime.embedded import EmbeddedServer
from penstock.worker import Context, SyncContext, Worker
from penstock.worker.reporter import BUFFERED_EVENTS
from penstock.worker.throttle import Throttle
from tests.broker.relay import relay_to
from tests.support.waiting import eventually
from tests.worker.apps import children
from tests.worker.rig import Rig


async def test_a_throttle_passes_on_the_first_and_then_the_latest() -> None:
    passed: list[int] = []
    throttle = Throttle(0.02, passed.append)
    for number in range(100):
        throttle.offer(number)
    assert passed == [0]
    await eventually(lambda: passed == [0, 99], "the latest is passed on")
    throttle.offer(100)
    throttle.offer(101)
    throttle.flush()
    assert passed[-1] == 101
    throttle.offer(102)
    throttle.offer(103)
    throttle.cancel()
    assert passed[-1] == 102


async def test_progress_is_throttled_and_the_last_one_arrives(rig: Rig) -> None:
    app = Worker()

    @app.job("flood")
    async def flood(ctx: Context) -> None:
        for number in range(10_001):
            ctx.progress(number, 10_000)
            if number % 100 == 0:
                await asyncio.sleep(0)

    @app.job("flood.thread")
    def flood_in_thread(ctx: SyncContext) -> None:
        for number in range(10_001):
            ctx.progress(number, 10_000)

    async with rig.working(app):
        for job_type in app.handlers:
            await _check_flood(rig, await rig.submit(job_type))
    async with rig.working(children):
        await _check_flood(rig, await rig.submit("child.floods", 10_000))


async def _lines(rig: Rig, job_id: str) -> list[str]:
    """The lines of log of a job so far."""
    lines: list[str] = []
    cursor = 0
    while (page := await rig.broker.jobs.events(job_id, cursor)).events:
        cursor = page.events[-1].last_sequence
        lines += [event.body.message for event in page.events if isinstance(event.body, LogLine)]
    return lines


async def _check_flood(rig: Rig, job_id: str) -> None:
    job = await rig.until(job_id, JobState.SUCCEEDED)
    assert job.progress == Progress(10_000, 10_000)
    reports = [event for event in await rig.events(job_id) if isinstance(event.body, Progress)]
    assert job.started_ms is not None
    assert job.finished_ms is not None
    assert len(reports) <= (job.finished_ms - job.started_ms) / 100 + 2
    values = [event.body.current for event in reports if isinstance(event.body, Progress)]
    assert all(earlier < later for earlier, later in pairwise(values))


async def test_chunks_and_lines_are_all_stored_in_order(rig: Rig) -> None:
    app = Worker()
    count = BUFFERED_EVENTS + 500

    @app.job("talk")
    async def talk(ctx: Context) -> None:
        for number in range(count):
            await ctx.emit(f"chunk {number}")
            ctx.log(f"line {number}")
            ctx.progress(number)

    async with rig.working(app):
        job_id = await rig.submit("talk")
        await rig.until(job_id, JobState.SUCCEEDED, within_s=30)
    chunks, lines, cursor = [], [], 0
    while (page := await rig.broker.jobs.events(job_id, cursor)).events:
        cursor = page.events[-1].last_sequence
        for event in page.events:
            match event.body:
                case Chunk(data):
                    chunks.append(data)
                case LogLine(_, message):
                    lines.append(message)
                case _:
                    pass
    assert chunks == [f"chunk {number}".encode() for number in range(count)]
    assert lines == [f"line {number}" for number in range(count)]


async def test_lines_beyond_the_bound_are_lost_and_counted(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("penstock.worker.reporter.BUFFERED_LINES", 300)
    app = Worker()
    drained = asyncio.Event()

    @app.job("brief")
    async def brief(ctx: Context) -> None:
        for number in range(450):  # Nothing is sent before this handler waits or ends.
            ctx.log(f"line {number}")

    @app.job("talk")
    async def talk(ctx: Context) -> None:
        await brief(ctx)
        await drained.wait()
        ctx.log("and on")

    async with rig.working(app):
        ended = await rig.submit("brief")
        await rig.until(ended, JobState.SUCCEEDED)
        job_id = await rig.submit("talk")

        async def told() -> bool:
            return "150 lines lost" in await _lines(rig, job_id)

        await eventually(told, "the loss has been told")
        drained.set()
        await rig.until(job_id, JobState.SUCCEEDED)
    told_at_all = [*(f"line {number}" for number in range(300)), "150 lines lost"]
    assert await _lines(rig, ended) == told_at_all
    assert await _lines(rig, job_id) == [*told_at_all, "and on"]


async def test_emit_waits_while_too_much_is_on_its_way(
    rig: Rig, redis_server: EmbeddedServer
) -> None:
    app = Worker()
    emitted = 0

    @app.job("flood")
    async def flood(ctx: Context) -> None:
        nonlocal emitted
        for _ in range(40):
            await ctx.emit(bytes(200_000))
            emitted += 1

    async with relay_to(redis_server.socket_path) as relay:
        relay.hold(PROGRESS.sha1)
        async with rig.working(app, redis_url=relay.url, min_durability="everysec"):
            job_id = await rig.submit("flood")
            await asyncio.wait_for(relay.held.wait(), 10)
            await eventually(lambda: emitted >= 20, "the buffer is full")
            assert emitted < 30
            relay.release()
            await rig.until(job_id, JobState.SUCCEEDED)
    chunks = [event for event in await rig.events(job_id) if isinstance(event.body, Chunk)]
    assert len(chunks) == 40


async def test_only_output_that_is_lost_fails_a_job(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("penstock.worker.reporter.FLUSH_S", 1.0)
    app = Worker()
    full = asyncio.Event()

    @app.job("reports")
    async def reports(ctx: Context) -> str:
        await full.wait()
        ctx.progress(1, 2)
        return "done"

    @app.job("emits")
    async def emits(ctx: Context) -> str:
        await full.wait()
        ctx.progress(1, 2)
        await ctx.emit("a chunk")
        return "done"

    async with rig.working(app):
        reporting, emitting = [await rig.submit(name, max_attempts=1) for name in app.handlers]
        for job_id in (reporting, emitting):
            await rig.until(job_id, JobState.RUNNING)
        await rig.broker.link.call("CONFIG", "SET", "maxmemory", 1)
        try:
            full.set()
            assert await rig.result(reporting) == "done"
            job = await rig.until(emitting, JobState.FAILED)
        finally:
            await rig.broker.link.call("CONFIG", "SET", "maxmemory", 0)
    assert job.failure is not None
    assert job.failure.type == "OutputLost"


@pytest.mark.parametrize("script", [PROGRESS, CHECKPOINT, COMPLETE], ids=lambda script: script.name)
async def test_a_write_whose_reply_was_lost_counts_once(
    rig: Rig, redis_server: EmbeddedServer, script: Script
) -> None:
    app = Worker()

    @app.job("talk")
    async def talk(ctx: Context) -> str:
        await ctx.emit("once")
        await ctx.checkpoint(1)
        return "said"

    async with relay_to(redis_server.socket_path) as relay:
        relay.lose(script.sha1)
        async with rig.working(app, redis_url=relay.url):
            job_id = await rig.submit("talk")
            assert await rig.result(job_id) == "said"
        assert relay.lost == 1
    chunks = [event.body for event in await rig.events(job_id) if isinstance(event.body, Chunk)]
    assert chunks == [Chunk(b"once", 1)]
    assert "stale" not in (await rig.stats()).counters
