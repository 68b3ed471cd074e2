"""The subscribers of the shop. Each is a job type with retries and dead letters of its own."""

from __future__ import annotations

import asyncio
from typing import Any, Final

from examples.event_bus.bus import app, subscribe

# ruff: noqa: TC001 - the types of handlers are read when they are registered.
from examples.event_bus.events import (
    AnalyticsTrack,
    NotificationSend,
    OrderCreated,
    PaymentCompleted,
)
from examples.event_bus.ledger import Ledger
from penstock.worker import Context

__all__ = ["app"]

_WORK_S: Final = 0.02
"""What a handler takes beside the ledger."""

_OPENS_AT: Final = 3
"""The attempt at which the carrier answers about orders that are flaky."""


@subscribe("order.created", name="stock.reserve")
async def reserve_stock(order: OrderCreated, ctx: Context) -> None:
    """Sets goods aside."""
    await _do(ctx, f"reserved for {order.order_id}")


@subscribe("order.*", name="order.history")
async def keep_history(event: dict[str, Any], ctx: Context) -> None:
    """Keeps whatever happens to orders."""
    assert ctx.message is not None  # noqa: S101 - a subscription's jobs are messages.
    await _do(ctx, f"{ctx.message.topic} {event['order_id']}")


@subscribe("payment.completed", name="order.ship")
async def ship(payment: PaymentCompleted, ctx: Context) -> None:
    """Sends goods off. Some carriers answer at the third attempt only."""
    if payment.order_id.endswith("-flaky") and ctx.attempt < _OPENS_AT:
        raise ConnectionError("the carrier does not answer")
    if payment.order_id.endswith("-lost"):
        raise LookupError(f"nothing is set aside for {payment.order_id}")
    await _do(ctx, f"shipped {payment.order_id}")


@subscribe("notification.send", name="customer.notify")
async def notify(note: NotificationSend, ctx: Context) -> None:
    """Tells a customer."""
    await _do(ctx, f"told {note.to}")


@subscribe("analytics.track", name="analytics.count")
async def count(event: AnalyticsTrack, ctx: Context) -> None:
    """Counts."""
    await _do(ctx, event.what)


async def _do(ctx: Context, what: str) -> None:
    """Has an effect, once for each event, and takes its time for it."""
    assert ctx.message is not None  # noqa: S101 - as above.
    ledger, event_id = await asyncio.to_thread(Ledger), ctx.message.message_id
    with ledger.run(ctx.queue, ctx.job_type, event_id, ctx.attempt):
        await asyncio.sleep(_WORK_S)
        await asyncio.to_thread(ledger.apply, ctx.job_type, event_id, what)
