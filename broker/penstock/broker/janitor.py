"""Keeps house in the background, as every gateway and every worker does."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from penstock.broker.errors import PenstockError
from penstock.runtime import Periodic

if TYPE_CHECKING:
    from penstock.broker.housekeeper import Housekeeper

#: Pause after a sweep that failed; the link has told why (s).
PAUSE_AFTER_ERROR_S: Final = 1.0
#: A sweep may be cut short at any point: the next process goes on.
STOP_GRACE_S: Final = 0.5


class Janitor(Periodic):
    """Sweeps, with the pauses that the housekeeper asks for."""

    def __init__(self, housekeeper: Housekeeper) -> None:
        super().__init__(interval_s=PAUSE_AFTER_ERROR_S, stop_grace_s=STOP_GRACE_S, expendable=True)
        self._housekeeper = housekeeper

    async def setup(self) -> None:
        """Takes hints of what comes due before the next sweep."""
        self._housekeeper.attend(self.wake)

    async def teardown(self) -> None:
        """Tells the other keepers; if that fails, they will notice."""
        with suppress(PenstockError, TimeoutError):
            async with asyncio.timeout(STOP_GRACE_S):
                await self._housekeeper.leave()

    async def tick(self) -> float | None:
        """Visits the slots whose turn it is."""
        try:
            return await self._housekeeper.sweep()
        except PenstockError:
            return None
