"""How full the server is, for those who would make it fuller by themselves."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from penstock.broker.engine import DEFAULT_BUDGET_S
from penstock.broker.info import parse_info
from penstock.broker.retry import with_retry

if TYPE_CHECKING:
    from penstock.broker.engine import Engine

#: For how long it is taken for low once it was seen so (s).
SEEN_FOR_S: Final = 1.0


class Memory:
    """The server's memory, against its maxmemory.

    Args:
        engine: of the process.
        high_water: the share, up to 1, from which on nothing is added that can wait.
    """

    def __init__(self, engine: Engine, high_water: float) -> None:
        self._engine = engine
        self._high_water = high_water
        self._seen_low_at = float("-inf")

    async def share(self, budget_s: float = DEFAULT_BUDGET_S) -> float:
        """How much of its maxmemory the server uses, from 0 to 1; 0 where it has no limit.

        Raises:
            Unavailable: it cannot be reached, or did not answer within budget_s.
        """
        link = self._engine.link
        reply = await with_retry(lambda: link.call("INFO", "memory"), link=link, budget_s=budget_s)
        info = parse_info(reply)
        limit = int(info.get("maxmemory", 0))
        return int(info["used_memory"]) / limit if limit else 0.0

    async def is_high(self) -> bool:
        """Whether it is beyond the high-water mark, as seen lately. Raises as `share`."""
        now = time.monotonic()
        if now - self._seen_low_at < SEEN_FOR_S:
            return False
        if await self.share() >= self._high_water:
            return True
        self._seen_low_at = now
        return False
