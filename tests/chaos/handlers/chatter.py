"""The handlers of scenarios about watchers: they say much, and when they said it."""

from __future__ import annotations

import asyncio
import time
from typing import Final

from pydantic import BaseModel

from penstock.worker import Context, Worker

__all__ = ["Chatter", "app", "said_at"]

_DIGITS: Final = 20

app = Worker(slots=100)


class Chatter(BaseModel):
    """What is to be said.

    Attributes:
        count: how many chunks.
        size: of each, in bytes.
        every_s: pause between two.
        last_s: how long to stay silent before the end.
    """

    count: int
    size: int
    every_s: float = 0.0
    last_s: float = 0.0


@app.job("chatter")
async def chatter(payload: Chatter, ctx: Context) -> int:
    """Says it. Returns how many chunks there were."""
    for number in range(payload.count):
        ctx.progress(number, payload.count)
        told = f"{time.monotonic_ns():{_DIGITS}}".encode()
        await ctx.emit(told.ljust(payload.size, b"."))
        await asyncio.sleep(payload.every_s)
    await asyncio.sleep(payload.last_s)
    return payload.count


def said_at(chunk: bytes) -> int:
    """When a chunk was said, in ns of the machine's monotonic clock."""
    return int(chunk[:_DIGITS])
