"""What a handler is told from outside while it runs, and the flag by which it sees it."""

from __future__ import annotations

import asyncio
import threading
from typing import TypeAlias

from penstock.worker.signals import StopReason

__all__ = ["AsyncFlag", "Flag", "Orders", "SyncFlag"]


class AsyncFlag(asyncio.Event):
    """``bool(flag)``, or ``await flag.wait()``."""

    def __bool__(self) -> bool:
        return self.is_set()


class SyncFlag(threading.Event):
    """``bool(flag)``, or ``flag.wait(timeout_s)``."""

    def __bool__(self) -> bool:
        return self.is_set()


Flag: TypeAlias = AsyncFlag | SyncFlag


class Orders:
    """Whether a handler is to stop, and why.

    Attributes:
        stop_reason: None while it may go on. The first reason stands, but a lost lease comes
            before all others, since then nothing may be written.
        draining: the worker is being shut down; the handler may still go on for the grace.
        flag: set with the stop reason, once a context has made one.
    """

    __slots__ = ("draining", "flag", "stop_reason")

    def __init__(self) -> None:
        self.stop_reason: StopReason | None = None
        self.draining = False
        self.flag: Flag | None = None

    def order_stop(self, reason: StopReason) -> bool:
        """Notes the order. Returns whether it is the first."""
        first = self.stop_reason is None
        if first or reason is StopReason.LEASE_LOST:
            self.stop_reason = reason
        if self.flag is not None:
            self.flag.set()
        return first
