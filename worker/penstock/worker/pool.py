"""Child processes at hand: idle ones are used again, new ones are started as they are wanted."""

from __future__ import annotations

import asyncio
import os
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Final

from penstock.worker.children import Child, ChildProcessDied, NeverBegun
from penstock.worker.frames import pack
from penstock.worker.targets import target_of

if TYPE_CHECKING:
    from penstock.worker.handler import Handler
    from penstock.worker.settings import WorkerSettings

__all__ = ["ChildPool"]

#: A child that is not ready after so long (s) is handed out all the same: jobs have timeouts.
READY_WITHIN_S: Final = 30.0


class ChildPool:
    """Hands out children, each to one at a time.

    Who asks gets the first that is free: one that others give back, or one that is started for it.
    To start an interpreter and to import the handler keeps a core busy for a while. So no more are
    started at once than there are cores: all would be ready later, and short jobs need few.

    Args:
        settings: how children log.
    """

    def __init__(self, settings: WorkerSettings) -> None:
        self._settings = settings
        self._at_once = _cores()
        self._stopped = False
        self._idle: list[Child] = []
        self._asking: deque[tuple[asyncio.Future[Child], Handler]] = deque()
        self._starting: set[asyncio.Task[Child]] = set()
        self._young: set[Child] = set()
        self._ending: set[asyncio.Task[int]] = set()
        # One thread of our own, since those of the loop's executor may end before the children.
        self._starter = ThreadPoolExecutor(1, thread_name_prefix="penstock-children")

    def ask(self, handler: Handler) -> asyncio.Future[Child]:
        """A child, once there is one; to be given back, or retired. Cancel it to ask no more.

        Args:
            handler: that it is for.

        Raises, when awaited: NeverBegun if one cannot be started.
        """
        asked: asyncio.Future[Child] = asyncio.get_running_loop().create_future()
        while self._idle:
            child = self._idle.pop()
            if not child.exited:
                asked.set_result(child)
                return asked
            self.retire(child)
        self._asking.append((asked, handler))
        self._start_more()
        return asked

    def give_back(self, child: Child) -> None:
        """Takes a child that is as good as new."""
        while self._asking:
            asked, _ = self._asking.popleft()
            if not asked.done():
                asked.set_result(child)
                return
        self._idle.append(child)

    def retire(self, child: Child) -> None:
        """Ends a child."""
        child.kill()
        task = asyncio.get_running_loop().create_task(child.end())
        self._ending.add(task)
        task.add_done_callback(self._ending.discard)

    async def stop(self) -> None:
        """Ends all that are here; those that are handed out are retired by who has them."""
        self._stopped = True
        for child in self._young:
            child.kill()
        if self._starting:
            await asyncio.wait(self._starting)
        for child in self._idle:
            self.retire(child)
        self._idle.clear()
        if self._ending:
            await asyncio.wait(self._ending)
        self._starter.shutdown(wait=False, cancel_futures=True)

    def _start_more(self) -> None:
        wanted = [handler for asked, handler in self._asking if not asked.done()]
        for handler in wanted[len(self._starting) : self._at_once]:
            task = asyncio.get_running_loop().create_task(self._start(handler))
            self._starting.add(task)
            task.add_done_callback(self._started)

    async def _start(self, handler: Handler) -> Child:
        child = await Child.spawn(self._settings, self._starter)
        self._young.add(child)
        try:
            if self._stopped:
                child.kill()
            child.send(pack("load", name=handler.name, target=target_of(handler.function)))
            await child.ready(READY_WITHIN_S)
        except BaseException:
            child.kill()
            raise
        finally:
            self._young.discard(child)
        return child

    def _started(self, task: asyncio.Task[Child]) -> None:
        self._starting.discard(task)
        if task.cancelled():
            return
        error = task.exception()
        if error is None:
            self.give_back(task.result())
        else:
            self._disappoint(error)
        self._start_more()

    def _disappoint(self, error: BaseException) -> None:
        """Has the first who asks learn that a child could not be started."""
        while self._asking:
            asked, _ = self._asking.popleft()
            if not asked.done():
                asked.set_exception(
                    NeverBegun(error.message) if isinstance(error, ChildProcessDied) else error
                )
                return


def _cores() -> int:
    """How many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
