"""What a trial tells of a handler is what a worker makes of it on a server."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

import pytest

from penstock.broker import CacheTarget, Chunk, JobState, LogLine
from penstock.worker import (
    Cancel,
    Context,
    MessageInfo,
    PayloadInvalid,
    Retry,
    Stopped,
    StopReason,
    SyncContext,
    Worker,
)
from penstock.worker.testing import try_out

if TYPE_CHECKING:
    from tests.worker.rig import Rig

app = Worker()

MESSAGE: Final = MessageInfo("m-1", "order.created", datetime(2026, 1, 2, tzinfo=UTC), "shop")


@app.job("speak")
async def speak(words: list[str], ctx: Context) -> int:
    for number, word in enumerate(words, 1):
        await ctx.emit(word)
        ctx.log(f"said {word}", "debug")
        ctx.progress(number, len(words))
        await ctx.checkpoint(number)
    await ctx.invalidate(tags=["words"])
    return len(words)


@app.job("in.thread")
def in_thread(number: int, ctx: SyncContext) -> bytes:
    ctx.emit("thread")
    ctx.checkpoint({"at": number})
    return bytes(number)


@app.job("in.process", mode="process")
def in_process(number: int, ctx: SyncContext) -> int:
    ctx.emit("process")
    return number + 1


@app.job("raise")
def fail(name: str) -> None:
    raise {
        "Retry": Retry(after=5),
        "Cancel": Cancel("no use"),
        "PayloadInvalid": PayloadInvalid("no"),
        "LookupError": LookupError("not found"),
    }[name]


@app.on("order.*", name="topical")
async def topical(ctx: Context) -> str:
    return ctx.message.topic  # type: ignore[union-attr]  # As who forgets that it may be None.


@app.on("order.*", name="either")
async def either(ctx: Context) -> str | None:
    return None if ctx.message is None else ctx.message.topic


@app.job("huge")
async def huge() -> bytes:
    return bytes(1024 * 1024 + 1)


@app.job("endless", timeout=0.05)
async def endless() -> None:
    await asyncio.Event().wait()


@app.job("loop")
def loop(ctx: SyncContext) -> None:
    while True:
        ctx.emit("again")
        ctx.check()


@app.job("tell")
async def tell(ctx: Context) -> list[Any]:
    assert ctx.message is not None
    when = ctx.occurrence_time
    return [
        ctx.attempt,
        ctx.max_attempts,
        dict(ctx.metadata),
        ctx.message.topic,
        ctx.schedule_id,
        when and when.isoformat(),
        ctx.last_checkpoint,
    ]


@pytest.mark.parametrize(
    ("job_type", "payload", "max_attempts"),
    [
        ("speak", ["a", "b"], 3),
        ("speak", ["a", 1], 3),
        ("in.thread", 7, 3),
        ("in.process", 7, 3),
        ("raise", "Retry", 3),
        ("raise", "Retry", 1),
        ("raise", "Cancel", 3),
        ("raise", "PayloadInvalid", 3),
        ("raise", "LookupError", 3),
        ("raise", "LookupError", 1),
        ("huge", None, 3),
        ("endless", None, 3),
        ("endless", None, 1),
    ],
)
async def test_it_ends_as_on_a_server(
    rig: Rig, job_type: str, payload: object, max_attempts: int
) -> None:
    trial = await try_out(app, job_type, payload, max_attempts=max_attempts)
    assert trial.state is not None
    async with rig.working(app):
        job_id = await rig.submit(job_type, payload, max_attempts=max_attempts)
        job = await rig.until(job_id, JobState[trial.state], within_s=30)
        events = await rig.events(job_id)
    assert job.result == trial.result_content
    assert job.failure == trial.failure
    assert [each.body.data for each in events if isinstance(each.body, Chunk)] == trial.chunks
    lines = [each.body for each in events if isinstance(each.body, LogLine)]
    assert [(line.level, line.message) for line in lines] == trial.lines
    if job.state is not JobState.SUCCEEDED:
        assert trial.error is not None
        with pytest.raises(type(trial.error)):
            trial.result  # noqa: B018 - raises.


async def test_all_that_it_said_is_noted() -> None:
    trial = await try_out(app, "speak", ["a", "b"])
    assert (trial.result, trial.text) == (2, "ab")
    assert trial.progress is not None
    assert (trial.progress.current, trial.progress.total) == (2, 2)
    assert trial.lines == [("debug", "said a"), ("debug", "said b")]
    assert trial.checkpoints == [1, 2]
    assert trial.invalidated == [CacheTarget(tag="words")]
    thread = await try_out(app, "in.thread", 3)
    assert (thread.result, thread.checkpoints) == (bytes(3), [{"at": 3}])


async def test_it_finds_what_it_is_given() -> None:
    trial = await try_out(
        app,
        "tell",
        attempt=2,
        max_attempts=5,
        checkpoint={"page": 3},
        metadata={"trace": "t"},
        message=MESSAGE,
        schedule_id="nightly",
        occurrence_time=datetime(2026, 1, 2, 3, tzinfo=UTC),
    )
    assert trial.result == [
        2,
        5,
        {"trace": "t"},
        "order.created",
        "nightly",
        "2026-01-02T03:00:00+00:00",
        {"page": 3},
    ]


@pytest.mark.parametrize(
    ("reason", "state"),
    [
        (StopReason.CANCELLED, "CANCELLED"),
        (StopReason.TIMED_OUT, "SCHEDULED"),
        (StopReason.DRAINING, "QUEUED"),
        (StopReason.LEASE_LOST, None),
    ],
)
async def test_it_is_told_to_stop(reason: StopReason, state: str | None) -> None:
    trial = await try_out(
        app, "loop", stop_when=lambda trial: len(trial.chunks) >= 2, stop_reason=reason
    )
    assert trial.state == state
    assert isinstance(trial.error, Stopped)
    assert trial.error.reason is reason


async def test_its_time_is_limited() -> None:
    soon = datetime.now(UTC) + timedelta(seconds=0.2)
    assert (await try_out(app, "endless", timeout=60, deadline=soon)).state == "EXPIRED"
    late = await try_out(app, "raise", "Retry", deadline=datetime.now(UTC) + timedelta(seconds=3))
    assert late.state == "EXPIRED"
    again = await try_out(app, "raise", "Retry")
    assert again.retry_after == timedelta(seconds=5)


async def test_a_message_that_is_missing_is_named_and_one_that_is_not_read_is_not() -> None:
    trial = await try_out(app, "topical")
    with pytest.raises(AttributeError) as raised:
        trial.result  # noqa: B018 - raises what the handler raised.
    assert "pass message=MessageInfo(" in "".join(raised.value.__notes__)
    assert (await try_out(app, "topical", message=MESSAGE)).result == "order.created"
    # Its jobs may be submitted as well, and then they have none.
    assert (await try_out(app, "either")).result is None
    assert not hasattr((await try_out(app, "raise", "LookupError")).error, "__notes__")


async def test_a_type_that_is_not_there_is_told_with_those_that_are() -> None:
    with pytest.raises(LookupError, match=r"no handler of 'speek'; there are speak, in\.thread"):
        await try_out(app, "speek")
