"""The latest of many values, at most so often."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Throttle"]

_T = TypeVar("_T")


class Throttle(Generic[_T]):
    """Passes values on: the first at once, then at most one an interval, always the latest.

    Args:
        interval_s: shortest time between two values that are passed on (s).
        send: what takes them.
    """

    def __init__(self, interval_s: float, send: Callable[[_T], None]) -> None:
        self._interval_s = interval_s
        self._send = send
        self._latest: _T | None = None
        self._timer: asyncio.TimerHandle | None = None

    def offer(self, value: _T) -> None:
        """Passes a value on, now or when its time has come, unless a later one replaces it."""
        self._latest = value
        if self._timer is None:
            self._pass_on()

    def flush(self) -> None:
        """Passes on at once what is held back, and holds nothing back any more."""
        latest = self._latest
        self.cancel()
        if latest is not None:
            self._send(latest)

    def cancel(self) -> None:
        """Forgets what is held back."""
        self._latest = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _pass_on(self) -> None:
        self._timer = None
        latest, self._latest = self._latest, None
        if latest is not None:
            self._timer = asyncio.get_running_loop().call_later(self._interval_s, self._pass_on)
            self._send(latest)
