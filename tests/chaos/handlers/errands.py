"""The worker of `errands`: the handlers of the chaos run, and a few more that nobody journals."""

from __future__ import annotations

from penstock.worker import Context  # noqa: TC001 - read when handlers are registered.
from tests.chaos.handlers.planned import app

__all__ = ["app"]


@app.job("errand.note")
async def note(number: int) -> int:
    """Ends at once."""
    return number


@app.job("errand.forget")
async def forget(tag: str, ctx: Context) -> None:
    """Has cached results of a tag forgotten."""
    await ctx.invalidate(tags=[tag])


@app.on("errand.*", name="errand.heard", queue="errands")
async def heard(number: int) -> int:
    """Gets every message of the errands."""
    return number
