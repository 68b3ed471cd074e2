"""A word to those who watch while their gateway is away: the watch goes on by itself."""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import TYPE_CHECKING, Final

from penstock.cli.faults import trouble_at

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from penstock.client import AsyncClient, AsyncMergedWatch

__all__ = ["telling_outages"]

_LOOK_EVERY_S: Final = 0.2
_TOLD_AFTER_S: Final = 1.0
"""A stream that breaks and is there again at once is no news."""


@contextlib.asynccontextmanager
async def telling_outages(
    watch: AsyncMergedWatch, client: AsyncClient, say: Callable[[str], None]
) -> AsyncIterator[None]:
    """Tell, while the block runs, when the gateway goes away, and when it is back.

    Args:
        watch: Which is read in the block.
        client: Of its gateway.
        say: Takes a line, in rich's markup.
    """
    looking = asyncio.create_task(_look(watch, client.address, say))
    try:
        yield
    finally:
        looking.cancel()
        await asyncio.wait([looking])


async def _look(watch: AsyncMergedWatch, address: str, say: Callable[[str], None]) -> None:
    from rich.markup import escape

    since: float | None = None
    told = ""
    while True:
        await asyncio.sleep(_LOOK_EVERY_S)
        status = watch.interruption
        now = time.monotonic()
        if status is None:
            if told:
                say("the gateway is back, and the watch goes on")
            since, told = None, ""
            continue
        since = since or now
        trouble = trouble_at(address, status)
        if now - since >= _TOLD_AFTER_S and trouble != told:
            say(f"[yellow]{escape(trouble)}[/], trying again")
            told = trouble
