"""An instance of the shop, which emits events: ``python -m examples.event_bus.shop NAME COUNT``."""

from __future__ import annotations

import argparse
import asyncio

from examples.event_bus.bus import EventBus, set_up
from examples.event_bus.events import (
    AnalyticsTrack,
    Event,
    NotificationSend,
    OrderCreated,
    OrderStatusChanged,
    PaymentCompleted,
)
from penstock.client import AsyncClient

__all__ = ["sell"]


async def sell(bus: EventBus, order_id: str) -> None:
    """Emits all that happens to one order, each event under an id that a repetition shares."""
    order = {"customer_id": "c-7", "shop_id": "s-1"}
    happens: dict[str, Event] = {
        "order.created": OrderCreated(order_id=order_id, total_cents=1990, **order),
        "payment.completed": PaymentCompleted(order_id=order_id, cents=1990),
        "order.status_changed": OrderStatusChanged(
            order_id=order_id, previous_status="new", new_status="paid", changed_by="payments"
        ),
        "notification.send": NotificationSend(to="c-7", text=f"{order_id} is paid"),
        "analytics.track": AnalyticsTrack(what="sale"),
    }
    for event, payload in happens.items():
        await bus.emit(event, payload, event_id=f"{event} {order_id}")


async def main(name: str, orders: int) -> None:
    """Sets the bus up, then sells a number of things, eight at a time."""
    gate = asyncio.Semaphore(8)
    async with AsyncClient(timeout=60) as client, asyncio.TaskGroup() as selling:
        await set_up(client)
        bus = EventBus(client, source=name)

        async def one(number: int) -> None:
            async with gate:
                await sell(bus, f"{name}-{number}")

        for number in range(orders):
            selling.create_task(one(number))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m examples.event_bus.shop")
    parser.add_argument("name", help="of the instance; its event ids begin with it")
    parser.add_argument("count", type=int, help="how many things it sells")
    given = parser.parse_args()
    asyncio.run(main(given.name, given.count))
