"""The calls that are open, so that a gateway can wait for their ends before it goes."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

from penstock.server.hangup import hang_up_on

if TYPE_CHECKING:
    from collections.abc import Callable

    import grpc.aio

    Context = grpc.aio.ServicerContext[Any, Any]

__all__ = ["OpenCalls"]

#: How often connections are looked for on which all calls are abandoned (s).
SWEEP_S: Final = 1.0


class OpenCalls:
    """Handlers that run, and those that have returned but whose answer is not written yet.

    Attributes:
        cutting: whether `cut` was called, so that a handler that is cancelled may ask why.
    """

    def __init__(self) -> None:
        self._open: dict[asyncio.Task[Any] | None, Context] = {}
        self._abandoned: dict[asyncio.Task[Any] | None, Context] = {}
        self._emptied = asyncio.Event()
        self._sweeping = False
        self.cutting = False

    def __len__(self) -> int:
        """How many there are, those that were abandoned among them."""
        return len(self._open) + len(self._abandoned)

    def enter(self, context: Context) -> None:
        """Counts the call of the present task, until all of it is over."""
        task = asyncio.current_task()

        def leave(_: Context) -> None:
            self._abandoned.pop(task, None)
            self._leave(task)

        self._open[task] = context
        # The stubs mean a protocol, and have a class.
        context.add_done_callback(leave)  # type: ignore[arg-type]

    def hold(self, context: Context, leave: Callable[[], None], within_s: float) -> None:
        """The present task's answer is large: it is held until it is taken.

        Args:
            context: of the call.
            leave: is called when all of it is over.
            within_s: if it is not taken by then, the call is abandoned.
        """
        task = asyncio.current_task()
        timer = asyncio.get_running_loop().call_later(within_s, self._abandon, task, context)

        def over(_: Context) -> None:
            timer.cancel()
            leave()

        context.add_done_callback(over)  # type: ignore[arg-type]

    def abandon(self, context: Context) -> None:
        """The present task's caller takes nothing, not even the end: it is not waited for.

        What gRPC holds for it is freed with its connection, which is ended once there is no other
        call on it.
        """
        self._abandon(asyncio.current_task(), context)

    def _abandon(self, task: asyncio.Task[Any] | None, context: Context) -> None:
        self._abandoned[task] = context
        self._leave(task)
        if not self._sweeping:
            self._sweeping = True
            asyncio.get_running_loop().call_later(SWEEP_S, self._sweep)

    async def ended(self, within_s: float) -> bool:
        """Waits for so many seconds at most; returns whether none is open."""
        self._emptied.clear()
        if not self._open:
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
        for task in self._open:
            if task is not None:
                task.cancel()

    def _leave(self, task: asyncio.Task[Any] | None) -> None:
        self._open.pop(task, None)
        if not self._open:
            self._emptied.set()

    def _sweep(self) -> None:
        self._sweeping = False
        if not self._abandoned:
            return
        busy = {context.peer() for context in self._open.values()}
        hang_up_on({context.peer() for context in self._abandoned.values()} - busy)
        self._sweeping = True
        asyncio.get_running_loop().call_later(SWEEP_S, self._sweep)
