"""Handlers for `load.every_call`: those of the chaos run, and a few that nobody journals."""

from __future__ import annotations

from penstock.worker import Context  # noqa: TC001 - read when handlers are registered.
from tests.chaos.handlers.planned import app

__all__ = ["app"]


@app.job("call.note")
async def note(number: int) -> int:
    """Ends at once."""
    return number


@app.job("call.forget")
async def forget(tag: str, ctx: Context) -> None:
    """Has cached results of a tag forgotten."""
    await ctx.invalidate(tags=[tag])


@app.on("call.*", name="call.heard", queue="calls")
async def heard(number: int) -> int:
    """Gets every message."""
    return number
