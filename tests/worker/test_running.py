"""What handlers get, return and raise, in each mode, on a real server."""

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import Enum
from typing import TYPE_CHECKING

from pydantic import BaseModel

from penstock.broker import Backoff, Chunk, JobState, LogLine, Progress
from penstock.worker import Context, SyncContext, Worker
from tests.worker.rig import Rig

if TYPE_CHECKING:
    from collections.abc import Callable

QUICK = Backoff(initial_ms=10, max_ms=10, jitter=0)


class Colour(Enum):
    RED = "red"


class Resize(BaseModel):
    path: str
    width: int
    colour: Colour = Colour.RED


@dataclass
class Resized:
    path: str
    area: int


async def test_payload_and_result_are_of_the_annotated_types(rig: Rig) -> None:
    app = Worker()

    @app.job("image.resize")
    async def resize(payload: Resize) -> Resized:
        assert payload.colour is Colour.RED
        return Resized(payload.path, payload.width**2)

    @app.job("image.resize.thread")
    def resize_in_thread(payload: Resize) -> Resized:
        return Resized(payload.path, payload.width**2)

    async with rig.working(app):
        for job_type in app.handlers:
            job_id = await rig.submit(job_type, {"path": "a", "width": 3, "colour": "red"})
            assert await rig.result(job_id) == {"path": "a", "area": 9}


async def test_bytes_go_in_and_out_as_they_are(rig: Rig) -> None:
    app = Worker()

    @app.job("reverse")
    async def reverse(data: bytes) -> bytes:
        return data[::-1]

    async with rig.working(app):
        assert (
            await rig.result(await rig.submit("reverse", b"\xff\x00not json"))
            == b"nosj ton\x00\xff"
        )


async def test_a_handler_needs_neither_payload_nor_context(rig: Rig) -> None:
    app = Worker()

    @app.job("nothing")
    async def nothing() -> None:
        pass

    @app.job("default")
    async def with_default(count: int = 7) -> int:
        return count

    async with rig.working(app):
        assert await rig.result(await rig.submit("nothing", {"any": "thing"})) is None
        assert await rig.result(await rig.submit("default", b"")) == 7
        assert await rig.result(await rig.submit("default", 8)) == 8


async def test_the_context_tells_what_is_known_of_the_attempt(rig: Rig) -> None:
    app = Worker()
    told: list[object] = []

    @app.job("facts")
    async def facts(ctx: Context) -> None:
        told.extend((ctx.job_id, ctx.job_type, ctx.queue, ctx.attempt, ctx.max_attempts))
        told.extend((ctx.fencing_token, ctx.deadline, ctx.metadata, ctx.last_checkpoint))
        told.extend((ctx.stop_reason, ctx.draining, bool(ctx.cancelled)))
        ctx.check()

    deadline = datetime.now(UTC).replace(microsecond=0) + timedelta(hours=1)
    async with rig.working(app):
        job_id = await rig.submit(
            "facts",
            deadline_ms=int(deadline.timestamp() * 1000),
            max_attempts=5,
            metadata={"traceparent": "00-1-2-3"},
        )
        job = await rig.until(job_id, JobState.SUCCEEDED)
    assert told == [
        *(job_id, "facts", "default", 1, 5),
        *(job.fencing_token, deadline, {"traceparent": "00-1-2-3"}, None),
        *(None, False, False),
    ]


async def test_what_a_handler_says_comes_in_order_and_before_its_end(rig: Rig) -> None:
    app = Worker()

    @app.job("async")
    async def talk(ctx: Context) -> None:
        ctx.progress(1, 2, "half")
        await ctx.emit("a chunk")
        ctx.log("a line", level="warning")
        await ctx.checkpoint({"seen": 1})
        await ctx.emit(b"\x00\xff")
        ctx.progress(2, 2)

    @app.job("thread")
    def talk_in_thread(ctx: SyncContext) -> None:
        ctx.progress(1, 2, "half")
        ctx.emit("a chunk")
        ctx.log("a line", level="warning")
        ctx.checkpoint({"seen": 1})
        ctx.emit(b"\x00\xff")
        ctx.progress(2, 2)

    async with rig.working(app):
        for job_type in app.handlers:
            job_id = await rig.submit(job_type)
            job = await rig.until(job_id, JobState.SUCCEEDED)
            said = [event.body for event in (await rig.events(job_id))[2:-1]]
            assert said == [
                Progress(1, 2, "half"),
                Chunk(b"a chunk", 1),
                LogLine("warning", "a line", 1),
                Chunk(b"\x00\xff", 1),
                Progress(2, 2, ""),
            ]
            assert job.progress == Progress(2, 2)


async def test_a_checkpoint_outlives_its_attempt(rig: Rig) -> None:
    app = Worker()

    @app.job("json")
    async def as_json(ctx: Context) -> object:
        if ctx.attempt == 1:
            await ctx.checkpoint({"page": 1})
            await ctx.checkpoint({"page": 2})
            raise OSError("the disk is full")
        found: object = ctx.last_checkpoint
        return found

    @app.job("raw")
    def as_bytes(ctx: SyncContext) -> object:
        if ctx.attempt == 1:
            ctx.checkpoint(b"\x00\xff")
            raise OSError("the disk is full")
        return ctx.last_checkpoint == b"\x00\xff"

    async with rig.working(app):
        assert await rig.result(await rig.submit("json", backoff=QUICK)) == {"page": 2}
        assert await rig.result(await rig.submit("raw", backoff=QUICK)) is True


async def test_the_context_refuses_what_cannot_be_told(rig: Rig) -> None:
    app = Worker()

    @app.job("careless")
    async def careless(ctx: Context) -> list[str]:
        refused = []
        calls: list[Callable[[], None]] = [
            lambda: ctx.progress(float("nan"), 1),
            lambda: ctx.progress(-1, 1),
            lambda: ctx.log("hello", level="loud"),  # type: ignore[arg-type]
        ]
        for call in calls:
            try:
                call()
            except ValueError as error:
                refused.append(type(error).__name__)
        for coroutine in (ctx.emit(bytes(300_000)), ctx.checkpoint(object()), ctx.emit(5)):  # type: ignore[arg-type]
            try:
                await coroutine
            except (TypeError, ValueError) as error:
                refused.append(type(error).__name__)
        return refused

    async with rig.working(app):
        refused = await rig.result(await rig.submit("careless"))
    assert refused == ["ValueError"] * 5 + ["TypeError"]


async def test_handlers_of_all_modes_run_side_by_side(rig: Rig) -> None:
    app = Worker(slots=8)
    gate = asyncio.Barrier(5)
    loop = asyncio.get_running_loop()

    @app.job("async")
    async def meet() -> None:
        await gate.wait()

    @app.job("thread")
    def meet_in_thread() -> None:
        asyncio.run_coroutine_threadsafe(gate.wait(), loop).result()

    async with rig.working(app):
        jobs = [await rig.submit(name) for name in ("async", "thread", "async", "thread")]
        await asyncio.wait_for(gate.wait(), 10)
        for job_id in jobs:
            await rig.until(job_id, JobState.SUCCEEDED)
