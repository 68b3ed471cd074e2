"""The timing of a connection: how long a write waits for company, and when to give up waiting."""

from __future__ import annotations

import asyncio
from typing import Final, Protocol

_TICKS: Final = 4  # Resolution of the watchdog: a quarter of the shorter of its two periods.


class Watched(Protocol):
    """What a watchdog needs of a pipeline."""

    @property
    def pending(self) -> int:
        """Commands that wait for their reply."""

    def send(self, *args: bytes | str | int) -> None:
        """Issues a command whose reply nobody needs."""

    def abort(self, reason: str) -> None:
        """Ends the connection at once."""


class Window:
    """How long a write waits for company: a while at high rates, not at all at low ones.

    At low rates a command would only wait; at high ones, a write per command is what costs most.
    """

    _WORTH_WHILE: Final = 6.0  # Commands that a write must be expected to carry.
    _DECAY: Final = 0.9

    def __init__(self, window_s: float) -> None:
        self._window_s = window_s
        # Decaying sums over the last writes, so that their quotient is the recent rate.
        self._commands = 0.0
        self._elapsed_s = 1.0
        self._last_write = 0.0

    def delay_s(self) -> float:
        """How long the write that is due now should wait, in seconds; 0 for not at all."""
        expected = self._commands / self._elapsed_s * self._window_s
        return self._window_s if expected >= self._WORTH_WHILE else 0.0

    def written(self, commands: int, now: float) -> None:
        """Notes a write of so many commands, at a time of the loop's clock in seconds."""
        # A long pause counts as a hundred windows, else it would hide the rate of what follows.
        elapsed_s = min(now - self._last_write, 100 * self._window_s)
        self._last_write = now
        self._commands = self._commands * self._DECAY + commands
        self._elapsed_s = self._elapsed_s * self._DECAY + elapsed_s


class Watchdog:
    """Finds dead connections: aborts one that stalls, and tries one that is idle.

    It counts its own ticks rather than seconds, so that a process that was stopped or whose loop
    was blocked does not blame the server: however long the gap, it is one tick.
    """

    def __init__(
        self, pipeline: Watched, *, stall_timeout_s: float, ping_interval_s: float
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._pipeline = pipeline
        self._stall_timeout_s = stall_timeout_s
        self._period_s = min(stall_timeout_s, ping_interval_s) / _TICKS
        self._ping_ticks = round(ping_interval_s / self._period_s)
        # One more, since the first tick may follow on the heels of the command.
        self._stall_ticks = round(stall_timeout_s / self._period_s) + 1
        self._quiet_ticks = 0
        self._idle_ticks = 0
        self._timer: asyncio.TimerHandle | None = None
        self.heard = False
        """Set when bytes have come in."""

    def start(self) -> None:
        """Begins to watch."""
        self._timer = self._loop.call_later(self._period_s, self._tick)

    def stop(self) -> None:
        """Ends watching."""
        if self._timer:
            self._timer.cancel()

    def _tick(self) -> None:
        self.start()
        if self.heard:
            self.heard = False
            self._quiet_ticks = self._idle_ticks = 0
        elif self._pipeline.pending:
            self._quiet_ticks += 1
            if self._quiet_ticks >= self._stall_ticks:
                self._pipeline.abort(f"no reply for {self._stall_timeout_s:g} s")
        else:
            self._idle_ticks += 1
            if self._idle_ticks >= self._ping_ticks:
                self._idle_ticks = 0
                self._pipeline.send(b"PING")
