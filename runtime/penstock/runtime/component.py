"""The one shape of everything that runs for as long as its process.

A component is started, loops, and is stopped::

    class Janitor(Periodic):
        async def tick(self) -> None:
            await self._broker.sweep()


    async with Group(connection, Janitor(interval_s=1.0), watcher):
        await stopping.wait()

Start, loop and stop are implemented here, once; a component adds what it does.
"""

import asyncio
import contextlib
import time
from abc import ABC, abstractmethod
from types import TracebackType
from typing import Final, Protocol, Self

import structlog

from penstock.runtime.backoff import Backoff, jittered

__all__ = ["Component", "Group", "Periodic", "Startable"]

_log: Final = structlog.get_logger(__name__)
_RESTARTS: Final = Backoff(initial_s=0.1, max_s=15.0)


class Startable(Protocol):
    """What can be a member of a Group."""

    async def start(self) -> None:
        """Begin; returns when it is ready for use."""

    async def stop(self) -> None:
        """End; returns when nothing of it is left."""


class Component(ABC):
    """A loop in a task of its own that is never silently dead.

    An exception that leaves run() is logged and run() is called again, after a wait that grows
    with each crash in a row. A subclass implements run(), and setup() and teardown() if it
    holds something.

    Args:
        name: What the logs call it; the class name if None.
        stop_grace_s: How long stop() waits for run() to return before it cancels it, in seconds.
        expendable: It may be cut short at any point, so that it was cancelled is no warning.
        restarts: The waits before run() is called again after a crash.
    """

    def __init__(
        self,
        *,
        name: str | None = None,
        stop_grace_s: float = 10.0,
        expendable: bool = False,
        restarts: Backoff = _RESTARTS,
    ) -> None:
        self.name: Final = name or type(self).__name__
        self.crashes = 0
        self.stopping = asyncio.Event()
        self._nudged = asyncio.Event()
        self._transition = asyncio.Lock()
        self._task: asyncio.Task[None] | None = None
        self._stop_grace_s = stop_grace_s
        self._expendable = expendable
        self._restarts = restarts

    @property
    def running(self) -> bool:
        """Whether it was started, has not been stopped, and run() has not returned."""
        return self._task is not None and not self._task.done()

    async def setup(self) -> None:  # noqa: B027 - optional for a subclass.
        """Acquire what run() needs.

        An exception fails start(); teardown() is called all the same.
        """

    @abstractmethod
    async def run(self) -> None:
        """Do the work until ``self.stopping`` is set, then return; it is cancelled if it does not.

        Returning earlier ends the component in peace: it is not called again.
        """

    async def teardown(self) -> None:  # noqa: B027 - optional for a subclass.
        """Release what setup() acquired, or what of it it got to."""

    async def start(self) -> None:
        """Set up, then run in the background; does nothing if it is started already.

        Raises:
            Exception: What setup() raised; the component is then stopped.
        """
        async with self._transition:
            if self._task is not None:
                return
            self.stopping.clear()
            self._nudged.clear()
            try:
                await self.setup()
            except BaseException:
                await self.teardown()
                raise
            self._task = asyncio.create_task(self._keep_running(), name=self.name)

    async def stop(self) -> None:
        """Ask run() to return, cancel it if it does not in time, and tear down; idempotent.

        A caller that is cancelled meanwhile cuts the grace short, but leaves nothing running.
        """
        # Set before the lock is waited for: a start() under way then ends in a run() that
        # returns at once.
        self.stopping.set()
        self._nudged.set()
        async with self._transition:
            task, self._task = self._task, None
            if task is None:
                return
            try:
                await asyncio.wait({task}, timeout=self._stop_grace_s)
            finally:
                if not task.done():
                    if not self._expendable:
                        _log.warning("cancelled after its grace", component=self.name)
                    task.cancel()
                    await asyncio.wait({task})
                await self.teardown()

    def wake(self) -> None:
        """End the current pause() at once, or the next one if there is none now."""
        self._nudged.set()

    async def pause(self, seconds: float) -> None:
        """Wait for that time, for wake(), or for stop(), whichever comes first."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._nudged.wait()
        if not self.stopping.is_set():
            self._nudged.clear()

    async def _keep_running(self) -> None:
        in_a_row = 0
        while not self.stopping.is_set():
            began = time.monotonic()
            try:
                await self.run()
            except asyncio.CancelledError:
                if _is_being_cancelled():
                    raise
                # A future it awaited was cancelled by somebody else: a crash as any other.
                error: BaseException | None = asyncio.CancelledError("from within")
            except Exception as crash:  # noqa: BLE001 - whatever it is, the loop must go on.
                error = crash
            else:
                return
            self.crashes += 1
            steady = time.monotonic() - began > self._restarts.max_s
            in_a_row = 1 if steady else in_a_row + 1
            delay_s = self._restarts.delay_s(in_a_row)
            _log.error(
                "crashed", component=self.name, restart_in_s=round(delay_s, 3), exc_info=error
            )
            await self.pause(delay_s)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.stop()


class Periodic(Component):
    """A component that does one thing again and again.

    Args:
        interval_s: The time from the end of one tick() to the next, in seconds.
        jitter: The fraction of the interval by which it is moved at random, 0 to 1.
        name: As for Component.
        stop_grace_s: As for Component.
        expendable: As for Component.
        restarts: As for Component.
    """

    def __init__(
        self,
        *,
        interval_s: float,
        jitter: float = 0.1,
        name: str | None = None,
        stop_grace_s: float = 10.0,
        expendable: bool = False,
        restarts: Backoff = _RESTARTS,
    ) -> None:
        super().__init__(
            name=name, stop_grace_s=stop_grace_s, expendable=expendable, restarts=restarts
        )
        self._interval_s = interval_s
        self._jitter = jitter

    @abstractmethod
    async def tick(self) -> float | None:
        """Do it once.

        Returns:
            The time until the next tick in seconds, taken as it is; None is the interval with
            jitter. wake() ends either.
        """

    async def run(self) -> None:
        """Tick, pause, and so on until stopped."""
        while not self.stopping.is_set():
            delay_s = await self.tick()
            if delay_s is None:
                delay_s = jittered(self._interval_s, self._jitter)
            await self.pause(delay_s)


class Group:
    """Components that live together: started in order, stopped in reverse.

    Args:
        *members: What each member needs stands before it.
    """

    def __init__(self, *members: Startable) -> None:
        self._members = members
        self._started: list[Startable] = []

    async def start(self) -> None:
        """Start all; if one fails, stop those already started and raise what it raised."""
        for member in self._members[len(self._started) :]:
            try:
                await member.start()
            except BaseException:
                await self.stop()
                raise
            self._started.append(member)

    async def stop(self) -> None:
        """Stop all, whatever any of them raises.

        Raises:
            ExceptionGroup: What members raised.
        """
        errors: list[Exception] = []
        while self._started:
            try:
                await self._started.pop().stop()
            except Exception as error:  # noqa: BLE001 - the others must be stopped, too.
                errors.append(error)
        if errors:
            raise ExceptionGroup("components failed to stop", errors)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.stop()


def _is_being_cancelled() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
