"""The handlers that the workers of a chaos run have: they do as `plan` says, and journal it.

See `journal` for which lines come before what they tell of, and which after.
"""

from __future__ import annotations

import asyncio
import functools
import os
import signal
import time
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final, cast

from penstock.worker import Cancel, Context, Retry, Stopped, SyncContext, Worker
from tests.chaos.history.journal import Journal
from tests.chaos.load.plan import QUEUE, Plan
from tests.chaos.load.topic_calls import ATTEMPTS, EPOCH, GUESTS, SUBSCRIPTIONS

if TYPE_CHECKING:
    from collections.abc import Iterator

#: A handler that hangs gives up after this (s), should nobody ever stop it.
_HANG_S: Final = 120.0
_LOOK_S: Final = 0.02
_MAIN_PID: Final = "CHAOS_WORKER_PID"

app = Worker(QUEUE, slots=16)
os.environ.setdefault(_MAIN_PID, str(os.getpid()))


class Failed(Exception):  # noqa: N818 - it is what the plan asked for.
    """The plan says so."""


@app.job("chaos.async")
async def run_async(plan: dict[str, object], ctx: Context) -> dict[str, object]:
    """In the event loop."""
    told = cast("Plan", plan)
    with _journalled(told, ctx) as journal:
        for number, step in enumerate(_begin(told, ctx, journal), 1):
            await asyncio.sleep(told.get("step_ms", 0) / 1000)
            _report(told, ctx, journal, step)
            if told.get("chunks"):
                await ctx.emit(_chunk(ctx, journal, number))
            if told.get("checkpoint"):
                checkpoint = _checkpoint(ctx, journal, step)
                await ctx.checkpoint(checkpoint)
                _effect(journal, ctx, "saved", checkpoint)
        if told.get("hang"):
            await asyncio.sleep(_HANG_S)
        return _end(told, ctx, journal)


for _name, _pattern in SUBSCRIPTIONS.items():
    app.on(_pattern, name=_name, queue=QUEUE, max_attempts=ATTEMPTS)(run_async)
for _name in GUESTS:
    app.job(_name)(run_async)


@app.job("chaos.sync")
def run_sync(plan: dict[str, object], ctx: SyncContext) -> dict[str, object]:
    """In a thread."""
    return _run_blocking(plan, ctx)


@app.job("chaos.process", mode="process")
def run_process(plan: dict[str, object], ctx: SyncContext) -> dict[str, object]:
    """In a child process."""
    return _run_blocking(plan, ctx)


def _run_blocking(plan: dict[str, object], ctx: SyncContext) -> dict[str, object]:
    told = cast("Plan", plan)
    with _journalled(told, ctx) as journal:
        for number, step in enumerate(_begin(told, ctx, journal), 1):
            time.sleep(told.get("step_ms", 0) / 1000)
            ctx.check()
            _report(told, ctx, journal, step)
            if told.get("chunks"):
                ctx.emit(_chunk(ctx, journal, number))
            if told.get("checkpoint"):
                checkpoint = _checkpoint(ctx, journal, step)
                ctx.checkpoint(checkpoint)
                _effect(journal, ctx, "saved", checkpoint)
        if told.get("hang"):
            give_up = time.monotonic() + _HANG_S
            while time.monotonic() < give_up:
                ctx.check()
                time.sleep(_LOOK_S)
        return _end(told, ctx, journal)


@functools.cache
def _journal() -> Journal:
    """This process's own; that of a worker's child is named after it."""
    name, pid = os.environ["CHAOS_NAME"], os.getpid()
    if os.environ[_MAIN_PID] != str(pid):
        name = f"{name}.child-{pid}"
    return Journal(Path(os.environ["CHAOS_JOURNALS"]), name)


def _tell_of_subscriptions() -> None:
    """A worker that starts puts them, and never hears what came of it."""
    for number, (name, pattern) in enumerate(SUBSCRIPTIONS.items(), 1):
        asked = {"rpc": "subscribe", "subscription": name, "pattern": pattern}
        _journal().write("call", op=-number, **asked)


if os.environ[_MAIN_PID] == str(os.getpid()) and "CHAOS_NAME" in os.environ:
    _tell_of_subscriptions()


@contextmanager
def _journalled(plan: Plan, ctx: Context | SyncContext) -> Iterator[Journal]:
    """Notes how the attempt begins, and how it ends if it does not return."""
    journal = _journal()
    job, token = ctx.job_id, ctx.fencing_token
    journal.write(
        "start",
        job=job,
        type=ctx.job_type,
        token=token,
        attempt=ctx.attempt,
        payload=plan,
        **_origin(ctx),
    )
    try:
        yield journal
    except BaseException as error:
        journal.write("end", job=job, token=token, how=_how(error), why=_why(error, ctx))
        raise


def _origin(ctx: Context | SyncContext) -> dict[str, object]:
    if ctx.message is not None:
        told = ctx.message
        date_ms = (told.time - EPOCH) // timedelta(milliseconds=1)
        envelope = {"id": told.message_id, "topic": told.topic}
        return {"origin": {**envelope, "source": told.source, "time_ms": date_ms}}
    if ctx.schedule_id:
        time = ctx.occurrence_time
        occurrence = None if time is None else (time - EPOCH) // timedelta(milliseconds=1)
        return {"origin": {"schedule": ctx.schedule_id, "occurrence": occurrence}}
    return {}


def _how(error: BaseException) -> str:
    match error:
        case Retry():
            return "retry"
        case Cancel():
            return "cancel"
        case Stopped() | asyncio.CancelledError():
            return "stopped"
    return "raise"


def _why(error: BaseException, ctx: Context | SyncContext) -> str:
    reason = ctx.stop_reason
    return reason.name if reason is not None else type(error).__name__


def _begin(plan: Plan, ctx: Context | SyncContext, journal: Journal) -> range:
    """The steps that are left to do."""
    if plan.get("crash") and ctx.attempt == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    done = 0
    if plan.get("checkpoint"):
        saved = ctx.last_checkpoint
        _effect(journal, ctx, "resumed", saved)
        done = saved["step"] if saved else 0
    return range(done + 1, plan.get("steps", 1) + 1)


def _report(plan: Plan, ctx: Context | SyncContext, journal: Journal, step: int) -> None:
    if plan.get("progress"):
        _effect(journal, ctx, "progress", step)
        ctx.progress(step, plan.get("steps", 1))


def _chunk(ctx: Context | SyncContext, journal: Journal, number: int) -> str:
    # The space keeps chunks apart where they are read as one text.
    chunk = f"{ctx.fencing_token}/{number} "
    _effect(journal, ctx, "chunk", chunk)
    return chunk


def _checkpoint(ctx: Context | SyncContext, journal: Journal, step: int) -> dict[str, int]:
    checkpoint = {"token": ctx.fencing_token, "step": step}
    _effect(journal, ctx, "checkpoint", checkpoint)
    return checkpoint


def _effect(journal: Journal, ctx: Context | SyncContext, what: str, value: object) -> None:
    journal.write("effect", job=ctx.job_id, token=ctx.fencing_token, what=what, value=value)


def _end(plan: Plan, ctx: Context | SyncContext, journal: Journal) -> dict[str, object]:
    if plan.get("cancel"):
        raise Cancel("as planned")
    if ctx.attempt <= plan.get("fail", 0):
        if (retry_ms := plan.get("retry_ms")) is not None:
            raise Retry(retry_ms / 1000)
        raise Failed("as planned")
    journal.write("end", job=ctx.job_id, token=ctx.fencing_token, how="return", why="")
    return {"work": plan["work"], "token": ctx.fencing_token}
