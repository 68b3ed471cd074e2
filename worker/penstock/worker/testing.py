"""Trying out a handler without a server, for its unit tests.

An attempt is run as a worker runs it, by the same code: payload and result go through their types,
the context is real, timeouts and stops reach the handler, and what it raises is judged in the same
place. What would be written to the server is noted in a `Trial` instead. For example::

    trial = await try_out(app, "greet", {"name": "world"})
    assert trial.result == "greeted world 3 times"
    assert trial.text == "Hello, world! " * 3
"""

from __future__ import annotations

import time
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from pydantic_core import to_json

from penstock.broker import Backoff, Content, Grant, Message
from penstock.worker import checkpoints
from penstock.worker.executors import AsyncExecutor, ThreadExecutor
from penstock.worker.process import ProcessExecutor
from penstock.worker.roster import Roster
from penstock.worker.runner import Runner
from penstock.worker.settings import WorkerSettings
from penstock.worker.signals import StopReason
from penstock.worker.trial import LeadsTo, Notes, Overheard, Trial

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from penstock.worker.app import Worker
    from penstock.worker.context import MessageInfo

__all__ = ["LeadsTo", "Trial", "try_out"]


async def try_out(
    app: Worker,
    job_type: str,
    payload: object = None,
    *,
    attempt: int = 1,
    max_attempts: int = 3,
    checkpoint: object = None,
    metadata: Mapping[str, str] | None = None,
    timeout: timedelta | float | None = None,  # noqa: ASYNC109 - of the attempt, not of the call.
    deadline: datetime | None = None,
    message: MessageInfo | None = None,
    schedule_id: str = "",
    occurrence_time: datetime | None = None,
    stop_when: Callable[[Trial], bool] | None = None,
    stop_reason: StopReason = StopReason.CANCELLED,
) -> Trial:
    """Runs a handler once, in its own mode: as a coroutine, in a thread, or in a child process.

    Args:
        app: Whose handler it is.
        job_type: That it is registered under.
        payload: Bytes as they are, anything else as JSON; None is none.
        attempt: Number of the attempt; those before it count as failed.
        max_attempts: After so many failures the job is FAILED.
        checkpoint: What an earlier attempt saved: bytes, or what has a JSON form.
        metadata: As submitted.
        timeout: Of the attempt, in seconds or as a timedelta; None is the handler's own.
        deadline: Of the job.
        message: That the job is made of, for a handler of a topic; None leaves `ctx.message` None.
        schedule_id: For a job of a schedule.
        occurrence_time: Likewise.
        stop_when: Asked whenever something that the handler said or saved was noted; once it
            answers true, the handler is told to stop.
        stop_reason: What it is told then.

    Returns:
        What it said, and how it ended. It does not raise what the handler raises.

    Raises:
        LookupError: There is no handler of that type.
        ValueError: The checkpoint has no JSON form, or is too long.
    """
    if job_type not in app.handlers:
        raise LookupError(f"no handler of {job_type!r}; there are {', '.join(app.handlers)}")
    now_ms = _ms(datetime.now(UTC))
    grant = Grant(
        job_id="trial",
        type=job_type,
        queue=app.queues[0],
        fencing_token=attempt,
        attempt=attempt,
        failures=attempt - 1,
        crashes=0,
        max_attempts=max_attempts,
        backoff=Backoff(),
        payload=_content(payload),
        created_ms=now_ms,
        queued_ms=now_ms,
        granted_ms=now_ms,
        deadline_ms=_ms(deadline) if deadline else None,
        timeout_ms=None if timeout is None else _span_ms(timeout),
        metadata=dict(metadata or {}),
        checkpoint=None if checkpoint is None else checkpoints.encode(checkpoint),
        cancel_requested=False,
        message=_message(message),
        schedule_id=schedule_id,
        occurrence_ms=_ms(occurrence_time) if occurrence_time else None,
    )
    trial = await _run(app, grant, stop_when, stop_reason)
    if message is None and any(each.name == job_type for each in app.subscriptions):
        _note_missing_message(trial.error)
    return trial


async def _run(
    app: Worker,
    grant: Grant,
    stop_when: Callable[[Trial], bool] | None,
    stop_reason: StopReason,
) -> Trial:
    """Has a worker's own runner run the attempt."""
    trial = Trial()
    roster = Roster(slots=1)
    attempt = roster.admit(grant, time.monotonic())

    def noted() -> None:
        if stop_when is not None and stop_when(trial):
            attempt.stop(stop_reason)

    notes = Notes(trial, grant, noted)
    # The defaults, whatever the environment says.
    settings = WorkerSettings.model_construct()
    threads, processes = ThreadExecutor(notes, settings), ProcessExecutor(notes, settings)
    runner = Runner(
        notes,
        roster,
        app.handlers,
        {
            "async": Overheard(AsyncExecutor(notes, settings), trial),
            "thread": Overheard(threads, trial),
            "process": Overheard(processes, trial),
        },
    )
    async with AsyncExitStack() as stack:
        stack.push_async_callback(threads.stop)
        stack.push_async_callback(processes.stop)
        runner.launch(attempt)
        if attempt.task is not None:
            await attempt.task
    return trial


def _content(payload: object) -> Content:
    if payload is None:
        return Content()
    if isinstance(payload, bytes):
        return Content(payload, "application/octet-stream")
    return Content(to_json(payload))


def _note_missing_message(error: BaseException | None) -> None:
    """Says what it may come from. A handler can do without: such jobs may be submitted, too."""
    if isinstance(error, AssertionError | AttributeError):
        error.add_note(
            "try_out was given no message, so ctx.message is None: pass "
            "message=MessageInfo(message_id, topic, time, source)"
        )


def _message(info: MessageInfo | None) -> Message | None:
    if info is None:
        return None
    return Message(info.message_id, info.topic, _ms(info.time), info.source)


def _ms(moment: datetime) -> int:
    return round(moment.timestamp() * 1000)


def _span_ms(span: timedelta | float) -> int:
    return round((span.total_seconds() if isinstance(span, timedelta) else span) * 1000)
