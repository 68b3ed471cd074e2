"""The rights that the operator's guide grants are enough for everything, and are not exceeded."""

from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING

import pytest

from penstock.broker import Broker
from penstock.client import AsyncClient, Backoff, JobState, StateEvent, SubmitOutcome
from penstock.runtime.embedded import EmbeddedServer
from penstock.server import Gateway, ServerSettings
from penstock.worker import Context, Worker, WorkerService, WorkerSettings
from tests.support.processes import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

app = Worker()


@app.job("moody")
async def moody(ctx: Context) -> str:
    """Does whatever writes."""
    await ctx.emit("trying")
    ctx.progress(1, 2, "half-way")
    await ctx.checkpoint({"tried": ctx.attempt})
    await ctx.invalidate(tags=["moods"])
    if ctx.attempt == 1:
        raise ConnectionError("not now")
    return "done"


@pytest.fixture
def server(server_binary: Path) -> Iterator[EmbeddedServer]:
    with EmbeddedServer(binary=server_binary, port=0) as server:
        yield server


async def test_the_rights_of_the_guide_are_enough(server: EmbeddedServer) -> None:
    text = (ROOT / "docs/operations.md").read_text()
    command = re.search(r"^\$ redis-cli (ACL SETUSER penstock .+)$", text, re.MULTILINE)
    assert command
    async with Broker(server.url) as broker:
        await broker.link.call(*shlex.split(command[1]))
    url = f"redis://penstock:secret@127.0.0.1:{server.port}"
    gateway = Gateway(ServerSettings.load(redis_url=url, listen="127.0.0.1:0"))
    worker = WorkerService(app, WorkerSettings.load(redis_url=url))
    async with gateway, worker, AsyncClient(gateway.address) as client:
        handle = await client.submit("moody", backoff=Backoff(initial=0.01))
        states = [event.state async for event in handle.watch() if isinstance(event, StateEvent)]
        assert states[-1] is JobState.SUCCEEDED
        cached = await client.submit("moody", cache_ttl=60)
        await cached.result(timeout=30)
        assert (await client.submit("moody", cache_ttl=60)).outcome is SubmitOutcome.CACHED
        waiting = await client.submit("moody", delay=3600)
        assert (await waiting.cancel("enough")).state is JobState.CANCELLED
        await client.pause_queue("default")
        await client.resume_queue("default")
        assert (await client.queue_stats("default")).succeeded == 3
    async with Broker(server.url) as broker:
        assert await broker.link.call("ACL", "LOG") == [], "something was denied"
