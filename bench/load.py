"""Load: so many calls in flight, for so long."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable


async def rate(call: Callable[[], Awaitable[object]], *, in_flight: int, seconds: float) -> float:
    """Calls per second, by that many callers who each call again as soon as they are answered."""
    end = time.perf_counter() + seconds
    done = 0

    async def caller() -> None:
        nonlocal done
        while time.perf_counter() < end:
            await call()
            done += 1

    start = time.perf_counter()
    await asyncio.gather(*(caller() for _ in range(in_flight)))
    return done / (time.perf_counter() - start)
