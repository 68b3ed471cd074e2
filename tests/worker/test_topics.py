"""Handlers of topics: what they subscribe to, what they are told, and what waits for them."""

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from penstock.broker import Content, Message, NewMessage, Priority, Subscription
from penstock.broker.topic import job_of
from penstock.worker import Context, HandlerDefinitionError, SyncContext, Worker
from tests.support.waiting import eventually
from tests.worker import apps
from tests.worker.rig import Rig

if TYPE_CHECKING:
    from collections.abc import Callable

TIME_MS = 1_700_000_000_250
TIME = datetime.fromtimestamp(TIME_MS / 1000, UTC)


async def publish(rig: Rig, topic: str, payload: object, message_id: str = "m-1") -> list[str]:
    """As a gateway does; ids of the jobs, by the names of their subscriptions."""
    route = (await rig.broker.topics.directory()).route(topic)
    envelope = Message(message_id, topic, TIME_MS, "shop")
    message = NewMessage(envelope, Content(json.dumps(payload).encode()))
    jobs = [job_of(message, subscription, route.rule) for subscription in route.subscriptions]
    return [each.receipt.job_id for each in await rig.broker.topics.publish(jobs)]


async def test_handlers_of_each_kind_learn_of_the_message(rig: Rig) -> None:
    app = Worker()

    @app.on("order.*")
    async def on_loop(payload: dict[str, int], ctx: Context) -> list[object]:
        message = ctx.message
        assert message is not None
        assert message.time == TIME
        return [payload["id"], message.message_id, message.topic, message.source]

    @app.on("order.created", name="thread")
    def in_thread(ctx: SyncContext) -> str:
        assert ctx.message is not None
        return ctx.message.topic

    async with rig.working(app):
        first, second = await publish(rig, "order.created", {"id": 17})
        assert await rig.result(first) == [17, "m-1", "order.created", "shop"]
        assert await rig.result(second) == "order.created"


async def test_a_child_process_learns_of_the_message(rig: Rig) -> None:
    async with rig.working(apps.bus):
        (job_id,) = await publish(rig, "order.created", {"id": 17})
        assert await rig.result(job_id) == ["m-1", "order.created", TIME.isoformat(), "shop"]


async def test_a_job_of_another_origin_has_no_message(rig: Rig) -> None:
    app = Worker()

    @app.on("order.*", name="mail")
    async def mail(ctx: Context) -> bool:
        return ctx.message is None

    async with rig.working(app):
        assert await rig.result(await rig.submit("mail")) is True


async def test_a_subscription_is_as_the_worker_says(rig: Rig) -> None:
    app = Worker("side")

    @app.on("order.**", name="mail", queue="side", priority="high", max_attempts=5)
    async def mail() -> None: ...

    async with rig.working(app):
        (found,) = (await rig.broker.topics.directory()).subscriptions
        expected = Subscription("mail", "order.**", "side", Priority.HIGH, 5, found.created_ms)
        assert found == expected
        assert set(await rig.broker.registry.types()) == {"mail"}


async def test_a_subscription_collects_jobs_while_its_workers_are_away(rig: Rig) -> None:
    app = Worker()

    @app.on("order.*", name="mail")
    async def mail(payload: int) -> int:
        return payload

    async with rig.working(app):
        pass
    waiting = [
        job_id
        for number in range(5)
        for job_id in await publish(rig, "order.created", number, f"m-{number}")
    ]
    assert len(waiting) == 5
    async with rig.working(app):
        assert [await rig.result(job_id) for job_id in waiting] == list(range(5))


async def test_workers_that_start_again_change_nothing(rig: Rig) -> None:
    async with rig.working(apps.bus):
        before = await rig.broker.topics.directory()
    async with rig.working(apps.bus), rig.working(apps.bus):
        assert await rig.broker.topics.directory() is before


async def test_a_subscription_that_was_deleted_stays_so_while_workers_run(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("penstock.worker.presence.HEARTBEAT_EVERY_S", 0.02)
    async with rig.working(apps.bus):
        await rig.broker.topics.unsubscribe("bus.child")
        (worker,) = await rig.broker.registry.workers()

        async def told_again() -> bool:
            (later,) = await rig.broker.registry.workers()
            return later.heartbeat_ms > worker.heartbeat_ms + 50

        await eventually(told_again, "the worker has said several times that it is there")
        assert not (await rig.broker.topics.directory()).subscriptions
    async with rig.working(apps.bus):
        assert (await rig.broker.topics.directory()).subscriptions


async def test_a_subscription_that_the_server_lost_is_made_again(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after a crash of a server that had not written it to its disk yet."""
    monkeypatch.setattr("penstock.worker.presence.HEARTBEAT_EVERY_S", 0.02)
    async with rig.working(apps.bus):
        await rig.broker.link.call("DEL", rig.broker.engine.names.subscriptions())

        async def there() -> bool:
            return bool((await rig.broker.topics.directory()).subscriptions)

        await eventually(there, "the subscription is there again")


async def test_types_that_the_server_lost_are_registered_again(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("penstock.worker.presence.HEARTBEAT_EVERY_S", 0.02)
    async with rig.working(apps.bus):
        known = await rig.broker.registry.types()
        await _lose_types(rig)
        await eventually(rig.broker.registry.types, "a type is known again")
        assert await rig.broker.registry.types() == known


async def test_a_worker_that_reconnects_registers_at_once(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("penstock.worker.presence.HEARTBEAT_EVERY_S", 3_600.0)
    async with rig.working(apps.bus):
        await _lose_types(rig)
        await rig.broker.link.call("CLIENT", "KILL", "TYPE", "normal")
        await eventually(rig.broker.registry.types, "a type is known again", within_s=30)


async def _lose_types(rig: Rig) -> None:
    names = rig.broker.engine.names
    await rig.broker.link.call("DEL", names.types(), names.schemas())


async def test_each_worker_makes_his_again_whoever_comes_first(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server lost all, and the others' new subscriptions have raised the version since."""
    monkeypatch.setattr("penstock.worker.presence.HEARTBEAT_EVERY_S", 0.02)
    async with rig.working(apps.bus):
        lost = await rig.broker.topics.directory()
        # In one step, so that no worker looks in between.
        await rig.broker.link.call(
            "EVAL",
            "redis.call('DEL', KEYS[1]) redis.call('HSET', KEYS[1], '#', ARGV[1])",
            1,
            rig.broker.engine.names.subscriptions(),
            lost.changed_at + 1_000_000,
        )

        async def there() -> bool:
            found = (await rig.broker.topics.directory()).subscriptions
            return [each.name for each in found] == ["bus.child"]

        await eventually(there, "the subscription is there again")


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"pattern": "a*"}, "whole segments"),
        ({"pattern": ""}, "must not be empty"),
        ({"pattern": "**.a"}, "last segment"),
        ({"queue": "{"}, "queue"),
        ({"priority": "urgent"}, "no priority"),
        ({"max_attempts": 0}, "max_attempts"),
        ({"max_attempts": 101}, "max_attempts"),
        ({"name": "order.*"}, "job type"),
        ({"name": "taken"}, "already"),
        ({"timeout": -1}, "timeout"),
        ({"mode": "process"}, "top"),
    ],
)
def test_what_cannot_be_subscribed_is_told_at_once(options: dict[str, Any], why: str) -> None:
    app = Worker()

    @app.job("taken")
    def taken() -> None: ...

    def handler() -> None: ...

    register: Callable[..., Any] = app.on
    with pytest.raises(HandlerDefinitionError, match=why):
        register(**{"pattern": "a", **options})(handler)
    assert not app.subscriptions
    assert set(app.handlers) == {"taken"}


def test_a_function_that_has_no_name_needs_one() -> None:
    with pytest.raises(HandlerDefinitionError, match="job type"):
        Worker().on("a")(lambda: None)
