"""What a handler in a thread or a child process may ask for and say: see `context`."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from penstock.worker import checkpoints
from penstock.worker.context import BaseContext, chunk_bytes
from penstock.worker.invalidations import targets_of
from penstock.worker.orders import SyncFlag

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterable

    from penstock.worker.orders import Orders
    from penstock.worker.outlet import Facts, Outlet

__all__ = ["SyncContext"]


class SyncContext(BaseContext):
    """The context of a handler in a thread or a child process.

    Nothing can interrupt such a handler: it has to look at ``cancelled`` or to call ``check()``.
    Any thread may use it.
    """

    def __init__(
        self, facts: Facts, orders: Orders, outlet: Outlet, loop: asyncio.AbstractEventLoop
    ) -> None:
        super().__init__(facts, orders, outlet)
        self._loop = loop
        self._flag = SyncFlag()
        orders.flag = self._flag
        if orders.stop_reason is not None:
            self._flag.set()
        self._latest: tuple[float, float, str] | None = None
        self._waking = False

    @property
    def cancelled(self) -> SyncFlag:
        """Set once the handler is to stop, for whatever reason."""
        return self._flag

    def emit(self, chunk: str | bytes) -> None:
        """As `Context.emit`, blocking."""
        if data := chunk_bytes(chunk):
            self._wait(self._outlet.emit(data))

    def checkpoint(self, data: Any) -> None:  # noqa: ANN401 - bytes, or any JSON.
        """As `Context.checkpoint`, blocking."""
        self._wait(self._outlet.checkpoint(checkpoints.encode(data)))

    def invalidate(
        self,
        job_type: str = "",
        payload: object = ...,
        *,
        key: str = "",
        tags: Iterable[str] = (),
    ) -> None:
        """As `Context.invalidate`, blocking."""
        self._wait(self._outlet.invalidate(targets_of(job_type, payload, key, tags)))

    def _send_progress(self, current: float, total: float, message: str) -> None:
        # The loop is woken once for however many calls, so that a tight loop does not drown it.
        # The value is set before the flag is read, and taken after it is reset: none is missed.
        self._latest = (current, total, message)
        if not self._waking:
            self._waking = True
            self._call_soon(self._deliver_progress)

    def _deliver_progress(self) -> None:
        self._waking = False
        latest, self._latest = self._latest, None
        if latest is not None:
            self._outlet.progress(*latest)

    def _send_log(self, level: str, message: str) -> None:
        self._call_soon(self._outlet.log, level, message)

    def _call_soon(self, callback: Any, *args: Any) -> None:  # noqa: ANN401 - any callback.
        try:
            self._loop.call_soon_threadsafe(callback, *args)
        except RuntimeError:  # The loop is closed: the worker has ended without this handler.
            self.check()

    def _wait(self, call: Coroutine[Any, Any, None]) -> None:
        try:
            future = asyncio.run_coroutine_threadsafe(call, self._loop)
        except RuntimeError:
            call.close()
            self.check()
            raise
        future.result()
