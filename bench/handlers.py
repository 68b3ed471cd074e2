"""Handlers of the benchmarks."""

from __future__ import annotations

from pydantic import BaseModel

from penstock.worker import Context, Worker

app = Worker(queues=["bench"])


class Order(BaseModel):
    """What a no-op job carries: validated by the gateway, and by the worker."""

    order: int
    customer: str
    items: list[int]


@app.job("bench.noop")
async def noop(payload: Order) -> None:
    """Does nothing: what is left is the cost of Penstock."""


@app.job("bench.chunks")
async def chunks(payload: int, ctx: Context) -> None:
    """Sends so many chunks of output."""
    for number in range(payload):
        await ctx.emit(f"token {number} ")
