"""Handlers of one behaviour each: they hold on, talk, hog, die, and write down what they saw.

Journal lines as the history has them; ``start`` tells besides the date, and ``end``, in ``why``,
what a handler that was stopped had been told.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import resource
import signal
import time
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Final

from penstock.worker import Context, SyncContext, Worker
from tests.chaos.history.journal import Journal

if TYPE_CHECKING:
    from collections.abc import Iterator

#: The environment variable that names the folder of the journals.
JOURNALS: Final = "PENSTOCK_CHAOS_JOURNALS"
#: How long a poison needs to work (s): others have begun by then.
POISON_TAKES_S: Final = 0.3

app = Worker(slots=20)
latecomer = Worker(slots=20)


@cache
def _journal() -> Journal:
    return Journal(Path(os.environ[JOURNALS]), f"worker-{os.getpid()}")


class _Attempt:
    """Writes the lines of one attempt."""

    def __init__(self, ctx: Context | SyncContext, payload: object) -> None:
        self._ctx = ctx
        self._known = {"job": ctx.job_id, "token": ctx.fencing_token}
        told = {"type": ctx.job_type, "attempt": ctx.attempt, "payload": payload}
        _journal().write("start", **self._known, **told, date=time.time())

    def __enter__(self) -> None: ...

    def __exit__(self, kind: type[BaseException] | None, *_rest: object) -> None:
        reason = self._ctx.stop_reason
        how = "return"
        if kind is not None:
            how = "raise" if reason is None else "stopped"
        _journal().write("end", **self._known, how=how, why=reason.name if reason else None)


@app.job("tally")
async def tally(number: int, ctx: Context) -> str:
    """Takes a moment. The result is unlike that of any other execution."""
    with _Attempt(ctx, number):
        await asyncio.sleep(0.01)
    return f"{number} {os.getpid()} {time.monotonic_ns()}"


@app.job("hold")
async def hold(seconds: float, ctx: Context) -> int:
    """Runs for so long, unless it is stopped. Returns the token of the attempt."""
    with _Attempt(ctx, seconds):
        await asyncio.sleep(seconds)
    return ctx.fencing_token


@app.job("hold.thread")
def hold_in_thread(seconds: float, ctx: SyncContext) -> int:
    """As `hold`, in a thread."""
    with _Attempt(ctx, seconds):
        if ctx.cancelled.wait(seconds):
            ctx.check()
    return ctx.fencing_token


@app.job("hold.process", mode="process")
def hold_in_process(seconds: float, ctx: SyncContext) -> int:
    """As `hold`, in a child process."""
    with _Attempt(ctx, seconds):
        if ctx.cancelled.wait(seconds):
            ctx.check()
    return ctx.fencing_token


@app.job("talk")
async def talk(seconds: float, ctx: Context) -> int:
    """Says its token and a number all the time, for so long."""
    with _Attempt(ctx, seconds):
        for number in _ticks(seconds):
            await ctx.emit(f"{ctx.fencing_token}:{number};")
            ctx.progress(number)
            await asyncio.sleep(0.05)
    return ctx.fencing_token


def _ticks(seconds: float) -> Iterator[int]:
    end_s, number = time.monotonic() + seconds, 0
    while time.monotonic() < end_s:
        yield number
        number += 1


@app.job("spin")
async def spin(seconds: float, ctx: Context) -> int:
    """Keeps the event loop to itself for so long, as one who forgot that it is shared."""
    with _Attempt(ctx, seconds):
        for _ in _ticks(seconds):
            pass
    return ctx.fencing_token


@app.job("grip")
def grip(seconds: float, ctx: SyncContext) -> int:
    """Keeps the interpreter's lock to itself in C in its first attempt: no thread runs then."""
    with _Attempt(ctx, seconds):
        if ctx.attempt == 1:
            ctypes.PyDLL(None).usleep(round(seconds * 1_000_000))
    return ctx.fencing_token


@app.job("poison")
async def poison(how: str, ctx: Context) -> None:
    """Ends its process a moment after it began, in one of several ways."""
    with _Attempt(ctx, how):
        await asyncio.sleep(POISON_TAKES_S)
        if how == "abort":
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
            os.abort()
        if how == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if how == "memory":
            _run_out_of_memory()
    raise AssertionError(how)


def _run_out_of_memory() -> None:
    """Takes all that it may have, in C, where no exception can be raised."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30))
    libc = ctypes.CDLL(None)
    libc.malloc.restype = ctypes.c_void_p
    taken = libc.malloc(ctypes.c_size_t(1 << 31))
    ctypes.memset(taken, 1, 1)  # Of a null pointer, as C code that does not look.


@app.job("poison.process", mode="process")
def poison_in_process(how: str, ctx: SyncContext) -> None:
    """As `poison`, in a child process, which alone it can end."""
    with _Attempt(ctx, how):
        os.kill(os.getpid(), signal.SIGKILL)


@latecomer.job("nobody")
async def nobody() -> str:
    """A type that the other workers have never heard of."""
    return "somebody"
