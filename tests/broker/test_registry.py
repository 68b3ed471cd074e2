"""What workers publish: types, versions of their schemas, and that they are alive."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import pytest

from penstock.broker import WorkerInfo
from penstock.broker.registry import FORGOTTEN_AFTER_MS, LIVE_FOR_S, WORKER_TTL_S

if TYPE_CHECKING:
    from penstock.broker import Broker

SCHEMA: Final = {"type": "object", "properties": {"a": {"type": "integer"}}}
NEWER: Final = {"type": "object", "properties": {"a": {"type": "number"}}}
MONTH_S: Final = 30 * 86_400
WORKER: Final = WorkerInfo(
    worker_id="w-1",
    host="here",
    pid=1,
    queues=("q", "other"),
    types=("work",),
    slots=4,
    running=1,
    draining=False,
    started_ms=1,
    heartbeat_ms=2,
)


async def schemas(broker: Broker, name: str) -> list[dict[str, Any] | None]:
    """The live schemas of a type."""
    return [
        await broker.registry.schema(digest) for digest in (await broker.registry.types())[name]
    ]


async def make_old(broker: Broker, name: str, age_s: float) -> None:
    """As if a type had been registered that long ago."""
    types = broker.engine.names.types()
    for field in (await broker.link.call("HGETALL", types))[::2]:
        if field.startswith(name.encode() + b" "):
            await broker.link.call("HSET", types, field, int((time.time() - age_s) * 1000))


async def test_nobody_registered_anything(broker: Broker) -> None:
    await broker.registry.register_types({})
    assert await broker.registry.types() == {}
    assert await broker.registry.workers() == []
    assert await broker.registry.schema("0" * 32) is None
    assert await broker.registry.prune_schemas(MONTH_S) == 0


async def test_a_type_is_known_to_other_processes_with_its_schema(
    broker: Broker, other: Broker
) -> None:
    await broker.registry.register_types({"work": SCHEMA, "anything": {}})
    assert set(await other.registry.types()) == {"work", "anything"}
    assert await schemas(other, "work") == [SCHEMA]
    assert await schemas(other, "anything") == [{}]


async def test_the_same_schema_is_one_version_however_it_is_written(broker: Broker) -> None:
    for _ in range(2):
        await broker.registry.register_types({"work": SCHEMA})
        await broker.registry.register_types({"work": dict(reversed(SCHEMA.items()))})
    assert await schemas(broker, "work") == [SCHEMA]


async def test_while_a_fleet_is_replaced_both_versions_live(broker: Broker) -> None:
    await broker.registry.register_types({"work": SCHEMA})
    await broker.registry.register_types({"work": NEWER})
    assert len(await schemas(broker, "work")) == 2
    await make_old(broker, "work", LIVE_FOR_S + 1)
    await broker.registry.register_types({"work": NEWER})
    assert await schemas(broker, "work") == [NEWER]


async def test_the_newest_version_lives_on_when_the_fleet_is_scaled_to_zero(
    broker: Broker,
) -> None:
    await broker.registry.register_types({"work": SCHEMA})
    await make_old(broker, "work", 30 * 86_400)
    assert await schemas(broker, "work") == [SCHEMA]
    await broker.registry.register_types({"work": NEWER, "other": SCHEMA})
    assert await schemas(broker, "work") == [NEWER]


async def test_a_name_with_a_space_does_no_harm(broker: Broker) -> None:
    await broker.registry.register_types({"two words": SCHEMA, "work": SCHEMA})
    assert set(await broker.registry.types()) == {"two words", "work"}


async def stored(broker: Broker) -> tuple[int, int]:
    """How many versions of types are stored, and how many schemas."""
    names = broker.engine.names
    return (
        await broker.link.call("HLEN", names.types()),
        await broker.link.call("HLEN", names.schemas()),
    )


async def test_versions_that_nobody_publishes_any_more_are_forgotten(broker: Broker) -> None:
    await broker.registry.register_types({"work": SCHEMA, "two words": SCHEMA})
    await make_old(broker, "work", MONTH_S + 60)
    await broker.registry.register_types({"work": NEWER})
    # The other type has the same schema.
    assert await broker.registry.prune_schemas(MONTH_S) == 1
    assert await stored(broker) == (2, 2)
    await make_old(broker, "two words", MONTH_S + 60)
    await broker.registry.register_types({"two words": {}})
    assert await broker.registry.prune_schemas(MONTH_S) == 1
    assert await stored(broker) == (2, 2)
    assert await schemas(broker, "work") == [NEWER]
    assert await schemas(broker, "two words") == [{}]
    assert await broker.registry.prune_schemas(MONTH_S) == 0


async def test_the_newest_version_is_never_forgotten(broker: Broker) -> None:
    await broker.registry.register_types({"work": SCHEMA})
    await make_old(broker, "work", 3 * MONTH_S)
    await broker.registry.register_types({"work": NEWER})
    assert await broker.registry.prune_schemas(3 * MONTH_S + 60) == 0
    flat = await broker.link.call("HGETALL", broker.engine.names.types())
    newest = max(zip(flat[1::2], flat[::2], strict=True))[1]
    two_months_ago_ms = int((time.time() - 2 * MONTH_S) * 1000)
    await broker.link.call("HSET", broker.engine.names.types(), newest, two_months_ago_ms)
    assert await broker.registry.prune_schemas(MONTH_S) == 1
    assert await schemas(broker, "work") == [NEWER]
    assert await stored(broker) == (1, 1)


# Workers.


async def test_a_worker_is_listed_as_it_last_reported(broker: Broker, other: Broker) -> None:
    await broker.registry.heartbeat(WORKER)
    later = replace(WORKER, running=3, draining=True, heartbeat_ms=9)
    await broker.registry.heartbeat(later)
    assert await other.registry.workers() == [later]
    ttl_ms = await broker.link.call("PTTL", broker.engine.names.worker("w-1"))
    assert 0 < ttl_ms <= WORKER_TTL_S * 1000


async def test_workers_are_listed_by_queue_and_in_the_order_of_their_ids(broker: Broker) -> None:
    for worker_id, queues in (("w-3", ("q",)), ("w-2", ("other",)), ("w-1", ("q", "other"))):
        await broker.registry.heartbeat(replace(WORKER, worker_id=worker_id, queues=queues))

    async def listed(queue: str) -> list[str]:
        return [worker.worker_id for worker in await broker.registry.workers(queue)]

    assert await listed("") == ["w-1", "w-2", "w-3"]
    assert await listed("q") == ["w-1", "w-3"]
    assert await listed("unheard of") == []


@pytest.mark.parametrize("how", ["stopped", "vanished"])
async def test_a_worker_that_is_gone_is_not_listed(broker: Broker, how: str) -> None:
    await broker.registry.heartbeat(WORKER)
    if how == "stopped":
        await broker.registry.forget_worker("w-1")
    else:
        await broker.link.call("DEL", broker.engine.names.worker("w-1"))  # As its TTL does.
    assert await broker.registry.workers() == []
    assert await broker.link.call("EXISTS", broker.engine.names.workers()) == 0


async def test_the_list_does_not_grow_while_nobody_reads_it(broker: Broker) -> None:
    now_ms = int(time.time() * 1000)
    for number in range(50):
        old = replace(WORKER, worker_id=f"old-{number}", heartbeat_ms=now_ms - FORGOTTEN_AFTER_MS)
        await broker.registry.heartbeat(old)
    await broker.registry.heartbeat(replace(WORKER, heartbeat_ms=now_ms + 1))
    assert await broker.link.call("ZCARD", broker.engine.names.workers()) == 1
