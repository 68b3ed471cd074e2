"""Topics through both clients, on a real gateway with a worker, and on one that fails."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

import grpc
import pytest
from pydantic import BaseModel

from penstock.client import (
    AlreadyExists,
    Backoff,
    DeadlineExceeded,
    InvalidRequest,
    JobState,
    MessageInfo,
    Priority,
    Subscription,
    TopicRule,
    Unavailable,
)
from penstock.v1 import topic_service_pb2 as pb
from penstock.worker import Context, Worker
from tests.client.scripted import answers, fails

if TYPE_CHECKING:
    from penstock.client import AsyncClient
    from penstock.client.async_client import AsyncCalls
    from penstock.server import Gateway
    from tests.client.conftest import Connect, RunWorker
    from tests.client.scripted import ScriptedGateway


class Order(BaseModel):
    id: int


app = Worker()


@app.on("order.*", name="mail")
async def mail(order: Order, ctx: Context) -> list[object]:
    assert ctx.message is not None
    return [order.id, ctx.message.topic, ctx.message.message_id]


@app.on("order.created", name="stock", priority="high", max_attempts=5)
async def stock(order: Order) -> int:
    return order.id


TIME: Final = datetime(2020, 1, 31, 18, tzinfo=UTC)


async def test_a_message_is_published_and_handled_by_each(
    connect: Connect, gateway: Gateway, run_worker: RunWorker
) -> None:
    async def scenario(calls: AsyncCalls) -> None:
        published = await calls.publish(
            "order.created", Order(id=17), message_id="m-1", source="shop", time=TIME
        )
        assert (published.message_id, published.topic) == ("m-1", "order.created")
        first, second = published.jobs
        assert (first.subscription, first.queue, first.repeated) == ("mail", "default", False)
        assert await calls.result(first.job_id) == [17, "order.created", "m-1"]
        job = await calls.wait(second.job_id)
        assert (job.state, job.priority, job.max_attempts) == (
            JobState.SUCCEEDED,
            Priority.HIGH,
            5,
        )
        assert job.message == MessageInfo("m-1", "order.created", TIME, "shop")
        again = await calls.publish("order.created", Order(id=17), message_id="m-1")
        assert [each.job_id for each in again.jobs] == [first.job_id, second.job_id]
        assert all(each.repeated for each in again.jobs)
        with pytest.raises(AlreadyExists) as refusal:
            await calls.publish("order.created", {"id": 18}, message_id="m-1")
        assert refusal.value.reason == "MESSAGE_ID_REUSED"
        with pytest.raises(InvalidRequest) as bad:
            await calls.publish("order.created", {"id": "x"})
        whose = {each.description.partition(":")[0] for each in bad.value.violations}
        assert whose == {"subscription mail", "subscription stock"}

    async with run_worker(app), connect(gateway.address) as client:
        await client(scenario)


async def test_what_is_given_goes_to_every_job(connect: Connect, gateway: Gateway) -> None:
    async def scenario(calls: AsyncCalls) -> None:
        await calls.subscribe("mail", "order.*", queue="q", priority="high", attempts=9)
        published = await calls.publish(
            "order.created",
            priority="low",
            delay=timedelta(hours=1),
            attempts=2,
            metadata={"traceparent": "00-1"},
        )
        (each,) = published.jobs
        job = await calls.status(each.job_id)
        assert (job.state, job.priority, job.max_attempts, job.queue) == (
            JobState.SCHEDULED,
            Priority.LOW,
            2,
            "q",
        )
        assert job.metadata == {"traceparent": "00-1"}
        assert job.message is not None
        assert job.message.source == ""

    async with connect(gateway.address) as client:
        await client(scenario)


async def test_ids_are_drawn_where_none_is_given(connect: Connect, gateway: Gateway) -> None:
    async def scenario(calls: AsyncCalls) -> None:
        ids = {(await calls.publish("a")).message_id for _ in range(3)}
        assert len(ids) == 3

    async with connect(gateway.address) as client:
        await client(scenario)


async def test_subscriptions_come_and_go(connect: Connect, gateway: Gateway) -> None:
    async def scenario(calls: AsyncCalls) -> None:
        made = await calls.subscribe("mail", "order.*", priority=Priority.LOW, attempts=4)
        assert made.create_time is not None
        expected = Subscription("mail", "order.*", "", Priority.LOW, 4, made.create_time)
        assert made == expected
        await calls.subscribe("all", "**")
        assert [each.name for each in await calls.subscriptions()] == ["all", "mail"]
        assert [each.name for each in await calls.subscriptions("payment.done")] == ["all"]
        assert await calls.unsubscribe("all")
        assert not await calls.unsubscribe("all")
        assert await calls.subscriptions() == (made,)
        assert (await calls.subscribe("mail", "x")).priority is None

    async with connect(gateway.address) as client:
        await client(scenario)


async def test_rules_come_and_go(connect: Connect, gateway: Gateway) -> None:
    async def scenario(calls: AsyncCalls) -> None:
        backoff = Backoff(timedelta(seconds=1), timedelta(seconds=9), 3.0, 0.5)
        made = await calls.put_topic_rule(
            "order.*",
            queue="high",
            priority="HIGH",
            attempts=5,
            backoff=backoff,
            retention=60,
            schema=Order,
        )
        assert made == TopicRule(
            "order.*",
            "high",
            Priority.HIGH,
            5,
            backoff,
            timedelta(seconds=60),
            Order.model_json_schema(),
            made.create_time,
        )
        plain = await calls.put_topic_rule("**", schema={"type": "object"})
        assert plain.schema == {"type": "object"}
        assert await calls.topic_rules() == (plain, made)
        assert await calls.topic_rules("order.created") == (made, plain)
        with pytest.raises(InvalidRequest, match="rule of order"):
            await calls.publish("order.created", {"id": "x"})
        assert await calls.delete_topic_rule("order.*")
        assert not await calls.delete_topic_rule("order.*")

    async with connect(gateway.address) as client:
        await client(scenario)


@pytest.mark.parametrize(
    ("options", "fields"),
    [
        ({"topic": "a*"}, {"topic"}),
        ({"delay": float("nan")}, {"delay"}),
        ({"priority": "urgent"}, {"priority"}),
        ({"time": datetime(2030, 1, 1)}, {"time"}),  # noqa: DTZ001 - that is the point.
        ({"payload": object()}, {"payload"}),
        ({"attempts": 101, "source": "\n"}, {"max_attempts", "source"}),
    ],
)
async def test_what_is_wrong_is_named_as_the_contract_does(
    client: AsyncClient, options: dict[str, Any], fields: set[str]
) -> None:
    with pytest.raises(InvalidRequest) as refusal:
        await client.publish(**{"topic": "a", **options})
    assert {each.field for each in refusal.value.violations} == fields


async def test_rules_and_subscriptions_are_checked_alike(client: AsyncClient) -> None:
    with pytest.raises(InvalidRequest, match=r"subscription\.priority"):
        await client.subscribe("a", "a", priority="urgent")
    with pytest.raises(InvalidRequest, match=r"rule\.backoff\.initial"):
        await client.put_topic_rule("a", backoff=Backoff(float("inf")))
    with pytest.raises(InvalidRequest, match=r"rule\.json_schema"):
        await client.put_topic_rule("a", schema={"type": "colour"})


async def test_a_publish_is_repeated_under_its_id(
    connect: Connect, script: ScriptedGateway
) -> None:
    script.on("Publish", fails(grpc.StatusCode.UNAVAILABLE), answers(pb.PublishResponse()))

    async def scenario(calls: AsyncCalls) -> None:
        await calls.publish("a", 1)

    async with connect(script.address) as client:
        await client(scenario)
    assert len(script.requests["Publish"]) == 2
    assert len({request.message_id for request in script.requests["Publish"]}) == 1


async def test_a_publish_that_is_not_settled_says_how_to_settle_it(
    connect: Connect, script: ScriptedGateway
) -> None:
    script.on("Publish", fails(grpc.StatusCode.UNAVAILABLE))

    async def scenario(calls: AsyncCalls) -> None:
        with pytest.raises((Unavailable, DeadlineExceeded)) as failure:
            await calls.publish("a", 1, message_id="m-1", rpc_timeout=2)
        assert "message_id='m-1'" in failure.value.__notes__[0]

    async with connect(script.address) as client:
        await client(scenario)
