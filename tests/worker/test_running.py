"""What handlers get, return and raise, in each mode, on a real server."""

import asyncio
import os
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import Enum
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import BaseModel

from penstock.broker import Backoff, Chunk, FailureReason, JobState, LogLine, Progress
from penstock.worker import Cancel, Context, Retry, SyncContext, Worker
from tests.worker.apps import children
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


async def test_a_payload_of_another_type_is_refused_for_good(rig: Rig) -> None:
    app = Worker()

    @app.job("strict")
    async def strict(payload: Resize) -> None:
        raise AssertionError(payload)

    async with rig.working(app):
        for payload in ({"path": "a", "width": "3"}, {"path": "a"}, b"{", b""):
            job = await rig.until(await rig.submit("strict", payload), JobState.FAILED)
            assert job.failure is not None
            assert (job.attempt, job.failure.type) == (1, "PayloadInvalid")
            assert job.failure.reason is FailureReason.NON_RETRYABLE
    assert "width: Field required" in str(
        [(await rig.job(j.job_id)).failure for j in (await rig.broker.jobs.list("default"))[0]]
    )


async def test_a_result_that_cannot_be_stored_fails_the_job_for_good(rig: Rig) -> None:
    app = Worker()

    @app.job("huge")
    async def huge() -> bytes:
        return bytes(1024 * 1024 + 1)

    @app.job("large")
    async def large() -> bytes:
        return bytes(1024 * 1024)

    @app.job("mistyped")
    async def mistyped() -> int:
        return "three"  # type: ignore[return-value]  # what the test is about.

    @app.job("unserialisable")
    async def unserialisable() -> Any:  # noqa: ANN401 - what the test is about.
        return object()

    async with rig.working(app):
        for job_type, words in (
            ("huge", "1,048,577 bytes"),
            ("mistyped", "int"),
            ("unserialisable", "object"),
        ):
            job = await rig.until(await rig.submit(job_type), JobState.FAILED)
            assert job.failure is not None
            assert job.failure.type == "ResultInvalid"
            assert job.failure.reason is FailureReason.NON_RETRYABLE
            assert words in job.failure.message
        assert len(await rig.result(await rig.submit("large"))) == 1024 * 1024


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
        await rig.until(job_id, JobState.SUCCEEDED)
    assert told == [
        *(job_id, "facts", "default", 1, 5),
        *(1, deadline, {"traceparent": "00-1-2-3"}, None),
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


async def test_two_failures_and_then_success(rig: Rig) -> None:
    app = Worker()

    @app.job("flaky")
    async def flaky(ctx: Context) -> int:
        if ctx.attempt < 3:
            raise ConnectionError(f"attempt {ctx.attempt}")
        return ctx.attempt

    async with rig.working(app):
        job_id = await rig.submit("flaky", max_attempts=3, backoff=QUICK)
        assert await rig.result(job_id) == 3
    job = await rig.job(job_id)
    assert job.failure is not None
    assert (job.failure.type, job.failure.message) == ("ConnectionError", "attempt 2")
    assert (await rig.stats()).counters["retries"] == 2


async def test_attempts_are_exhausted(rig: Rig) -> None:
    app = Worker()

    @app.job("broken")
    def broken() -> None:
        raise ValueError("\udc80" + "x" * 10_000)

    async with rig.working(app):
        job_id = await rig.submit("broken", max_attempts=2, backoff=QUICK)
        job = await rig.until(job_id, JobState.FAILED)
    assert job.failure is not None
    assert (job.attempt, job.failure.reason) == (2, FailureReason.EXHAUSTED)
    assert job.failure.message == "?" + "x" * 4095


async def test_retry_names_its_own_pause(rig: Rig) -> None:
    app = Worker()

    @app.job("later")
    async def later(ctx: Context) -> None:
        if ctx.attempt == 1:
            raise Retry(after=timedelta(milliseconds=20), message="the printer is warming up")

    async with rig.working(app):
        # The backoff would take an hour.
        slow = Backoff(initial_ms=3_600_000, max_ms=3_600_000)
        job = await rig.until(await rig.submit("later", backoff=slow), JobState.SUCCEEDED)
    assert job.failure is not None
    assert (job.attempt, job.failure.message) == (2, "the printer is warming up")


async def test_retry_costs_an_attempt(rig: Rig) -> None:
    app = Worker()

    @app.job("never")
    async def never() -> None:
        raise Retry(after=0)

    async with rig.working(app):
        job = await rig.until(await rig.submit("never", max_attempts=2), JobState.FAILED)
    assert job.attempt == 2


async def test_a_handler_cancels_its_job(rig: Rig) -> None:
    app = Worker()

    @app.job("pointless")
    async def pointless() -> None:
        raise Cancel("the user is gone")

    async with rig.working(app):
        job = await rig.until(await rig.submit("pointless"), JobState.CANCELLED)
    assert (job.cancel_reason, job.attempt) == ("the user is gone", 1)


@pytest.mark.parametrize("error", [SystemExit(3), StopIteration(), asyncio.CancelledError()])
async def test_no_exception_of_a_handler_ends_the_worker(rig: Rig, error: BaseException) -> None:
    app = Worker(slots=2)

    @app.job("rude.thread")
    def rude_in_thread() -> None:
        raise error

    @app.job("rude")
    async def rude() -> None:
        raise error

    async with rig.working(app):
        for job_type in app.handlers:
            job_id = await rig.submit(job_type, max_attempts=1)
            job = await rig.until(job_id, JobState.FAILED)
            assert job.failure is not None
            assert job.failure.type in {type(error).__name__, "RuntimeError"}


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


async def test_child_processes(rig: Rig) -> None:
    deadline = datetime.now(UTC).replace(microsecond=0) + timedelta(hours=1)
    async with rig.working(children):
        job_id = await rig.submit("child.double", {"amount": 4})
        assert await rig.result(job_id) == {"amount": 8, "note": "attempt 1 of 3"}
        assert [event.body for event in (await rig.events(job_id))[2:-1]] == [
            Progress(1, 2, "half"),
            Chunk(b"a chunk", 1),
            LogLine("warning", "a line", 1),
            Progress(2, 2, ""),
        ]
        assert await rig.result(await rig.submit("child.bytes", b"\xff\x00")) == b"\x00\xff"
        facts = await rig.submit(
            "child.facts",
            deadline_ms=int(deadline.timestamp() * 1000),
            metadata={"trace": "me"},
        )
        assert await rig.result(facts) == {
            "job_id": facts,
            "type": "child.facts",
            "queue": "default",
            "deadline": deadline.isoformat(),
            "trace": "me",
        }
        assert await rig.result(await rig.submit("child.resumes", backoff=QUICK)) == "\x00 so far"


async def test_a_child_is_reused_and_never_the_worker_itself(rig: Rig) -> None:
    async with rig.working(children):
        first = await rig.result(await rig.submit("child.pid"))
        assert await rig.result(await rig.submit("child.pid")) == first
        assert first != os.getpid()


async def test_a_child_tells_errors_as_the_worker_does(rig: Rig) -> None:
    async with rig.working(children):
        job = await rig.until(await rig.submit("child.varied", backoff=QUICK), JobState.CANCELLED)
        assert (job.attempt, job.cancel_reason) == (3, "enough of it")
        assert job.failure is not None
        assert (job.failure.type, job.failure.message) == ("LookupError", "not here")
        job = await rig.until(await rig.submit("child.double", {"amount": "4"}), JobState.FAILED)
        assert job.failure is not None
        assert job.failure.type == "PayloadInvalid"


async def test_a_child_that_dies_fails_its_attempt_and_is_replaced(rig: Rig) -> None:
    async with rig.working(children):
        for job_type, payload, words in (
            ("child.dies", 9, "ended by SIGKILL"),
            ("child.dies", 11, "ended by SIGSEGV"),
            ("child.exits", None, "exited with status 3"),
        ):
            job_id = await rig.submit(job_type, payload, max_attempts=1)
            job = await rig.until(job_id, JobState.FAILED)
            assert job.failure is not None
            assert job.failure.type == "ChildProcessDied"
            assert words in job.failure.message
        assert await rig.result(await rig.submit("child.pid"))


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
