"""What a handler raises to end its attempt, other than by an error, and why it may be told to stop.

A handler ends its attempt in one of a few ways, matched in one place (``conclude`` in
``outcome.py``): it returns a value; it raises Retry, Cancel or any other exception; or it was told
to stop and did.
"""

# ruff: noqa: N818 - these are not errors; the names say what is to happen.

from __future__ import annotations

import math
from datetime import timedelta
from enum import Enum
from typing import Final

__all__ = ["Cancel", "Retry", "StopReason", "Stopped"]

#: A longer pause is taken for this one (s).
MAX_PAUSE_S: Final = 366 * 24 * 3600.0


class StopReason(Enum):
    """Why a handler is to stop before it is done."""

    CANCELLED = "cancelled"
    """Somebody asked for the job to be cancelled."""
    TIMED_OUT = "timed out"
    """The attempt has run for longer than its timeout."""
    EXPIRED = "expired"
    """The job's deadline has passed."""
    DRAINING = "draining"
    """The worker is being shut down, and its grace is over; the job is handed back."""
    UNREACHABLE = "lease not renewed"
    """The server was away for most of a lease; the job may soon be run elsewhere."""
    LEASE_LOST = "lease lost"
    """The job is no longer this worker's; nothing that this attempt does counts any more."""


class Retry(Exception):
    """Raised by a handler: end this attempt, which counts as a failure, and try again later.

    Where no attempts are left, the job fails.

    Args:
        after: The pause before the next attempt, in seconds or as a timedelta, at most 366 days;
            None takes the job's own backoff.
        message: What watchers and the job's record are told.

    Raises:
        ValueError: The pause is negative, infinite or not a number.
    """

    def __init__(
        self,
        after: timedelta | float | None = None,
        message: str = "the handler asked to be run again",
    ) -> None:
        super().__init__(message)
        seconds = after.total_seconds() if isinstance(after, timedelta) else after
        # Written so that it refuses nan as well, which is not less than anything.
        if seconds is not None and not 0 <= seconds < math.inf:
            raise ValueError("Retry(after=...) takes a finite number of seconds, from 0")
        self.after_s = None if seconds is None else float(min(seconds, MAX_PAUSE_S))


class Cancel(Exception):
    """Raised by a handler: the job is not worth doing any more. It ends as CANCELLED.

    Args:
        reason: What watchers and the job's record are told.
    """

    def __init__(self, reason: str = "cancelled by its handler") -> None:
        super().__init__(reason)
        self.reason = reason


class Stopped(BaseException):
    """Raised in a handler that was told to stop, by ``ctx.check()`` and by calls that write.

    It is no Exception, as asyncio.CancelledError is none, so that a handler's own ``except
    Exception`` does not swallow it.

    Attributes:
        reason: Why.
    """

    def __init__(self, reason: StopReason) -> None:
        super().__init__(reason.value)
        self.reason = reason
