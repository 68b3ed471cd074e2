"""The calls that are open, so that a gateway can wait for their ends before it goes."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import grpc.aio

    Context = grpc.aio.ServicerContext[Any, Any]

__all__ = ["OpenCalls"]


class OpenCalls:
    """Handlers that run, and those that have returned but whose answer is not written yet.

    Attributes:
        cutting: whether `cut` was called, so that a handler that is cancelled may ask why.
    """

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[Any] | None] = set()
        self._emptied = asyncio.Event()
        self.cutting = False

    def enter(self, context: Context) -> None:
        """Counts the call of the present task, until all of it is over."""
        task = asyncio.current_task()

        def leave(_: Context) -> None:
            self._tasks.discard(task)
            if not self._tasks:
                self._emptied.set()

        self._tasks.add(task)
        # The stubs mean a protocol, and have a class.
        context.add_done_callback(leave)  # type: ignore[arg-type]

    async def ended(self, within_s: float) -> bool:
        """Waits for so many seconds at most; returns whether none is open."""
        self._emptied.clear()
        if not self._tasks:
            return True
        try:
            async with asyncio.timeout(within_s):
                await self._emptied.wait()
        except TimeoutError:
            return False
        return True

    def cut(self) -> None:
        """Cancels all handlers that run."""
        self.cutting = True
        for task in self._tasks:
            if task is not None:
                task.cancel()
