"""Streams of events to callers, from the snapshot to the end.

One watchdog looks after all streams: it ends those that are too old, and those whose readers take
nothing for too long. The writes of a stream have no timers of their own; what stands before it,
once, has one.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Final

from penstock.broker import CursorOutOfRange
from penstock.runtime import Periodic, jittered
from penstock.server import event_convert
from penstock.server.errors import SlowReader
from penstock.server.watching import is_terminal

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from penstock.broker import Event, Job
    from penstock.server.event_convert import EndReason
    from penstock.server.settings import ServerSettings
    from penstock.server.watching import Hub, Watcher
    from penstock.v1.job_service_pb2 import StreamProgressResponse

    Write = Callable[[StreamProgressResponse], Awaitable[None]]

__all__ = ["Streams"]

#: A stalled reader that comes back within this time is told the end in the stream itself (s).
COME_BACK_S: Final = 5.0
_LONGEST_TICK_S: Final = 1.0


class Streams(Periodic):
    """All open streams and waits of this process."""

    def __init__(self, hub: Hub, settings: ServerSettings) -> None:
        self._max_age_s = settings.stream_max_age_s
        self._stall_s = settings.stream_stall_s
        self._tick_s = min(_LONGEST_TICK_S, self._stall_s / 4, self._max_age_s / 4)
        super().__init__(interval_s=self._tick_s, name="streams-watchdog")
        self._hub = hub
        self._streams: set[_Stream] = set()
        self._waiters: set[Watcher] = set()
        self._closing = False

    async def follow(self, job: Job, after: int, write: Write) -> None:
        """Writes a snapshot, and every event after the cursor, until the job or the stream ends.

        Args:
            job: as it stands now, with its result if it has one.
            after: the cursor.
            write: takes one message of StreamProgress.

        Raises:
            CursorOutOfRange: the cursor is beyond the newest event.
            NotFound: the job is past its retention.
            SlowReader: the reader stalled.
        """
        if after > job.last_sequence:
            raise CursorOutOfRange(job.last_sequence)
        # Spread, so that streams that began together do not all come back together.
        ends_at = asyncio.get_running_loop().time() + jittered(self._max_age_s * 0.95, 0.05)
        with self._hub.watch(job.job_id, after) as watcher:
            stream = _Stream(write, watcher, after, ends_at)
            if self._closing:
                stream.end("SHUTDOWN")
            self._streams.add(stream)
            try:
                await stream.run(job)
            finally:
                self._streams.discard(stream)

    async def deliver(self, write: Awaitable[object]) -> None:
        """Writes what stands before a stream; it is given up as a write of the stream would be.

        Args:
            write: in progress, or about to begin.

        Raises:
            SlowReader: the reader stalled.
        """
        scope = asyncio.timeout(self._stall_s + COME_BACK_S)
        try:
            async with scope:
                await write
        except TimeoutError:
            if not scope.expired():
                raise
            raise SlowReader(0) from None

    async def wait(self, job: Job, timeout_s: float) -> Job | None:
        """The job with its result, once it is terminal; None if the time passes first.

        Args:
            job: as it stands now, not terminal.
            timeout_s: in seconds. A shutdown ends the wait as well.

        Raises:
            NotFound: the job is past its retention, or the server lost it.
        """
        scope = asyncio.timeout(timeout_s)
        try:
            async with scope:
                while not self._closing:
                    try:
                        return await self._end_of(job)
                    except CursorOutOfRange:
                        # The server lost events. Whoever waits has no cursor that could be wrong:
                        # the wait goes on from where the job stands now.
                        job = await self._hub.look(job.job_id) or job
                        if job.state.terminal:
                            return job
        except TimeoutError:
            if not scope.expired():
                raise
        return None

    async def _end_of(self, job: Job) -> Job | None:
        """The ended job, as it is told after the last event that is known; None at a shutdown."""
        with self._hub.watch(job.job_id, job.last_sequence) as watcher:
            self._waiters.add(watcher)
            try:
                while not self._closing:
                    events = await watcher.next()
                    if events and is_terminal(events[-1]):
                        return await watcher.final()
            finally:
                self._waiters.discard(watcher)
        return None

    def shut_down(self) -> None:
        """Ends all streams and waits, and those to come, with a cursor to go on from elsewhere."""
        self._closing = True
        for stream in self._streams:
            stream.end("SHUTDOWN")
        for watcher in self._waiters:
            watcher.nudge()

    async def tick(self) -> None:
        """Looks after every stream."""
        now = asyncio.get_running_loop().time()
        for stream in self._streams:
            if now >= stream.ends_at:
                stream.end("MAX_AGE")
            stalled_s = now - stream.blocked_since if stream.blocked_since else 0.0
            if stalled_s >= self._tick_s:
                stream.unburden()
            if stalled_s > self._stall_s:
                stream.end("SLOW_READER")
            if stalled_s > self._stall_s + COME_BACK_S:
                stream.cut()


class _Stream:
    """One stream on its way to its reader.

    Attributes:
        ends_at: when it is too old, by the loop's clock (s).
        blocked_since: since when a write waits, by the loop's clock (s); 0.0 while none does.
    """

    def __init__(self, write: Write, watcher: Watcher, cursor: int, ends_at: float) -> None:
        self._loop = asyncio.get_running_loop()
        self._write = write
        self._watcher = watcher
        self._cursor = cursor
        self._written = cursor
        self._batch: deque[Event] = deque()
        self._reason: EndReason | None = None
        self._leash = asyncio.timeout(None)
        self.ends_at = ends_at
        self.blocked_since = 0.0

    def end(self, reason: EndReason) -> None:
        """Asks it to end as soon as its present write is done; the first reason holds."""
        if self._reason is None:
            self._reason = reason
            self._watcher.nudge()

    def unburden(self) -> None:
        """Has no more held for a reader that takes nothing than the message that it is sent.

        What was read for it beside that, a page of the log or a mailbox full, is read again when it
        comes back.
        """
        if self._batch or self._watcher.mailbox.live:
            self._batch.clear()
            self._watcher.go_back(self._written)

    def cut(self) -> None:
        """Gives up on the present write."""
        if self._leash.when() is None:
            self._leash.reschedule(self._loop.time())

    async def run(self, job: Job) -> None:
        """Writes until the end. Raises SlowReader where it was cut."""
        try:
            async with self._leash:
                await self._send(event_convert.snapshot(job, self._cursor))
                if job.state.terminal and self._cursor == job.last_sequence:
                    return
                if await self._pump():
                    return
                if self._reason is not None:
                    await self._send(event_convert.end(self._reason, self._cursor))
        except TimeoutError:
            if not self._leash.expired():
                raise
            raise SlowReader(self._cursor) from None

    async def _pump(self) -> bool:
        """Writes events; returns whether the last one was the job's last."""
        while not self._is_ending():
            self._batch = deque(await self._watcher.next())
            while self._batch and not self._is_ending():
                event = self._batch.popleft()
                final = None
                if is_terminal(event):
                    final = await self._watcher.final()
                    if final is None:
                        break  # Asked to end while the job could not be read: the cursor tells.
                self._written = event.last_sequence
                await self._send(event_convert.event(event, final))
                self._cursor = event.last_sequence
                if final is not None:
                    return True
        return False

    def _is_ending(self) -> bool:
        return self._reason is not None

    async def _send(self, message: StreamProgressResponse) -> None:
        self.blocked_since = self._loop.time()
        await self._write(message)
        self.blocked_since = 0.0
