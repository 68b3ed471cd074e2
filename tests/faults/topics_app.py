"""Three subscriptions to the same messages, each in a queue of its own; each run leaves a line."""

from __future__ import annotations

import asyncio
import os

from penstock.worker import Context, Worker

QUEUES = ("mail", "stock", "audit")

app = Worker(QUEUES, slots=50)


@app.on("order.*", name="order.mail", queue="mail")
async def mail(number: int, ctx: Context) -> int:
    """Takes a moment, so that kills meet it at work."""
    await asyncio.sleep(0.05)
    return note(number, ctx)


@app.on("order.**", name="order.stock", queue="stock", max_attempts=5)
async def stock(number: int, ctx: Context) -> int:
    """As `mail`."""
    await asyncio.sleep(0.1)
    return note(number, ctx)


@app.on("**", name="audit", queue="audit", priority="low")
def audit(number: int) -> int:
    """In a thread."""
    return number


def note(number: int, ctx: Context) -> int:
    """Checks that the message is the one that its payload says."""
    assert ctx.message is not None
    assert ctx.message.message_id == f"order-{number}"
    journal = os.open(os.environ["PENSTOCK_TEST_JOURNAL"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    try:
        os.write(journal, f"{ctx.job_type} {number}\n".encode())
    finally:
        os.close(journal)
    return number
