"""Writes that have to arrive: repeated until the broker accepts or refuses them."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Final, TypeVar

import structlog

from penstock.broker import Overloaded, StorageFull, Unavailable
from penstock.runtime import Backoff

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

__all__ = ["TRANSIENT", "persist"]

_T = TypeVar("_T")

#: What passes by itself. Nothing was written, or the same write may be repeated.
TRANSIENT: Final = (Unavailable, Overloaded, StorageFull)

_PAUSES: Final = Backoff(initial_s=0.1, max_s=2.0)
_log: Final = structlog.get_logger(__name__)


async def persist(
    write: Callable[[], Awaitable[_T]],
    *,
    job_id: str,
    patience_s: float,
    wanted: Callable[[], bool],
) -> _T:
    """Awaits write() until it succeeds; for writes that may be repeated.

    Args:
        write: One try.
        job_id: For the logs.
        patience_s: For how long to go on, in seconds; math.inf sets no bound.
        wanted: Whether it is still worth going on; asked after each failure.

    Raises:
        Unavailable, Overloaded, StorageFull: What the last try raised, if it was not to go on.
        Exception: What else write() raises, at once.
    """
    give_up_s = time.monotonic() + patience_s
    failures = 0
    while True:
        try:
            return await write()
        except TRANSIENT as error:
            failures += 1
            if not wanted() or time.monotonic() > give_up_s:
                raise
            if failures == 1:
                _log.warning("a write has to wait", job_id=job_id, error=str(error))
        await asyncio.sleep(_PAUSES.delay_s(failures))
