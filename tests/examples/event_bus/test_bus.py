"""The bus of the shop: typed events, options of each emit, subscribers that are away."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from examples.event_bus.bus import EventBus, set_up
from examples.event_bus.events import (
    EVENTS,
    LANES,
    AnalyticsTrack,
    NotificationSend,
    OrderCreated,
    PaymentCompleted,
)
from examples.event_bus.ledger import Ledger
from penstock.client import AsyncClient, InvalidRequest, JobState
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from examples.harness.process import Process
    from examples.harness.stack import Stack
    from tests.examples.conftest import EndToEnd

APP = "examples.event_bus.handlers:app"
ORDER = OrderCreated(order_id="o-1", customer_id="c", shop_id="s", total_cents=150)
PAYMENT = PaymentCompleted(order_id="o-1", cents=150)


@pytest.fixture(scope="module")
def ledger_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("shop") / "ledger.sqlite3"


@pytest.fixture(scope="module")
def settings(ledger_path: Path) -> dict[str, str]:
    return {"SHOP_LEDGER": str(ledger_path)}


@pytest.fixture(scope="module")
def worker(stack: Stack) -> Process:
    return stack.start_worker("worker", APP)


@pytest.fixture
def ledger(ledger_path: Path) -> Ledger:
    return Ledger(ledger_path)


@pytest.fixture
async def client(stack: Stack, worker: Process) -> AsyncIterator[AsyncClient]:
    assert worker.is_running
    async with AsyncClient(stack.address) as client:
        await set_up(client)
        await eventually(lambda: _subscribed(client), "the subscriptions are made", within_s=20)
        yield client


@pytest.fixture
def bus(client: AsyncClient) -> EventBus:
    return EventBus(client, source="tests")


async def _subscribed(client: AsyncClient) -> bool:
    return len(await client.subscriptions()) == 5


async def test_every_subscriber_has_a_job_of_its_own(client: AsyncClient, bus: EventBus) -> None:
    published = await bus.emit("order.created", ORDER)
    assert [job.subscription for job in published.jobs] == ["order.history", "stock.reserve"]
    for each in published.jobs:
        job = await client.wait(each.job_id, timeout=20)
        assert job.state is JobState.SUCCEEDED
        assert job.message is not None
        assert job.message.source == "tests"
        assert job.message.message_id == published.message_id


async def test_an_event_emitted_again_is_the_same(ledger: Ledger, bus: EventBus) -> None:
    first = await bus.emit("analytics.track", AnalyticsTrack(what="visit"), event_id="visit-1")
    again = await bus.emit("analytics.track", AnalyticsTrack(what="visit"), event_id="visit-1")
    assert [job.job_id for job in again.jobs] == [job.job_id for job in first.jobs]
    assert all(job.repeated for job in again.jobs)
    await eventually(lambda: ledger.effects().get("analytics.count") == 1, "it is counted once")


@pytest.mark.parametrize("topic", EVENTS)
async def test_each_event_is_on_its_lane(client: AsyncClient, topic: str) -> None:
    (rule,) = [rule for rule in await client.topic_rules() if rule.pattern == topic]
    lane = EVENTS[topic][1]
    assert (rule.queue, rule.priority, rule.attempts) == (lane.queue, lane.priority, lane.attempts)
    policy = (await client.queue_policy(lane.queue)).policy
    assert policy.concurrency == lane.at_once
    assert policy.failed.count == 1_000


async def test_an_emit_has_options_of_its_own(client: AsyncClient, bus: EventBus) -> None:
    note = NotificationSend(to="c", text="hello")
    published = await bus.emit("notification.send", note, priority="LOW", delay=60, attempts=7)
    job = await client.status(published.jobs[0].job_id)
    assert (job.state, job.priority, job.max_attempts) == (JobState.SCHEDULED, "LOW", 7)
    await client.cancel(job.job_id)


async def test_what_keeps_failing_is_a_dead_letter(client: AsyncClient, bus: EventBus) -> None:
    lost = PaymentCompleted(order_id="x-lost", cents=100)
    published = await bus.emit("payment.completed", lost, attempts=1)
    job = await client.wait(published.jobs[0].job_id, timeout=20)
    assert job.state is JobState.FAILED
    assert job.failure is not None
    assert job.failure.type == "LookupError"


async def test_the_wrong_payload_is_stopped_twice(client: AsyncClient, bus: EventBus) -> None:
    with pytest.raises(TypeError, match="carries PaymentCompleted, not OrderCreated"):
        await bus.emit("payment.completed", ORDER)
    before = sum([(await client.queue_stats(lane.queue)).submitted for lane in LANES])
    with pytest.raises(InvalidRequest) as refused:
        await client.publish("payment.completed", {"order_id": "o-1", "cents": "much"})
    assert refused.value.violations
    after = sum([(await client.queue_stats(lane.queue)).submitted for lane in LANES])
    assert after == before, "nothing is stored"


async def test_events_wait_for_a_subscriber_that_is_away(
    stack: Stack, client: AsyncClient, bus: EventBus, worker: Process
) -> None:
    """The last test of the module: its worker is not the one of the others any more."""
    worker.kill()
    published = await bus.emit("payment.completed", PAYMENT, event_id="while away")
    (job,) = published.jobs
    assert (await client.status(job.job_id)).state is JobState.QUEUED
    stack.start_worker("successor", APP)
    assert (await client.wait(job.job_id, timeout=30)).state is JobState.SUCCEEDED


def test_overlapping_runs_are_counted(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger.sqlite3")
    with ledger.run("q", "s", "1", 1), ledger.run("q", "s", "2", 1):
        pass
    with ledger.run("q", "s", "3", 1):
        pass
    assert ledger.most_at_once("q") == 2
    assert ledger.most_at_once("other") == 0


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_whole_run_comes_out_as_planned(end_to_end: EndToEnd) -> None:
    report = end_to_end("event_bus")
    assert report["failed_as_planned"] == 1
