"""Keeps house: due jobs, deadlines, lost leases, retention; as every gateway and worker does."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from penstock.broker import PenstockError
from penstock.runtime import Periodic

if TYPE_CHECKING:
    from penstock.broker import Broker

__all__ = ["Janitor"]

#: Pause after a sweep that failed; the link has told why (s).
PAUSE_AFTER_ERROR_S: Final = 1.0


class Janitor(Periodic):
    """Sweeps, with the pauses that the housekeeper asks for."""

    def __init__(self, broker: Broker) -> None:
        super().__init__(interval_s=PAUSE_AFTER_ERROR_S, name="janitor")
        self._broker = broker

    async def tick(self) -> float | None:
        """Sweeps once."""
        try:
            return await self._broker.housekeeper.sweep()
        except PenstockError:
            return None
