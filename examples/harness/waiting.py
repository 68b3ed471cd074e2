"""Waiting for what other processes do."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from examples.harness.errors import StackError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

__all__ = ["until"]

_POLL_S: Final = 0.05


async def until(
    what: str, count: Callable[[], Awaitable[int]], *, at_least: int, within_s: float = 90.0
) -> int:
    """Waits until a count is high enough; returns it.

    Args:
        what: is waited for, such as ``all is done``.
        count: called again and again.
        at_least: how high.
        within_s: how long, in seconds.

    Raises:
        StackError: It was not in time.
    """
    found = 0
    try:
        async with asyncio.timeout(within_s):
            while (found := await count()) < at_least:  # noqa: ASYNC110 - elsewhere.
                await asyncio.sleep(_POLL_S)
    except TimeoutError:
        raise StackError(
            f"not within {within_s:g} s: {what} ({found} of {at_least} so far)"
        ) from None
    return found
