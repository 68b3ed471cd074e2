"""The blocking client is the async one, borrowed: whole, typed, and without an event loop."""

from __future__ import annotations

import ast
import asyncio
import inspect
import threading
from pathlib import Path
from typing import TYPE_CHECKING, assert_type

import pytest

import penstock.client
from penstock.client import (
    AsyncClient,
    AsyncJobHandle,
    AsyncMergedWatch,
    AsyncWatch,
    Client,
    Event,
    Job,
    JobHandle,
    JobState,
    MergedWatch,
    NewJob,
    PenstockError,
    QueueStats,
    StateEvent,
    Watch,
)
from penstock.client.blocking import run
from penstock.worker import Context, Worker
from tests.client.scripted import chunk, hangs, snapshot, terminal, writes
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from penstock.server import Gateway
    from tests.client.conftest import RunWorker
    from tests.client.scripted import ScriptedGateway

app = Worker()


@app.job("count")
async def count(number: int, ctx: Context) -> int:
    for index in range(number):
        await ctx.emit(str(index))
    return number


def public(kind: type) -> set[str]:
    return {name for name in dir(kind) if not name.startswith("_")}


@pytest.mark.parametrize(
    ("blocking", "other", "only_async"),
    [
        (Client, AsyncClient, {"aclose"}),
        (JobHandle, AsyncJobHandle, set()),
        (Watch, AsyncWatch, {"aclose", "abort", "closed"}),
        (MergedWatch, AsyncMergedWatch, {"aclose", "abort"}),
    ],
)
def test_nothing_is_missing(blocking: type, other: type, only_async: set[str]) -> None:
    instances = {"job_id", "submitted", "cursors"}  # Set when they are made.
    assert public(blocking) - instances - {"close"} == public(other) - instances - only_async


@pytest.mark.parametrize("name", sorted(public(Client) - {"address", "close", "result"}))
def test_a_borrowed_method_keeps_signature_and_docstring(name: str) -> None:
    mine, original = getattr(Client, name), getattr(AsyncClient, name)
    assert inspect.signature(mine).parameters == inspect.signature(original).parameters
    assert mine.__doc__ == original.__doc__


async def test_a_job_from_submit_to_result(gateway: Gateway, run_worker: RunWorker) -> None:
    def use() -> list[Event]:
        with Client(gateway.address) as client:
            handle = client.submit("count", 3, priority="high")
            assert_type(handle, JobHandle)
            events = list(handle.watch())
            assert_type(handle.result(int, timeout=10), int)
            assert handle.result(timeout=10) == 3
            assert_type(client.status(handle.job_id), Job)
            assert_type(client.queue_stats(), QueueStats)
            assert_type(client.result(handle.job_id, int), int)
            assert [job.job_id for job in client.list()] == [handle.job_id]
            many = client.submit_many([NewJob("count", 1), NewJob("count", "x")])
            assert_type(many, list[JobHandle | PenstockError])
            first, second = many
            assert isinstance(first, JobHandle)
            assert isinstance(second, PenstockError)
            with client.submit_and_watch("count", 1) as watch:
                assert_type(watch, Watch)
                assert list(watch)[-1].job_id == watch.job_id
            assert {event.job_id for event in client.watch_many([handle.job_id, first.job_id])} == {
                handle.job_id,
                first.job_id,
            }
            return events

    async with run_worker(app):
        events = await asyncio.to_thread(use)
    assert isinstance(events[-1], StateEvent)
    assert events[-1].state is JobState.SUCCEEDED


async def test_it_works_within_a_running_event_loop(script: ScriptedGateway) -> None:
    """As in a notebook. It blocks the loop, as any blocking call: hence the server elsewhere."""
    script.on("StreamProgress", writes(snapshot(), chunk(1), terminal(2)))

    def within_a_loop() -> int:
        async def main() -> int:
            with Client(script.address) as client:
                return len(list(client.watch("job")))

        return asyncio.run(main())

    assert await asyncio.to_thread(within_a_loop) == 3


async def test_another_thread_may_close_a_watch(script: ScriptedGateway) -> None:
    script.on("StreamProgress", writes(snapshot(), chunk(1), then=hangs))
    seen: list[Event] = []
    with Client(script.address) as client:
        for watch in (client.watch("job"), client.watch_many(["job"])):
            seen.clear()
            watching = asyncio.create_task(asyncio.to_thread(_see, watch, seen))
            await eventually(lambda: len(seen) == 2, "the watch has seen what there is")
            await asyncio.to_thread(watch.close)
            await asyncio.wait_for(watching, 5)


def _see(watch: Watch | MergedWatch, seen: list[Event]) -> None:
    for event in watch:
        seen.append(event)  # noqa: PERF402 - looked at while it grows.


async def test_threads_may_share_a_client(gateway: Gateway) -> None:
    def submit(client: Client) -> str:
        return client.submit("t", threading.get_ident(), allow_unregistered=True).job_id

    with Client(gateway.address) as client:
        job_ids = await asyncio.gather(*(asyncio.to_thread(submit, client) for _ in range(20)))
        assert len(set(job_ids)) == 20


def test_a_coroutine_that_suspends_is_found_out() -> None:
    with pytest.raises(RuntimeError, match="awaited what its transport does not offer"):
        run(asyncio.sleep(0))


def test_only_the_async_transport_knows_an_event_loop() -> None:
    """What both clients are made of awaits nothing but its transport."""
    folder = Path(str(penstock.client.__file__)).parent
    users = {path.name for path in folder.glob("*.py") if "asyncio" in _imports(path)}
    assert users == {"aio_transport.py"}


def _imports(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        match node:
            case ast.Import():
                names |= {alias.name.partition(".")[0] for alias in node.names}
            case ast.ImportFrom(module=str(module)):
                names.add(module.partition(".")[0])
    return names
