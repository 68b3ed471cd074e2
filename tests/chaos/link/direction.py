"""One direction of a connection through the fault proxy: what comes in here goes out there.

Without a fault it is one call a chunk. With one, chunks wait in a queue until they are due, and a
queue that is long makes the sender wait, as the buffers of a real network would.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections import deque
from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    import random

__all__ = ["Direction", "Faults", "abort"]

#: What waits in a queue beyond this makes its sender wait (bytes).
HIGH_WATER: Final = 256 * 1024
#: A throttled link moves so much of a second's worth at a time.
PIECE_S: Final = 0.05

_AT_ONCE: Final = struct.pack("ii", 1, 0)


class Faults(Protocol):
    """What is wrong with a link; `FaultProxy` has it."""

    delay_s: float
    jitter_s: float
    bytes_per_s: float | None
    chance: random.Random

    @property
    def frozen(self) -> bool:
        """Whether nothing passes."""


class Bandwidth:
    """What all connections share in one direction: a throttled link is one wire.

    Attributes:
        free_at: when what was sent so far will have passed (s, of the event loop's clock).
    """

    def __init__(self) -> None:
        self.free_at = 0.0


class Direction:
    """See above.

    Args:
        faults: of the link.
        bandwidth: of the link in this direction.
    """

    def __init__(self, faults: Faults, bandwidth: Bandwidth) -> None:
        self._faults = faults
        self._bandwidth = bandwidth
        self._loop = asyncio.get_running_loop()
        self._queue: deque[tuple[float, bytes]] = deque()
        self._queued = 0
        self._last_due = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._source: asyncio.Transport | None = None
        self._target: asyncio.Transport | None = None
        self._is_target_full = False
        self._is_paused = False
        self._is_over = False
        self._is_dead = False

    def connect(
        self, *, source: asyncio.Transport | None = None, target: asyncio.Transport | None = None
    ) -> None:
        """Tells it of an end, once that is there."""
        self._source = source or self._source
        self._target = target or self._target
        self.pump()

    def send(self, data: bytes) -> None:
        """Passes a chunk on, now or when it is due."""
        faults = self._faults
        if self._is_dead:
            return
        if (
            self._queue
            or self._target is None
            or faults.frozen
            or faults.bytes_per_s
            or faults.delay_s
            or faults.jitter_s
        ):
            self._enqueue(data)
        else:
            self._target.write(data)

    def end(self) -> None:
        """Ends the other side, once all that was sent has passed: so it is with a real network."""
        self._is_over = True
        self.pump()

    def expedite(self) -> None:
        """Passes on all that waits, unless the link is frozen."""
        self._queue = deque((0.0, data) for _, data in self._queue)
        self._last_due = self._bandwidth.free_at = 0.0
        self.pump()

    def pump(self) -> None:
        """Passes on what is due."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._is_dead or self._target is None or self._faults.frozen:
            return
        queue, now = self._queue, self._loop.time()
        while queue:
            due, data = queue[0]
            if due > now:
                self._timer = self._loop.call_at(due, self.pump)
                break
            queue.popleft()
            self._queued -= len(data)
            self._target.write(data)
        self._throttle_source()
        if self._is_over and not queue:
            self._target.close()

    def target_is_full(self, *, full: bool) -> None:
        """Has the sender wait for the receiver."""
        self._is_target_full = full
        self._throttle_source()

    def die(self) -> None:
        """The receiver is gone: forgets what waits, and whatever comes."""
        self._is_dead = True
        self._queue.clear()
        self._queued = 0
        if self._timer is not None:
            self._timer.cancel()

    def _enqueue(self, data: bytes) -> None:
        faults, now = self._faults, self._loop.time()
        delay_s = faults.delay_s
        if faults.jitter_s:
            delay_s += faults.chance.uniform(0, faults.jitter_s)
        # In order, however the delays fall out.
        self._last_due = due = max(now + delay_s, self._last_due)
        rate = faults.bytes_per_s
        if rate is None:
            self._queue.append((due, data))
        else:
            size = max(1, int(rate * PIECE_S))
            for start in range(0, len(data), size):
                piece = data[start : start + size]
                self._bandwidth.free_at = max(self._bandwidth.free_at, now) + len(piece) / rate
                self._last_due = due = max(due, self._bandwidth.free_at)
                self._queue.append((due, piece))
        self._queued += len(data)
        self.pump()

    def _throttle_source(self) -> None:
        wanted = self._is_target_full or self._queued > HIGH_WATER
        if wanted == self._is_paused or self._source is None or self._source.is_closing():
            return
        self._is_paused = wanted
        if wanted:
            self._source.pause_reading()
        else:
            self._source.resume_reading()


def abort(transport: asyncio.Transport | None) -> None:
    """Resets a connection: the peer is told by RST that it is over."""
    if transport is None:
        return
    connection = transport.get_extra_info("socket")
    if connection is not None and not transport.is_closing():
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _AT_ONCE)
    transport.abort()
