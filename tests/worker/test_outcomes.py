"""How attempts end that have no result: errors, retries, cancels, and what cannot be stored."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from pydantic import BaseModel
from structlog.testing import capture_logs

from penstock.broker import Backoff, FailureReason, JobState
from penstock.worker import Cancel, Context, PayloadInvalid, Retry, Worker
from tests.worker.apps import MuteError
from tests.worker.rig import Rig

QUICK = Backoff(initial_ms=10, max_ms=10, jitter=0)


class Resize(BaseModel):
    path: str
    width: int


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


async def test_a_handler_may_refuse_a_payload_for_good_itself(rig: Rig) -> None:
    app = Worker()

    @app.job("picky")
    def picky(path: str) -> None:
        raise PayloadInvalid(f"{path} is no picture")

    async with rig.working(app):
        job = await rig.until(await rig.submit("picky", "a.txt"), JobState.FAILED)
        assert job.failure is not None
        assert (job.attempt, job.failure.reason) == (1, FailureReason.NON_RETRYABLE)
        assert job.failure.message == "a.txt is no picture"


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


@pytest.mark.parametrize("after", [-1, float("nan"), float("inf"), timedelta(seconds=-1)])
def test_retry_refuses_a_pause_that_is_none(after: timedelta | float) -> None:
    with pytest.raises(ValueError, match="finite"):
        Retry(after=after)


@pytest.mark.parametrize("after", [10**400, 1e300, timedelta.max])
def test_retry_pauses_for_a_leap_year_at_most(after: timedelta | float) -> None:
    assert Retry(after=after).after_s == 366 * 24 * 3600


async def test_a_retry_that_was_tampered_with_takes_the_backoff(rig: Rig) -> None:
    app = Worker()

    @app.job("tampered")
    async def tampered() -> None:
        error = Retry(after=3_600)
        error.after_s = float("inf")
        raise error

    async with rig.working(app):
        job_id = await rig.submit("tampered", max_attempts=2, backoff=QUICK)
        job = await rig.until(job_id, JobState.FAILED)
    assert job.attempt == 2


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


class OddError(BaseException):
    """What no `except Exception` catches."""


class MuteIterationError(StopIteration):
    """No future takes a StopIteration, and this one has no words for itself."""

    def __str__(self) -> str:
        raise LookupError("no words")

    __repr__ = __str__


@pytest.mark.parametrize(
    "error",
    [
        MuteError(),
        MuteIterationError(),
        OddError("neither an error nor an exit"),
        SystemExit(3),
        KeyboardInterrupt(),
        StopIteration(),
        asyncio.CancelledError(),
    ],
    ids=lambda error: type(error).__name__,
)
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


async def test_a_long_error_is_cut_in_the_log_and_kept_in_the_record(rig: Rig) -> None:
    app = Worker()

    @app.job("wordy")
    async def wordy(length: int) -> None:
        raise ValueError("x" * length)

    with capture_logs() as lines:
        async with rig.working(app):
            for length in (10_000, 500):
                job_id = await rig.submit("wordy", length, max_attempts=1)
                job = await rig.until(job_id, JobState.FAILED)
                assert job.failure is not None
                assert job.failure.message == "x" * min(length, 4096)
    logged = [line["message"] for line in lines if line["event"] == "attempt failed"]
    assert logged == ["x" * 500 + "... (cut; the job has more of it)", "x" * 500]
