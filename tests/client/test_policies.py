"""Policies through both clients, on a real gateway."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

import pytest

from penstock.client import (
    Backoff,
    ConcurrencyLimit,
    EffectivePolicy,
    HoldReason,
    InvalidRequest,
    Keep,
    Policy,
    PolicySource,
    Priority,
    QueuePolicy,
)
from penstock.worker import Worker
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from penstock.client import AsyncClient
    from penstock.client.async_client import AsyncCalls
    from penstock.server import Gateway
    from tests.client.conftest import Connect, RunWorker

BACKOFF: Final = Backoff(timedelta(seconds=2), timedelta(seconds=60), 3.0, 0.0)


async def test_a_policy_is_put_down_looked_at_and_taken_back(
    connect: Connect, gateway: Gateway
) -> None:
    async def scenario(calls: AsyncCalls) -> None:
        of_queue = await calls.set_queue_policy(
            "mail",
            max_attempts=5,
            backoff=BACKOFF,
            timeout=30,
            priority="high",
            concurrency=10,
            succeeded=Keep(age=0, count=0),
            failed=Keep(age=timedelta(days=7), count=1_000),
            max_waiting=50,
        )
        policy = Policy(
            5,
            BACKOFF,
            timedelta(seconds=30),
            Priority.HIGH,
            10,
            Keep(timedelta(), 0),
            Keep(timedelta(days=7), 1_000),
            50,
        )
        assert of_queue == QueuePolicy("mail", "", policy, PolicySource.SET)
        of_type = await calls.set_queue_policy("mail", "mail.send", max_attempts=9)
        assert await calls.queue_policies() == (of_queue, of_type)
        assert await calls.queue_policies("mail") == (of_queue, of_type)
        assert await calls.queue_policies("default") == ()
        held = await calls.queue_policy("mail", "mail.send")
        assert held.sources == (of_type, of_queue)
        assert (held.policy.max_attempts, held.policy.timeout) == (9, timedelta(seconds=30))
        # Limits are no choices: those of the queue are not taken over by the type.
        assert (held.policy.concurrency, held.policy.failed) == (None, Keep(timedelta(days=7)))
        assert await calls.queue_policy() == EffectivePolicy(Policy(), ())
        assert await calls.delete_queue_policy("mail", "mail.send")
        assert not await calls.delete_queue_policy("mail", "mail.send")
        assert await calls.queue_policy("mail") == EffectivePolicy(policy, (of_queue,))

    async with connect(gateway.address) as client:
        await client(scenario)


async def test_a_policy_holds_for_what_a_submit_leaves_open(
    connect: Connect, gateway: Gateway
) -> None:
    async def scenario(calls: AsyncCalls) -> None:
        await calls.set_queue_policy("mail", max_attempts=5, priority=Priority.LOW)
        handle = await calls.submit("t", queue="mail", priority="high", allow_unregistered=True)
        job = await handle.status()
        assert (job.max_attempts, job.priority) == (5, Priority.HIGH)

    async with connect(gateway.address) as client:
        await client(scenario)


async def test_limits_and_who_is_held_by_them_are_shown(
    connect: Connect, gateway: Gateway, run_worker: RunWorker
) -> None:
    app = Worker(slots=4)
    go_on = asyncio.Event()

    @app.job("report.make")
    async def make() -> None:
        await go_on.wait()

    async def submit_two(calls: AsyncCalls) -> list[str]:
        await calls.set_queue_policy("default", concurrency=3)
        await calls.set_queue_policy("default", "report.make", concurrency=1)
        return [(await calls.submit("report.make")).job_id for _ in range(2)]

    async def look(calls: AsyncCalls) -> None:
        stats = await calls.queue_stats()
        assert (stats.held, stats.running, stats.waiting[Priority.DEFAULT]) == (1, 1, 1)
        assert stats.limits == (
            ConcurrencyLimit("", 3, 1, 0),
            ConcurrencyLimit("report.make", 1, 1, 1),
        )

    async with run_worker(app), connect(gateway.address) as client:
        _, second = await client(submit_two)

        async def held() -> bool:
            status = await client(lambda calls: calls.status(second))
            return status.hold_reason is HoldReason.TYPE_CONCURRENCY

        await eventually(held, "the second is held")
        await client(look)
        go_on.set()


@pytest.mark.parametrize(
    ("policy", "fields"),
    [
        ({"queue": ""}, {"queue"}),
        ({"type": "a b", "max_attempts": 101}, {"type", "policy.max_attempts"}),
        ({"timeout": 0, "failed": Keep(-1)}, {"policy.timeout", "policy.failed.age"}),
        (
            {"timeout": float("nan"), "priority": "urgent", "succeeded": Keep(float("inf"))},
            {"policy.timeout", "policy.priority", "policy.succeeded.age"},
        ),
        (
            {"concurrency": -1, "failed": Keep(count=-1)},
            {"policy.concurrency", "policy.failed.count"},
        ),
        ({"backoff": Backoff(max=float("inf"))}, {"policy.backoff.max"}),
    ],
)
async def test_what_is_wrong_is_named_as_the_contract_does(
    client: AsyncClient, policy: dict[str, Any], fields: set[str]
) -> None:
    with pytest.raises(InvalidRequest) as refusal:
        await client.set_queue_policy(**{"queue": "mail", **policy})
    assert {each.field for each in refusal.value.violations} == fields


@pytest.mark.parametrize(
    ("name", "value", "takes"),
    [
        ("backoff", 2, "Backoff"),
        ("concurrency", 1.5, "whole number"),
        ("failed.count", Keep(count="7"), "whole number"),  # type: ignore[arg-type]
        ("failed.age", Keep("7d"), "timedelta"),  # type: ignore[arg-type]
        ("max_attempts", "3", "whole number"),
        ("succeeded", 60, "Keep"),
        ("timeout", "1m", "timedelta"),
    ],
)
async def test_an_argument_of_a_wrong_type_is_named(
    client: AsyncClient, name: str, value: object, takes: str
) -> None:
    options: dict[str, Any] = {name.partition(".")[0]: value}
    with pytest.raises(TypeError, match=f"{name} takes .*{takes}"):
        await client.set_queue_policy("mail", **options)
