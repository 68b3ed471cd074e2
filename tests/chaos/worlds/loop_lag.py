"""What a busy machine adds to every figure that is measured here."""

from __future__ import annotations

import asyncio
import time
from typing import Final, Self

__all__ = ["LoopLag"]

_BEAT_S: Final = 0.005


class LoopLag:
    """Tells how late the timers of this process's event loop were. An async context manager."""

    def __init__(self) -> None:
        self._worst_s = 0.0
        self._task: asyncio.Task[None] | None = None

    @property
    def worst_s(self) -> float:
        """The most that a timer was late since it began (s)."""
        return self._worst_s

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._beat())
        return self

    async def __aexit__(self, *_error: object) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})

    async def _beat(self) -> None:
        while True:
            due_s = time.monotonic() + _BEAT_S
            await asyncio.sleep(_BEAT_S)
            self._worst_s = max(self._worst_s, time.monotonic() - due_s)
