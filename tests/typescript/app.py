"""What the tests of the TypeScript client submit to: `penstock worker tests.typescript.app:app`."""

from __future__ import annotations

import asyncio
from pathlib import Path

from pydantic import BaseModel

from penstock.worker import Context, Worker
from tests.support.waiting import eventually

app = Worker(slots=20)


class Talk(BaseModel):
    """How much to say; each gate, a file, must exist before the chunk of its number is said."""

    chunks: int
    gates: dict[int, Path] = {}


@app.job("talk")
async def talk(payload: Talk, ctx: Context) -> int:
    """Emits numbered chunks, with progress."""
    for number in range(payload.chunks):
        if number in payload.gates:
            await eventually(payload.gates[number].exists, "the gate is open", within_s=60)
        await ctx.emit(str(number))
        ctx.progress(number + 1, payload.chunks, "talking")
    return payload.chunks


@app.job("add")
async def add(terms: list[int]) -> int:
    """The sum of whole numbers."""
    return sum(terms)


@app.job("reverse")
async def reverse(data: bytes) -> bytes:
    """Bytes in, bytes out."""
    return data[::-1]


@app.job("fail")
async def fail(ctx: Context) -> None:
    """Fails always, and says so."""
    ctx.log(f"attempt {ctx.attempt} fails")
    raise ValueError("there is no way")


@app.job("stay")
async def stay(ctx: Context) -> None:
    """Runs until it is cancelled."""
    ctx.progress(0, 1, "here")
    await asyncio.Event().wait()


class Order(BaseModel):
    """What is told of an order."""

    number: int


@app.on("order.*")
async def bill(order: Order, ctx: Context) -> list[object]:
    """Returns what it was given, and what it knows of the message."""
    assert ctx.message is not None
    return [order.number, ctx.message.topic, ctx.message.source]


@app.on("order.created", priority="low")
async def ship(order: Order) -> int:
    """Returns what it was given."""
    return order.number
