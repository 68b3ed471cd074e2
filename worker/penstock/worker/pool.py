"""Child processes at hand: idle ones are used again, new ones are started as they are wanted."""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Final

from penstock.worker.children import Child, ChildProcessDied, NeverBegun
from penstock.worker.frames import pack
from penstock.worker.targets import target_of

if TYPE_CHECKING:
    from penstock.worker.handler import Handler
    from penstock.worker.settings import WorkerSettings

__all__ = ["ChildPool"]

#: A child that still imports after so long (s) is handed to a job of its handler all the same:
#: jobs have timeouts.
READY_WITHIN_S: Final = 30.0


class ChildPool:
    """Hands out children, each to one at a time.

    Who asks gets the first that is free: one that others give back, or one that is started for its
    handler. To start an interpreter and to import the handler keeps a core busy for a while. So no
    more interpreters are started at once than there are cores, and none for a handler that has as
    many on their way: all would be ready later, and short jobs need few.

    An import may hang, or end its process. That is for jobs of its own handler to learn alone: it
    does not count among the interpreters that are started, and its child is handed to no other job
    before it is over.

    Args:
        settings: how children log.
    """

    def __init__(self, settings: WorkerSettings) -> None:
        self._settings = settings
        self._at_once = _cores()
        self._stopped = False
        self._idle: list[Child] = []
        self._asking: list[tuple[asyncio.Future[Child], Handler]] = []
        self._starting: dict[asyncio.Task[Child], Handler] = {}
        self._young: set[Child] = set()
        self._loading: set[Child] = set()
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
        """Takes a child that is at nothing, or still at the import that it was started with."""
        if not child.loaded:
            self.retire(child)
        elif asked := self._next():
            asked.set_result(child)
        else:
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
        on_their_way = Counter(handler.name for handler in self._starting.values())
        wanted: Counter[str] = Counter()
        for asked, handler in self._asking:
            if asked.done():
                continue
            wanted[handler.name] += 1
            if on_their_way[handler.name] < wanted[handler.name] <= self._at_once:
                if len(self._starting) - len(self._loading) >= self._at_once:
                    return
                task = asyncio.get_running_loop().create_task(self._start(handler))
                self._starting[task] = handler
                task.add_done_callback(self._started)

    async def _start(self, handler: Handler) -> Child:
        child = await Child.spawn(self._settings, self._starter)
        self._young.add(child)
        try:
            if self._stopped:
                child.kill()
            await child.up(READY_WITHIN_S)
            self._loading.add(child)
            self._start_more()
            child.send(pack("load", name=handler.name, target=target_of(handler.function)))
            await child.ready(READY_WITHIN_S)
        except BaseException:
            child.kill()
            raise
        finally:
            self._young.discard(child)
            self._loading.discard(child)
        return child

    def _started(self, task: asyncio.Task[Child]) -> None:
        handler = self._starting.pop(task)
        if task.cancelled():
            return
        error = task.exception()
        asked = self._next(handler)
        if error is None:
            child = task.result()
            if asked:
                asked.set_result(child)
            else:
                self.give_back(child)
        elif asked:
            asked.set_exception(
                NeverBegun(error.message) if isinstance(error, ChildProcessDied) else error
            )
        self._start_more()

    def _next(self, handler: Handler | None = None) -> asyncio.Future[Child] | None:
        """Takes the first that asks out of the line, or the first that asks for a handler."""
        self._asking = [entry for entry in self._asking if not entry[0].done()]
        for place, (asked, other) in enumerate(self._asking):
            if handler is None or other.name == handler.name:
                del self._asking[place]
                return asked
        return None


def _cores() -> int:
    """How many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
