"""Handlers of the benchmarks."""

from __future__ import annotations

from penstock.worker import Context, Worker

app = Worker(queues=["bench"])


@app.job("bench.noop")
async def noop(payload: bytes) -> None:
    """Does nothing: what is left is the cost of Penstock."""


@app.job("bench.chunks")
async def chunks(payload: int, ctx: Context) -> None:
    """Sends so many chunks of output."""
    for number in range(payload):
        await ctx.emit(f"token {number} ")
