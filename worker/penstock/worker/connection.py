"""A broker's connection as a part of a process."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from penstock.broker import Broker

__all__ = ["Connection"]


class Connection:
    """Connects at the start, and stays connected until the stop."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker

    async def start(self) -> None:
        """Connects. Raises what entering a Broker raises."""
        await self._broker.__aenter__()

    async def stop(self) -> None:
        """Ends the connection."""
        await self._broker.close()
