"""Ends the work of a process in peace: running jobs may finish, what is left is handed back."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

import structlog

from penstock.worker.signals import StopReason

if TYPE_CHECKING:
    from penstock.worker.presence import Presence
    from penstock.worker.roster import Roster
    from penstock.worker.settings import WorkerSettings

__all__ = ["Drainer"]

#: How long the last outcomes may take to be written, after all handlers were told to stop (s).
WRITE_GRACE_S: Final = 5.0

_log: Final = structlog.get_logger(__name__)


class Drainer:
    """Drains when it is stopped. By then nobody claims any more.

    Args:
        settings: how long handlers may go on, and how long those that were told to stop have.
        roster: whose attempts are waited for.
        presence: tells that this worker is draining.
    """

    def __init__(self, settings: WorkerSettings, roster: Roster, presence: Presence) -> None:
        self._drain_grace_s = settings.drain_grace_s
        self._stop_grace_s = settings.stop_grace_s
        self._roster = roster
        self._presence = presence

    async def start(self) -> None:
        """Does nothing."""

    async def stop(self) -> None:
        """Returns once no attempt is held, or nothing more can be done about it."""
        roster = self._roster
        roster.draining = True
        self._presence.wake()
        if not roster.held:
            return
        _log.info("draining", running=roster.held, grace_s=self._drain_grace_s)
        for attempt in roster.attempts():
            attempt.drain()
        if await self._emptied(self._drain_grace_s):
            return
        for attempt in roster.attempts():
            attempt.stop(StopReason.DRAINING)
        if not await self._emptied(self._stop_grace_s + WRITE_GRACE_S):
            _log.warning("left to their leases", jobs=roster.held)

    async def _emptied(self, within_s: float) -> bool:
        empty = asyncio.Event()
        self._roster.call_when_empty(empty.set)
        if not self._roster.held:
            return True
        try:
            async with asyncio.timeout(within_s):
                await empty.wait()
        except TimeoutError:
            return False
        return True
