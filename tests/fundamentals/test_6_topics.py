"""A message is published once, and every subscription that wants it gets a job of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from pydantic import BaseModel

from penstock.client import InvalidRequest, JobFailed
from penstock.worker import Context, Worker

if TYPE_CHECKING:
    from penstock.client import AsyncClient
    from tests.fundamentals.conftest import RunWorker

app = Worker()


class Order(BaseModel):
    """What the messages of the topics tell of."""

    id: int
    total: float


@app.on("order.*", name="order.mail", max_attempts=5)
async def send_mail(order: Order, ctx: Context) -> str:
    """Its payload is typed like any other; the envelope is in the context."""
    assert ctx.message is not None
    return f"{ctx.message.topic} of order {order.id}"


@app.on("order.created", name="order.book", priority="high")
async def book(order: Order) -> float:
    """Another subscription to the same messages, which fails and is retried for itself."""
    if order.total < 0:
        raise ValueError("nobody pays less than nothing")
    return order.total


async def test_every_subscription_gets_a_job_of_its_own(
    client: AsyncClient, run_worker: RunWorker
) -> None:
    async with run_worker(app):
        published = await client.publish("order.created", Order(id=17, total=9.5), source="shop")
        results = {job.subscription: await client.result(job.job_id) for job in published.jobs}
    assert results == {"order.mail": "order.created of order 17", "order.book": 9.5}


async def test_publishing_again_is_safe(client: AsyncClient, run_worker: RunWorker) -> None:
    async with run_worker(app):
        order = Order(id=18, total=1)
        first = await client.publish("order.created", order, message_id="order-18-created")
        again = await client.publish("order.created", order, message_id="order-18-created")
    assert [job.job_id for job in again.jobs] == [job.job_id for job in first.jobs]
    assert all(job.repeated for job in again.jobs)


async def test_a_subscription_collects_jobs_while_its_workers_are_away(
    client: AsyncClient, run_worker: RunWorker
) -> None:
    async with run_worker(app):
        pass  # It has subscribed, and is gone.
    (job,) = (await client.publish("order.paid", Order(id=19, total=2))).jobs
    async with run_worker(app):
        assert await client.result(job.job_id, timeout=10) == "order.paid of order 19"


async def test_one_s_failure_is_nothing_to_the_others(
    client: AsyncClient, run_worker: RunWorker
) -> None:
    async with run_worker(app):
        published = await client.publish("order.created", Order(id=20, total=-1), attempts=1)
        book, mail = published.jobs
        with pytest.raises(JobFailed, match="less than nothing"):
            await client.result(book.job_id)
        assert await client.result(mail.job_id) == "order.created of order 20"


async def test_what_does_not_fit_reaches_nobody(client: AsyncClient, run_worker: RunWorker) -> None:
    async with run_worker(app):
        with pytest.raises(InvalidRequest, match=r"subscription order\.mail"):
            await client.publish("order.created", {"id": "seventeen"})


async def test_a_rule_says_what_holds_for_all(client: AsyncClient) -> None:
    await client.put_topic_rule("order.*", queue="high", attempts=5, schema=Order)
    await client.subscribe("audit", "**")
    (job,) = (await client.publish("order.created", Order(id=21, total=3))).jobs
    assert job.queue == "high"
    with pytest.raises(InvalidRequest, match=r"the rule of order\.\*"):
        await client.publish("order.created", {"id": 22})
