"""Virtual time: an event loop that never waits, and processes on it that can be stopped and killed.

The loop jumps to its next timer as soon as nothing is left to do, so that an hour of a service
passes in the time that its commands take, and two runs of one seed are the same. Everything of the
product that asks for the time asks the module `time`, whose functions read this clock meanwhile.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import random
import selectors
import time
from contextvars import Context, ContextVar, copy_context
from typing import TYPE_CHECKING, Any, Final
from unittest import mock

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator

__all__ = ["PROCESS", "Clock", "Process", "StandstillError", "VirtualLoop", "virtual_time"]

#: Where virtual time begins (s); of the date, for what is stored in ms.
_MONOTONIC_START_S: Final = 1_000.0
_DATE_START_S: Final = 1_700_000_000.0


#: Of a process that goes on, one thread may do so that much later than another (s).
THREADS_APART_S: Final = 0.05


class StandstillError(RuntimeError):
    """Nothing is left to do, and no timer is set: a task waits for what never comes."""


class Clock:
    """The time of one run.

    Attributes:
        now_s: of the monotonic clock, which all processes share.
    """

    def __init__(self) -> None:
        self.now_s = _MONOTONIC_START_S
        self._jumped_s = 0.0
        self._most_s = 0.0

    @property
    def jumped_s(self) -> float:
        """How far the date of the server's machine has been moved."""
        return self._jumped_s

    @jumped_s.setter
    def jumped_s(self, seconds: float) -> None:
        self._jumped_s = seconds
        self._most_s = max(self._most_s, seconds)

    def settle(self) -> None:
        """Moves the date to the latest that was ever told: what is due by that comes in time."""
        self._jumped_s = self._most_s

    def monotonic(self) -> float:
        """As `time.monotonic`."""
        return self.now_s

    def date(self) -> float:
        """As `time.time`; of the server's machine, to which the others' agree."""
        return _DATE_START_S + self.now_s - _MONOTONIC_START_S + self.jumped_s

    @property
    def latest_ms(self) -> int:
        """The latest date that anybody can have been told."""
        return int((self.date() - self._jumped_s + self._most_s) * 1000)

    @property
    def server_ms(self) -> int:
        """The date as scripts read it."""
        return int(self.date() * 1000)


class Process:
    """What lives and dies together: all callbacks that were begun in its context.

    Attributes:
        name: of the run's account.
        stopped: as by SIGSTOP; what it would do waits until it goes on.
        killed: as by SIGKILL; it does nothing more.
        went_on_s: when it last went on after a stop, by the monotonic clock.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.stopped = False
        self.killed = False
        self.went_on_s = -math.inf
        self._threads: list[Process] = []
        self._waiting: list[tuple[Callable[..., object], tuple[Any, ...], Context]] = []

    def thread(self) -> Process:
        """A thread of it, which may go on a little later than the others."""
        thread = Process(self.name)
        self._threads.append(thread)
        return thread

    def start(self, coroutine: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Runs a coroutine as this process."""
        context = copy_context()
        context.run(PROCESS.set, self)
        loop = asyncio.get_running_loop()
        return loop.create_task(coroutine, name=self.name, context=context)

    def stop(self) -> None:
        """Does nothing from now on, and knows nothing of it."""
        self.stopped = True
        for thread in self._threads:
            thread.stop()

    def go_on(self) -> None:
        """Does what waited, in its order."""
        for thread in self._threads:
            _call_for_nobody(random.uniform(0.0, THREADS_APART_S), thread.go_on)  # noqa: S311
        self.stopped = False
        self.went_on_s = asyncio.get_running_loop().time()
        waiting, self._waiting = self._waiting, []
        loop = asyncio.get_running_loop()
        for callback, args, context in waiting:
            loop.call_soon(callback, *args, context=context)

    def kill(self) -> None:
        """Does nothing more. What it would have done is kept for `bury`."""
        self.killed = True
        for thread in self._threads:
            thread.kill()

    def bury(self) -> None:
        """Lets its tasks come to an end, once nothing that they do has an effect any more."""
        for thread in self._threads:
            thread.bury()
        self.killed = False
        self.go_on()

    def run(self, callback: Callable[..., object], args: tuple[Any, ...]) -> None:
        """One callback of it; called in that callback's context."""
        if self.stopped or self.killed:
            self._waiting.append((callback, args, copy_context()))
        else:
            callback(*args)


#: Whose the running code is.
PROCESS: Final[ContextVar[Process | None]] = ContextVar("process", default=None)


def _call_for_nobody(delay_s: float, callback: Callable[[], object]) -> None:
    token = PROCESS.set(None)
    try:
        asyncio.get_running_loop().call_later(delay_s, callback)
    finally:
        PROCESS.reset(token)


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop by a `Clock`."""

    def __init__(self, clock: Clock) -> None:
        super().__init__(_Jumping(clock))
        self._clock = clock

    def time(self) -> float:
        """Of the clock."""
        return self._clock.now_s

    def call_soon(  # type: ignore[override] # The stub ties the arguments to the callback.
        self,
        callback: Callable[..., object],
        *args: Any,  # noqa: ANN401 - those of the callback.
        context: Context | None = None,
    ) -> asyncio.Handle:
        """As any loop's, for the process in whose context it is called."""
        process = PROCESS.get() if context is None else context.get(PROCESS)
        if process is None:
            return super().call_soon(callback, *args, context=context)
        return super().call_soon(process.run, callback, args, context=context)

    def call_soon_threadsafe(  # type: ignore[override] # As above.
        self,
        callback: Callable[..., object],
        *args: Any,  # noqa: ANN401 - those of the callback.
        context: Context | None = None,
    ) -> asyncio.Handle:
        """There is one thread only."""
        return self.call_soon(callback, *args, context=context)

    def call_at(  # type: ignore[override] # As above.
        self,
        when: float,
        callback: Callable[..., object],
        *args: Any,  # noqa: ANN401 - those of the callback.
        context: Context | None = None,
    ) -> asyncio.TimerHandle:
        """As any loop's, for the process in whose context it is called."""
        process = PROCESS.get() if context is None else context.get(PROCESS)
        if process is None:
            return super().call_at(when, callback, *args, context=context)
        return super().call_at(when, process.run, callback, args, context=context)


class _Jumping(selectors.SelectSelector):
    """Jumps where others wait. No file is waited for: the only ones are the loop's own."""

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self._clock = clock

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            # Something may have called from within, as signal handlers do.
            found = super().select(0)
            if not found:
                raise StandstillError("nothing is left to do")
            return found
        # So much more than nothing that the timer is due by then, however it is rounded.
        self._clock.now_s += max(0.0, timeout) and timeout + 1e-7
        return super().select(0)


@contextlib.contextmanager
def virtual_time(clock: Clock) -> Iterator[None]:
    """Has everybody who asks for the time told that of the clock."""
    with (
        mock.patch.object(time, "monotonic", clock.monotonic),
        mock.patch.object(time, "time", clock.date),
    ):
        yield
