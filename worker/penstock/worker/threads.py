"""Threads for handlers: reused, made on demand, and no hindrance to the end of the process.

Those of concurrent.futures are joined when the interpreter exits, so that one handler that never
returns would keep a drained worker from ending.
"""

from __future__ import annotations

import asyncio
import threading
from queue import SimpleQueue
from typing import TYPE_CHECKING, TypeAlias

from penstock.worker.text import describe

if TYPE_CHECKING:
    from collections.abc import Callable

    from penstock.broker import Content

__all__ = ["DaemonThreads"]

_Future: TypeAlias = "asyncio.Future[Content]"


class DaemonThreads:
    """A pool that is as large as the number of functions under way; its caller bounds that."""

    def __init__(self) -> None:
        self._work: SimpleQueue[tuple[Callable[[], Content], _Future] | None] = SimpleQueue()
        self._idle = 0
        self._ending = 0
        self._stopped = False
        self._all_ended: asyncio.Event = asyncio.Event()

    async def stop(self) -> None:
        """Ends the idle threads. One that still runs a handler ends after it, or with us."""
        self._stopped = True
        self._ending, self._idle = self._idle, 0
        for _ in range(self._ending):
            self._work.put(None)
        if self._ending:
            await self._all_ended.wait()

    def submit(self, function: Callable[[], Content]) -> _Future:
        """Runs a function in a thread. What it returns or raises arrives in the future."""
        loop = asyncio.get_running_loop()
        future: _Future = loop.create_future()
        self._work.put((function, future))
        if self._idle:
            self._idle -= 1
        else:
            threading.Thread(
                target=self._serve, args=(loop,), name="penstock-handler", daemon=True
            ).start()
        return future

    def _serve(self, loop: asyncio.AbstractEventLoop) -> None:
        try:
            while (work := self._work.get()) is not None:
                loop.call_soon_threadsafe(self._finished, *_outcome(*work))
                del work  # Else the next wait keeps the payload alive.
            loop.call_soon_threadsafe(self._ended)
        except RuntimeError:
            return  # The loop is closed: there is nobody left to work for.

    # In the event loop:

    def _finished(
        self, future: _Future, result: Content | None, error: BaseException | None
    ) -> None:
        if self._stopped:
            self._ending += 1
            self._work.put(None)
        else:
            self._idle += 1
        if future.done():
            return
        if error is not None:
            future.set_exception(error)
        elif result is not None:
            future.set_result(result)

    def _ended(self) -> None:
        self._ending -= 1
        if self._ending <= 0:
            self._all_ended.set()


def _outcome(
    function: Callable[[], Content], future: _Future
) -> tuple[_Future, Content | None, BaseException | None]:
    try:
        return future, function(), None
    except StopIteration as error:  # No future takes one.
        return future, None, RuntimeError(f"the handler raised StopIteration: {describe(error)}")
    except BaseException as error:  # noqa: BLE001 - whatever ends a handler ends its attempt alone.
        return future, None, error
