"""The app that ``penstock dev`` runs where none is given: a few job types to play with.

It is also a complete example of an app::

    penstock dev                          # in one terminal
    penstock submit countdown --watch     # in another
"""

import asyncio
from typing import Any

from pydantic import BaseModel, Field

from penstock.worker import Context, Worker

__all__ = ["app"]

app = Worker(["default"])


@app.job("echo")
async def echo(payload: Any) -> Any:  # noqa: ANN401 - it takes whatever JSON it is given.
    """Give back what was given."""
    return payload


class Countdown(BaseModel):
    """How far to count."""

    start: int = Field(default=10, ge=1, le=10_000)
    step_s: float = Field(default=0.25, ge=0, le=60)


@app.job("countdown")
async def countdown(payload: Countdown, ctx: Context) -> str:
    """Count down, with progress and with every number as output."""
    for number in range(payload.start, 0, -1):
        await ctx.emit(f"{number} ")
        ctx.progress(payload.start - number + 1, payload.start)
        await asyncio.sleep(payload.step_s)
    await ctx.emit("lift-off\n")
    return "lift-off"


class Flaky(BaseModel):
    """How often to fail."""

    failures: int = Field(default=2, ge=0, le=100)


@app.job("flaky")
async def flaky(payload: Flaky, ctx: Context) -> str:
    """Fail at first, as things do."""
    if ctx.attempt <= payload.failures:
        raise ConnectionError(f"attempt {ctx.attempt} fails on purpose")
    return f"succeeded at attempt {ctx.attempt}"
