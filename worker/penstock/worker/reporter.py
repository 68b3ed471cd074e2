"""What one handler says while it runs, on its way to the job's event log."""

from __future__ import annotations

import asyncio
import math
from functools import partial
from typing import TYPE_CHECKING, Final, TypeAlias

import structlog

from penstock.broker import Chunk, LogLine, PenstockError, Progress, StaleToken
from penstock.worker.persistence import persist
from penstock.worker.signals import Stopped, StopReason
from penstock.worker.throttle import Throttle

if TYPE_CHECKING:
    from collections.abc import Sequence

    from penstock.broker import CacheTarget
    from penstock.broker.attempts import Attempts
    from penstock.worker.attempt import Attempt

__all__ = ["OutputLost", "Reporter", "outlet_of"]

#: Events that one report carries at most, as `progress.lua` takes them.
BATCH: Final = 100
#: Bytes that one report carries at most, beyond its first event.
BATCH_BYTES: Final = 512 * 1024
#: Where so much waits to be reported, emit() waits for room.
BUFFERED_EVENTS: Final = 1_000
BUFFERED_BYTES: Final = 4 * 1024 * 1024
#: Where so many lines of log wait, further ones are lost, until half of these are gone.
BUFFERED_LINES: Final = 10_000
#: Shortest time between two reports of progress (s).
PROGRESS_EVERY_S: Final = 0.1
#: How long the end of an attempt waits for its output to be stored (s).
FLUSH_S: Final = 30.0
#: How long it waits for progress alone, which an outcome makes superfluous (s).
PROGRESS_FLUSH_S: Final = 1.0

_log: Final = structlog.get_logger(__name__)

_Said: TypeAlias = Progress | Chunk | LogLine


class OutputLost(Exception):  # noqa: N818 - says what happened; the name is shown to callers.
    """Chunks or log lines of an attempt could not be stored, so that it must not count as done."""


def outlet_of(attempt: Attempt, attempts: Attempts) -> Reporter:
    """The reporter of an attempt, made at the first call."""
    if attempt.reporter is None:
        attempt.reporter = Reporter(attempts, attempt)
    return attempt.reporter


class Reporter:
    """Sends what a handler says, in order, in batches, while the lease lasts.

    Progress is throttled, the latest wins, and it may be lost: nothing depends on it. Chunks are
    never dropped before the attempt's own end: emit() waits for room. log() cannot wait, so that
    lines of log pile up during an outage, up to a bound; beyond it they are lost, and one line in
    their place tells how many.
    """

    def __init__(self, attempts: Attempts, attempt: Attempt) -> None:
        self._attempts = attempts
        self._attempt = attempt
        self._waiting: list[_Said] = []
        self._bytes = 0
        self._lines = 0
        self._lines_lost = 0
        self._number = 0
        self._sender: asyncio.Task[None] | None = None
        self._room = asyncio.Event()
        self._throttle: Throttle[Progress] = Throttle(PROGRESS_EVERY_S, self._say)
        self._closed = False
        self._broken = False

    # What a handler calls, through its context.

    def progress(self, current: float, total: float, message: str) -> None:
        """See `Outlet.progress`."""
        if not self._closed:
            self._throttle.offer(Progress(current, total, message))

    def log(self, level: str, message: str) -> None:
        """See `Outlet.log`."""
        if self._closed:
            return
        if self._lines_lost or self._lines >= BUFFERED_LINES:
            self._lines_lost += 1
        else:
            self._say_line(level, message)

    async def emit(self, data: bytes) -> None:
        """See `Outlet.emit`."""
        self._check()
        while self._bytes >= BUFFERED_BYTES or len(self._waiting) >= BUFFERED_EVENTS:
            self._room.clear()
            await self._room.wait()
            self._check()
        self._say(Chunk(data, self._attempt.grant.attempt))

    async def checkpoint(self, data: bytes) -> None:
        """See `Outlet.checkpoint`."""
        self._check()
        grant = self._attempt.grant
        try:
            await persist(
                partial(self._attempts.checkpoint, grant.job_id, grant.fencing_token, data),
                job_id=grant.job_id,
                patience_s=FLUSH_S,
                wanted=self._holds_lease,
            )
        except StaleToken:
            self._attempt.stop(StopReason.LEASE_LOST)
        self._check()

    async def invalidate(self, targets: Sequence[CacheTarget]) -> None:
        """See `Outlet.invalidate`."""
        self._check()
        await persist(
            partial(self._attempts.invalidate, targets),
            job_id=self._attempt.grant.job_id,
            patience_s=FLUSH_S,
            wanted=self._holds_lease,
        )
        self._check()

    # What the runner calls.

    async def close(self) -> None:
        """Takes nothing more, and returns once all is stored, or the lease is lost.

        Raises:
            OutputLost: chunks or lines of log could not be stored. Progress that could not is
                forgotten.
        """
        self._throttle.flush()
        self._tell_lines_lost()
        self._closed = True
        if self._sender is not None:
            patience_s = FLUSH_S if self._owes_output() else PROGRESS_FLUSH_S
            await asyncio.wait({self._sender}, timeout=patience_s)
        lost = self._owes_output() and self._holds_lease()
        self.discard()
        if lost:
            raise OutputLost("a part of the output could not be stored")

    def discard(self) -> None:
        """Takes nothing more, and forgets what has not been sent."""
        self._throttle.cancel()
        self._closed = True
        self._waiting.clear()
        self._bytes = 0
        self._room.set()
        if self._sender is not None:
            self._sender.cancel()

    # Inside.

    def _say(self, said: _Said) -> None:
        self._waiting.append(said)
        self._bytes += _size(said)
        if self._sender is None and not self._broken:
            self._sender = asyncio.get_running_loop().create_task(self._send_all())

    def _say_line(self, level: str, message: str) -> None:
        self._lines += 1
        self._say(LogLine(level, message, self._attempt.grant.attempt))

    def _tell_lines_lost(self) -> None:
        if self._lines_lost:
            lost, self._lines_lost = self._lines_lost, 0
            self._say_line("warning", f"{lost} lines lost")

    async def _send_all(self) -> None:
        try:
            while self._waiting and self._holds_lease():
                batch = self._next_batch()
                self._number += 1
                await self._send(batch)
                del self._waiting[: len(batch)]
                self._bytes -= sum(map(_size, batch))
                self._lines -= sum(isinstance(said, LogLine) for said in batch)
                if self._lines <= BUFFERED_LINES / 2:
                    self._tell_lines_lost()
                self._room.set()
        except StaleToken:
            self._attempt.stop(StopReason.LEASE_LOST)
        except PenstockError as error:
            self._broken = self._owes_output()
            if not self._broken:
                self._waiting.clear()
                self._bytes = 0
            job_id = self._attempt.grant.job_id
            _log.warning("not reported", job_id=job_id, error=str(error), output=self._broken)
        finally:
            self._sender = None
            self._room.set()

    async def _send(self, batch: list[_Said]) -> None:
        """Stores one batch, trying for as long as the lease lasts."""
        grant = self._attempt.grant
        cancel_requested = await persist(
            partial(self._attempts.report, grant.job_id, grant.fencing_token, self._number, batch),
            job_id=grant.job_id,
            patience_s=math.inf,
            wanted=self._holds_lease,
        )
        if cancel_requested:
            self._attempt.stop(StopReason.CANCELLED)

    def _next_batch(self) -> list[_Said]:
        size = 0
        for count, said in enumerate(self._waiting[:BATCH]):
            size += _size(said)
            if count and size > BATCH_BYTES:
                return self._waiting[:count]
        return self._waiting[:BATCH]

    def _owes_output(self) -> bool:
        """Whether something waits that must not be lost."""
        return any(not isinstance(said, Progress) for said in self._waiting)

    def _holds_lease(self) -> bool:
        return self._attempt.stop_reason is not StopReason.LEASE_LOST

    def _check(self) -> None:
        """Raises once the attempt is over; a handler that was only told to stop may go on."""
        if self._broken:
            raise OutputLost("a part of the output could not be stored")
        reason = self._attempt.stop_reason
        if reason is not None and (self._closed or not self._holds_lease()):
            raise Stopped(reason)


def _size(said: _Said) -> int:
    return len(said.data) if isinstance(said, Chunk) else len(said.message) + 64
