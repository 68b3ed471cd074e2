"""Whatever is done again and again while something else happens."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, ClassVar, Self

from penstock.client import PenstockError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

__all__ = ["Loops"]


class Loops(ABC):
    """Loops side by side, each in a task of its own. An async context manager, which ends them.

    A call that fails is told to `failed`, and its loop goes on; anything else ends the loop, and is
    raised by `finish`.

    Args:
        pause_s: between two rounds of a loop (s).

    Attributes:
        failures: what a call fails with.
        stopping: no loop begins a further round.
    """

    failures: ClassVar[tuple[type[Exception], ...]] = (PenstockError,)

    def __init__(self, pause_s: float) -> None:
        self.pause_s = pause_s
        self._tasks: list[asyncio.Task[None]] = []
        self.stopping = False

    @abstractmethod
    def failed(self, loop: str, error: Exception, /) -> None:
        """A call of that loop has failed."""

    def begin(self, loop: str, once: Callable[[], Awaitable[object]]) -> None:
        """Begins a loop by that name, of a coroutine function."""
        self._tasks.append(asyncio.create_task(self._repeat(loop, once)))

    async def finish(self) -> None:
        """Lets each loop end the round that it is at. Raises what none of them expected."""
        self.stopping = True
        await asyncio.gather(*self._tasks)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_error: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _repeat(self, loop: str, once: Callable[[], Awaitable[object]]) -> None:
        while not self.stopping:
            try:
                await once()
            except self.failures as error:
                self.failed(loop, error)
            await asyncio.sleep(self.pause_s)
