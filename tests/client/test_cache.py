"""The result cache, as both clients use it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import grpc
import pytest

from penstock.client import (
    AsyncClient,
    CachePolicy,
    Client,
    InvalidRequest,
    JobState,
    NewJob,
    ResultMismatch,
    SubmitOutcome,
    Unavailable,
)
from penstock.worker import Worker
from tests.client.scripted import fails

if TYPE_CHECKING:
    from penstock.client.async_client import AsyncCalls
    from penstock.server import Gateway
    from tests.client.conftest import Connect, RunWorker
    from tests.client.scripted import ScriptedGateway

CREATED, JOINED, CACHED = SubmitOutcome.CREATED, SubmitOutcome.JOINED, SubmitOutcome.CACHED

app = Worker()


@app.job("double")
async def double(number: int) -> int:
    return number * 2


async def test_what_became_of_a_submit_is_told(
    connect: Connect, gateway: Gateway, run_worker: RunWorker
) -> None:
    async def scenario(calls: AsyncCalls) -> None:
        policy = CachePolicy(60, tags=["numbers"])
        first = await calls.submit("double", 4, cache=policy)
        assert first.outcome is CREATED
        assert await first.result(timeout=10) == 8
        hit = await calls.submit("double", 4, cache=policy, retention=30)
        assert hit.outcome is CACHED
        assert calls.handle(hit.job_id).outcome is None
        assert hit.submitted is not None
        assert hit.submitted.result_content is not None, "the receipt tells it along"
        assert await hit.result() == await hit.result(int) == 8
        with pytest.raises(ResultMismatch):
            await hit.result(list[str])
        job = await hit.status()
        assert (job.state, job.cached_from, job.result) == (JobState.SUCCEEDED, first.job_id, 8)
        assert [type(event).__name__ async for event in hit.watch()] == [
            "SnapshotEvent",
            "StateEvent",
        ]
        skipped = CachePolicy(60, tags=["numbers"], skip_cache=True)
        assert (await calls.submit("double", 4, cache=skipped)).outcome is CREATED
        stats = await calls.queue_stats("default")
        assert (stats.cache_hits, stats.cache_misses) == (1, 1)

    async with run_worker(app), connect(gateway.address) as client:
        await client(scenario)


@pytest.mark.parametrize(
    "named",
    [
        {"type": "double"},
        {"type": "double", "payload": {"a": 1, "b": [2.5]}},
        {"tags": ["numbers", "other"]},
        {"tags": {"numbers"}, "type": "elsewhere", "key": "k"},
    ],
    ids=["type", "payload", "tag", "tag and key"],
)
async def test_an_invalidation_reaches_what_it_names(
    connect: Connect, gateway: Gateway, named: dict[str, Any]
) -> None:
    async def scenario(calls: AsyncCalls) -> None:
        job: dict[str, Any] = {
            "type": "double",
            "cache": CachePolicy(60, tags=["numbers"]),
            "allow_unregistered": True,
        }
        await calls.submit(payload={"b": [2.5], "a": 1}, **job)
        await calls.invalidate("double", payload={"a": 1, "b": 2})
        joined = await calls.submit(payload={"a": 1, "b": [2.5]}, **job)
        assert joined.outcome is JOINED
        await calls.invalidate(**named)
        assert (await calls.submit(payload={"a": 1, "b": [2.5]}, **job)).outcome is CREATED

    async with connect(gateway.address) as client:
        await client(scenario)


async def test_a_key_and_bytes_name_work_too(client: AsyncClient) -> None:
    by_key = NewJob("t", b"1", cache=CachePolicy(60, key="k"), allow_unregistered=True)
    by_bytes = NewJob("t", b"2", cache_ttl=60, content_type="image/png", allow_unregistered=True)

    async def outcomes() -> list[SubmitOutcome | None]:
        handles = await client.submit_many([by_key, by_bytes])
        return [handle.outcome for handle in handles if not isinstance(handle, Exception)]

    assert await outcomes() == [CREATED, CREATED]
    await client.invalidate("t", key="k")
    assert await outcomes() == [CREATED, JOINED]
    await client.invalidate("t", b"2", content_type="image/png")
    assert await outcomes() == [JOINED, CREATED]


async def test_the_blocking_client_has_it_all(gateway: Gateway) -> None:
    await asyncio.to_thread(_use_blocking_client, gateway.address)


def _use_blocking_client(address: str) -> None:
    with Client(address) as client:
        first = client.submit("t", 1, cache_ttl=60, allow_unregistered=True)
        second = client.submit("t", 1, cache_ttl=60, allow_unregistered=True)
        assert (first.outcome, second.outcome) == (CREATED, JOINED)
        client.invalidate("t", 1)
        assert client.submit("t", 1, cache_ttl=60, allow_unregistered=True).outcome is CREATED


async def test_what_the_gateway_refuses_names_the_field(client: AsyncClient) -> None:
    with pytest.raises(InvalidRequest) as refusal:
        await client.submit("t", 1, cache_ttl=0.5, idempotency_key="k", delay=1)
    assert {violation.field for violation in refusal.value.violations} == {
        "job.options.cache.ttl",
        "job.options.idempotency_key",
        "job.options.delay",
    }
    with pytest.raises(InvalidRequest, match="targets"):
        await client.invalidate()


@pytest.mark.parametrize(
    ("named", "what"),
    [
        ({"payload": 1}, "type: it must be given"),
        ({"key": "k"}, "type: it must be given"),
        ({"type": "t", "payload": 1, "key": "k"}, "key: the payload is given"),
        ({"type": "t", "payload": object()}, "cannot be written as JSON"),
    ],
)
async def test_what_names_no_work_is_refused_here(
    client: AsyncClient, named: dict[str, Any], what: str
) -> None:
    with pytest.raises(InvalidRequest, match=what):
        await client.invalidate(**named)


@pytest.mark.parametrize("tags", ["numbers", [1]])
async def test_a_string_is_no_list_of_tags(client: AsyncClient, tags: Any) -> None:  # noqa: ANN401 - wrong on purpose.
    with pytest.raises(TypeError, match="tags takes strings in a list"):
        CachePolicy(60, tags=tags)
    with pytest.raises(TypeError, match="tags takes strings in a list"):
        await client.invalidate(tags=tags)


def test_tags_may_be_any_iterable() -> None:
    policy = CachePolicy(60, tags=(str(number) for number in range(2)))
    assert policy == CachePolicy(60, tags=["0", "1"])


async def test_an_invalidation_is_repeated_while_the_gateway_is_away(
    connect: Connect, script: ScriptedGateway
) -> None:
    script.on("InvalidateCache", fails(grpc.StatusCode.UNAVAILABLE))

    async def scenario(calls: AsyncCalls) -> None:
        await calls.invalidate(tags=["t"], rpc_timeout=1.5)

    async with connect(script.address) as client:
        with pytest.raises(Unavailable):
            await client(scenario)
    assert script.calls("InvalidateCache") > 1
