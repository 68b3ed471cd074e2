"""Waiting for jobs, and watching many of them, on a real gateway with a real worker."""

from __future__ import annotations

from collections import defaultdict
from itertools import pairwise
from typing import TYPE_CHECKING

import grpc
import pytest
from pydantic import BaseModel

from penstock.client import (
    AsyncClient,
    Event,
    JobCancelled,
    JobExpired,
    JobFailed,
    JobState,
    NotFound,
    ResultMismatch,
    SnapshotEvent,
    StateEvent,
    Unavailable,
    WaitTimeout,
)
from penstock.v1 import job_pb2, job_service_pb2
from penstock.worker import Context, Worker
from tests.client.scripted import answers, chunk, fails, hangs, snapshot, terminal, writes
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from penstock.client import Job
    from penstock.client.async_client import AsyncCalls
    from penstock.server import Gateway
    from tests.client.conftest import Connect, RunWorker
    from tests.client.scripted import ScriptedGateway

app = Worker()


class Sum(BaseModel):
    total: int


@app.job("sum")
async def add_up(terms: list[int]) -> Sum:
    return Sum(total=sum(terms))


@app.job("raw")
async def raw(payload: bytes) -> bytes:
    return payload[::-1]


@app.job("fail")
async def fail() -> None:
    raise ValueError("no way")


@app.job("count")
async def count(number: int, ctx: Context) -> int:
    for index in range(number):
        await ctx.emit(str(index))
    return number


# Results.


async def test_a_result_is_decoded_or_validated(
    connect: Connect, gateway: Gateway, run_worker: RunWorker
) -> None:
    async def scenario(calls: AsyncCalls) -> None:
        handle = await calls.submit("sum", [1, 2, 3])
        assert await handle.result() == {"total": 6}
        assert await handle.result(Sum) == Sum(total=6)
        job = await handle.wait()
        assert job.done
        assert job.result_bytes == b'{"total":6}'
        assert job.result_as(dict[str, int]) == {"total": 6}
        with pytest.raises(ResultMismatch):
            await handle.result(list[str])

    async with run_worker(app), connect(gateway.address) as client:
        await client(scenario)


async def test_a_result_may_be_bytes(client: AsyncClient, run_worker: RunWorker) -> None:
    async with run_worker(app):
        handle = await client.submit("raw", b"\x00\xff")
        assert await handle.result() == b"\xff\x00"
        assert await handle.result(bytes) == b"\xff\x00"


async def test_a_job_without_a_result_says_why(
    connect: Connect, gateway: Gateway, run_worker: RunWorker
) -> None:
    async def scenario(calls: AsyncCalls) -> None:
        failing = await calls.submit("fail", max_attempts=1)
        with pytest.raises(JobFailed, match="ValueError: no way") as failure:
            await failing.result()
        assert failure.value.job.state is JobState.FAILED
        assert (await failing.wait()).result is None, "wait() raises only if it is asked to"

        waiting = await calls.submit("later", delay=600, allow_unregistered=True)
        await waiting.cancel("changed my mind")
        with pytest.raises(JobCancelled, match="changed my mind"):
            await waiting.result()

        late = await calls.submit("later", delay=600, expires_in=0.05, allow_unregistered=True)
        with pytest.raises(JobExpired, match="its deadline was"):
            await late.wait(raise_on_failure=True)

    async with run_worker(app), connect(gateway.address) as client:
        await client(scenario)


async def test_a_wait_ends_in_time(connect: Connect, gateway: Gateway) -> None:
    async def scenario(calls: AsyncCalls) -> WaitTimeout:
        handle = await calls.submit("later", delay=600, allow_unregistered=True)
        with pytest.raises(WaitTimeout, match="it is SCHEDULED") as over:
            await handle.wait(timeout=0.2)
        return over.value

    async with connect(gateway.address) as client:
        over = await client(scenario)
    assert isinstance(over, TimeoutError)
    assert over.job is not None
    assert over.job.state is JobState.SCHEDULED


async def test_a_wait_asks_again_and_again(connect: Connect, script: ScriptedGateway) -> None:
    queued = job_pb2.Job(job_id="job", state=job_pb2.JOB_STATE_QUEUED)
    done = job_pb2.Job(job_id="job", state=job_pb2.JOB_STATE_SUCCEEDED)
    script.on(
        "WaitJob",
        answers(job_service_pb2.WaitJobResponse(job=queued)),
        *[fails(grpc.StatusCode.UNAVAILABLE)] * 5,
        answers(job_service_pb2.WaitJobResponse(job=queued)),
        answers(job_service_pb2.WaitJobResponse(job=done, done=True)),
    )

    async def scenario(calls: AsyncCalls) -> Job:
        return await calls.wait("job")

    async with connect(script.address) as client:
        assert (await client(scenario)).state is JobState.SUCCEEDED
    assert script.calls("WaitJob") == 8


async def test_a_wait_gives_up_on_a_gateway_that_stays_away(
    connect: Connect, script: ScriptedGateway
) -> None:
    script.on("WaitJob", fails(grpc.StatusCode.UNAVAILABLE))

    async def forever(calls: AsyncCalls) -> None:
        await calls.wait("job")

    async def a_while(calls: AsyncCalls) -> None:
        await calls.wait("job", timeout=0.5)

    async with connect(script.address, reconnect_for=0.5) as client:
        with pytest.raises(Unavailable):
            await client(forever)
    async with connect(script.address) as client:
        with pytest.raises(WaitTimeout, match="could not be asked") as over:
            await client(a_while)
    assert isinstance(over.value.__cause__, Unavailable)


async def test_an_unknown_job_is_not_found(connect: Connect, gateway: Gateway) -> None:
    async def scenario(calls: AsyncCalls) -> None:
        known = await calls.submit("later", delay=600, allow_unregistered=True)
        unknown = known.job_id[:-3] + "zzz"
        for ask in (calls.wait, calls.status, calls.cancel, calls.retry):
            with pytest.raises(NotFound):
                await ask(unknown)
        with pytest.raises(NotFound):
            await anext(calls.watch(unknown))

    async with connect(gateway.address) as client:
        await client(scenario)


# Many watches.


async def test_many_jobs_are_watched_at_once(
    connect: Connect, gateway: Gateway, run_worker: RunWorker
) -> None:
    async def scenario(calls: AsyncCalls) -> dict[str, list[Event]]:
        handles = [await calls.submit("count", number) for number in (0, 5, 10, 15)]
        seen = defaultdict(list)
        watch = calls.watch_many(handle.job_id for handle in handles)
        async for event in watch:
            seen[event.job_id].append(event)
        assert watch.cursors == {
            job_id: events[-1].last_sequence for job_id, events in seen.items()
        }
        return seen

    async with run_worker(app), connect(gateway.address) as client:
        seen = await client(scenario)
    assert [len(events) for events in seen.values()].count(4) == 1
    for events in seen.values():
        assert isinstance(events[0], SnapshotEvent)
        assert isinstance(events[-1], StateEvent)
        assert events[-1].state is JobState.SUCCEEDED
        for before, after in pairwise(events):
            assert after.first_sequence == before.last_sequence + 1


async def test_many_watches_go_on_from_their_cursors(
    connect: Connect, script: ScriptedGateway
) -> None:
    script.on("StreamProgress", writes(snapshot(), *map(chunk, range(1, 9)), terminal(9)))

    async def scenario(calls: AsyncCalls) -> list[tuple[str, int]]:
        return [
            (event.job_id, event.first_sequence)
            async for event in calls.watch_many({"a": 7, "b": 8})
            if not isinstance(event, SnapshotEvent)
        ]

    async with connect(script.address) as client:
        assert sorted(await client(scenario)) == [("a", 8), ("a", 9), ("b", 9)]


async def test_closing_many_watches_ends_every_call(
    connect: Connect, script: ScriptedGateway
) -> None:
    open_calls = 0

    async def until_the_caller_goes(request: object, context: object) -> None:
        nonlocal open_calls
        open_calls += 1
        try:
            await hangs(request, context)  # type: ignore[arg-type]
        finally:
            open_calls -= 1

    script.on("StreamProgress", writes(snapshot(), then=until_the_caller_goes))

    async def scenario(calls: AsyncCalls) -> None:
        async with calls.watch_many("abc") as watch:
            for _ in "abc":
                assert isinstance(await anext(watch), SnapshotEvent)

    async with connect(script.address) as client:
        await client(scenario)
        await eventually(lambda: open_calls == 0, "the gateway sees that the callers are gone")


async def test_one_unknown_job_ends_many_watches(connect: Connect, gateway: Gateway) -> None:
    async def scenario(calls: AsyncCalls) -> None:
        known = await calls.submit("later", delay=600, allow_unregistered=True)
        async for _ in calls.watch_many([known.job_id, known.job_id[:-3] + "zzz"]):
            pass

    async with connect(gateway.address) as client:
        with pytest.raises(NotFound):
            await client(scenario)


async def test_no_jobs_are_watched_in_no_time(client: AsyncClient) -> None:
    assert [event async for event in client.watch_many([])] == []


async def test_a_slow_reader_slows_its_streams(script: ScriptedGateway) -> None:
    """One event of each job is held, and no more."""
    script.on("StreamProgress", writes(snapshot(), *map(chunk, range(1, 99)), terminal(99)))
    async with AsyncClient(script.address) as client, client.watch_many("ab") as watch:
        async for _ in watch:
            ahead = [each.cursor - watch.cursors[each.job_id] for each in watch._watches]
            assert max(ahead) <= 1
