"""The event bus end to end: ``make examples ARGS=event_bus``, or ``python -m examples.event_bus``.

Two instances of the shop sell while no subscriber is up, and while the gateway is killed and comes
back; then two workers work it all off, and one of them is killed on the way. Every subscriber must
have had every event.
"""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING, Final

from examples.event_bus.bus import EventBus, set_up
from examples.event_bus.events import DEFAULT, HIGH, LANES, LOW, PaymentCompleted
from examples.event_bus.ledger import Ledger
from examples.event_bus.shop import sell
from examples.harness.checks import Check
from examples.harness.report import Report
from examples.harness.run import run
from examples.harness.waiting import until
from penstock.client import AsyncClient, InvalidRequest, Job

if TYPE_CHECKING:
    from rich.console import Console

    from examples.harness.process import Process
    from examples.harness.stack import Stack

APP: Final = "examples.event_bus.handlers:app"
LEDGER: Final = "shop.sqlite3"
INSTANCES: Final = 2
ORDERS: Final = 60
#: What each order leads to, by subscription.
PER_ORDER: Final = {
    "analytics.count": 1,
    "customer.notify": 1,
    "order.history": 2,
    "order.ship": 1,
    "stock.reserve": 1,
}
WAIT_S: Final = 90.0


async def play(stack: Stack, console: Console) -> Report:
    """The scenario."""
    ledger = Ledger(stack.folder / LEDGER)
    async with AsyncClient(stack.address, timeout=30) as client:
        await set_up(client)
        await _subscribe(stack, client)
        console.print("subscriptions are made; their worker is stopped again")
        sellers = [
            stack.start(f"shop-{n}", "examples.event_bus.shop", f"shop{n}", str(ORDERS))
            for n in range(INSTANCES)
        ]
        await until("half of it is sold", lambda: _sold(client), at_least=ORDERS * INSTANCES // 2)
        _restart_gateway(stack, console)
        sold = [await asyncio.to_thread(seller.exit_code, WAIT_S) for seller in sellers]
        waiting = await _waiting(client)
        console.print(f"{waiting} jobs wait for their subscribers")
        workers = [_start_worker(stack, f"worker-{n}") for n in (1, 2)]
        jobs = INSTANCES * ORDERS * sum(PER_ORDER.values())
        await until("a third is done", lambda: _effects(ledger), at_least=jobs // 3)
        workers[0].kill()
        console.print(f"killed {workers[0].name}")
        bus = EventBus(client, source="play")
        flaky = await _ship(client, bus, "order-flaky")
        lost = await _ship(client, bus, "order-lost", attempts=2)
        await sell(bus, "shop0-0")  # Its events are known by their ids.
        refused = await _refused(client)
        await until("all is done", lambda: _effects(ledger), at_least=jobs + 1)
        checks = [
            Check("both instances sell on over a gateway that is killed", [0, 0], sold),
            Check("events wait for subscribers that are down", jobs, waiting),
            Check("each subscriber has had each event", _expected(), ledger.effects()),
            Check("an attempt that fails is made again", (3, "SUCCEEDED"), _outcome(flaky)),
            Check("an event's own attempts come first", (2, "FAILED"), _outcome(lost)),
            Check("... and its failure is kept", "LookupError", lost.failure and lost.failure.type),
            Check("else the lane's hold", HIGH.attempts, flaky.max_attempts),
            Check("a payload of another type is refused", ["payload.data"], refused),
            *_limits(ledger),
        ]
        counts = [await client.queue_stats(lane.queue) for lane in LANES]
        checks.append(Check("one failure is kept in all", 1, sum(each.failed for each in counts)))
    return Report(jobs + 2, jobs + 1, 1, checks)


async def _subscribe(stack: Stack, client: AsyncClient) -> None:
    """Runs the subscribers for as long as it takes to make their subscriptions."""
    worker = _start_worker(stack, "worker-0")
    await until("there are subscriptions", lambda: _subscribed(client), at_least=len(PER_ORDER))
    worker.stop()


def _start_worker(stack: Stack, name: str) -> Process:
    return stack.start_worker(name, APP, settings={"SHOP_LEDGER": str(stack.folder / LEDGER)})


def _restart_gateway(stack: Stack, console: Console) -> None:
    stack.gateway.kill()
    console.print("killed the gateway")
    stack.gateway, _ = stack.start_gateway(stack.address)


async def _ship(
    client: AsyncClient, bus: EventBus, order_id: str, attempts: int | None = None
) -> Job:
    """Emits a payment, and waits for what becomes of it."""
    payment = PaymentCompleted(order_id=order_id, cents=500)
    published = await bus.emit("payment.completed", payment, attempts=attempts, priority="HIGH")
    return await client.wait(published.jobs[0].job_id, timeout=WAIT_S)


async def _refused(client: AsyncClient) -> list[str]:
    """The fields that are named when something else is published than the topic carries."""
    try:
        await client.publish("payment.completed", {"order_id": "", "cents": -1})
    except InvalidRequest as error:
        return sorted({each.field.partition("/")[0] for each in error.violations})
    return []


def _outcome(job: Job) -> tuple[int, str]:
    return job.attempt, job.state.value


def _expected() -> dict[str, int]:
    found = {name: count * INSTANCES * ORDERS for name, count in PER_ORDER.items()}
    return found | {"order.ship": found["order.ship"] + 1}


def _limits(ledger: Ledger) -> list[Check]:
    most = {lane.queue: ledger.most_at_once(lane.queue) for lane in (HIGH, DEFAULT, LOW)}
    return [
        Check.that(
            f"at most {lane.at_once} of {lane.queue} run at once ({most[lane.queue]} seen)",
            true=1 <= most[lane.queue] <= lane.at_once,
        )
        for lane in LANES
    ]


async def _subscribed(client: AsyncClient) -> int:
    return len(await client.subscriptions())


async def _waiting(client: AsyncClient) -> int:
    counts = [await client.queue_stats(lane.queue) for lane in LANES]
    return sum(sum(each.waiting.values()) for each in counts)


async def _sold(client: AsyncClient) -> int:
    return await _waiting(client) // sum(PER_ORDER.values())


async def _effects(ledger: Ledger) -> int:
    return sum((await asyncio.to_thread(ledger.effects)).values())


if __name__ == "__main__":
    sys.exit(run("event_bus", "The event bus of a shop.", play, {"PENSTOCK_LEASE_S": "2"}))
