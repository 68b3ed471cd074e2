"""How a handler is run: as a coroutine here, or in a thread.

Child processes are in `process.py`.
An executor decodes the payload, calls the handler with its context, and encodes what it returns. It
tells the attempt how to interrupt it meanwhile.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Protocol

from penstock.worker.context import Context
from penstock.worker.reporter import outlet_of
from penstock.worker.signals import Stopped
from penstock.worker.sync_context import SyncContext
from penstock.worker.threads import DaemonThreads

if TYPE_CHECKING:
    from penstock.broker import Content
    from penstock.broker.attempts import Attempts
    from penstock.worker.attempt import Attempt
    from penstock.worker.handler import Handler
    from penstock.worker.settings import WorkerSettings

__all__ = ["AsyncExecutor", "Executor", "ThreadExecutor", "call", "forget_cancels"]


class Executor(Protocol):
    """Runs a handler once."""

    async def execute(self, attempt: Attempt, handler: Handler) -> Content:
        """The result. Raises whatever the handler raises, or Stopped."""


class AsyncExecutor:
    """Runs coroutine handlers, in the attempt's own task.

    Args:
        attempts: where what handlers say is written to.
        settings: a handler that goes on although it was cancelled is cancelled again each grace.
    """

    def __init__(self, attempts: Attempts, settings: WorkerSettings) -> None:
        self._attempts = attempts
        self._stop_grace_s = settings.stop_grace_s

    async def execute(self, attempt: Attempt, handler: Handler) -> Content:
        """As `Executor.execute`."""
        arguments = handler.payload.decode(attempt.grant.payload)
        if handler.context_parameter is not None:
            outlet = outlet_of(attempt, self._attempts)
            context = Context(attempt.facts(), attempt, outlet)
            arguments[handler.context_parameter] = context
        attempt.on_stop = partial(self._cancel, attempt)
        try:
            value = await handler.function(**arguments)
        finally:
            attempt.on_stop = None
            if attempt.stop_reason is not None:
                forget_cancels(attempt)
        return handler.result.encode(value)

    def _cancel(self, attempt: Attempt) -> None:
        if attempt.on_stop is not None and attempt.task is not None:
            attempt.task.cancel()
            asyncio.get_running_loop().call_later(self._stop_grace_s, self._cancel, attempt)


class ThreadExecutor:
    """Runs plain functions in threads, decoding and encoding included.

    A thread cannot be interrupted. One that does not stop within its grace is left to itself: the
    attempt ends without it, and it keeps its slot until it ends.

    Args:
        attempts: where what handlers say is written to.
        settings: how long a handler that was told to stop has for it.
    """

    def __init__(self, attempts: Attempts, settings: WorkerSettings) -> None:
        self._attempts = attempts
        self._threads = DaemonThreads()
        self._stop_grace_s = settings.stop_grace_s

    async def start(self) -> None:
        """Does nothing: threads are made when they are needed."""

    async def stop(self) -> None:
        """Ends the threads that are idle."""
        await self._threads.stop()

    async def execute(self, attempt: Attempt, handler: Handler) -> Content:
        """As `Executor.execute`."""
        loop = asyncio.get_running_loop()
        context = SyncContext(attempt.facts(), attempt, outlet_of(attempt, self._attempts), loop)
        run = self._threads.submit(partial(call, handler, attempt.grant.payload, context))
        waiter: asyncio.Future[None] = loop.create_future()
        run.add_done_callback(lambda _: _settle(waiter))

        def lose_patience_later() -> None:
            loop.call_later(self._stop_grace_s, _settle, waiter)

        attempt.on_stop = lose_patience_later
        try:
            await waiter
        finally:
            attempt.on_stop = None
        if not run.done() and attempt.stop_reason is not None:
            attempt.lingering = run
            run.add_done_callback(_retrieve)
            raise Stopped(attempt.stop_reason)
        return run.result()


def call(handler: Handler, payload: Content, context: SyncContext) -> Content:
    """Runs a plain handler here and now: payload to result."""
    arguments = handler.payload.decode(payload)
    if handler.context_parameter is not None:
        arguments[handler.context_parameter] = context
    return handler.result.encode(handler.function(**arguments))


def _settle(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)


def _retrieve(run: asyncio.Future[Content]) -> None:
    """Looks at an exception that nobody waits for, so that asyncio does not complain of it."""
    if not run.cancelled():
        run.exception()


def forget_cancels(attempt: Attempt) -> None:
    """Undoes our cancels: the task goes on to write the outcome, and must not look cancelled."""
    task = attempt.task
    while task is not None and task.cancelling():
        task.uncancel()
