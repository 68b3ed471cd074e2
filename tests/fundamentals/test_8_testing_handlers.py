"""A handler is tested without a server by trying it out, and with one by a stack of one's own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from penstock.client import AsyncClient
from penstock.runtime.embedded import EmbeddedServer
from penstock.server import Gateway, ServerSettings
from penstock.worker import Context, Retry, Worker, WorkerService, WorkerSettings
from penstock.worker.testing import try_out

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

app = Worker()


@app.job("pages.read")
async def read(pages: list[str], ctx: Context) -> int:
    done: int = ctx.last_checkpoint or 0
    for number, page in enumerate(pages[done:], done + 1):
        if not page:
            raise Retry(after=60, message=f"page {number} is not there yet")
        await ctx.emit(page)
        ctx.progress(number, len(pages))
        await ctx.checkpoint(number)
    return len(pages)


async def test_what_it_returns_and_says() -> None:
    trial = await try_out(app, "pages.read", ["one ", "two"])
    assert trial.result == 2
    assert trial.text == "one two"


async def test_a_later_attempt_goes_on_where_the_first_one_failed() -> None:
    first = await try_out(app, "pages.read", ["one ", ""])
    assert (first.state, first.checkpoints) == ("SCHEDULED", [1])
    last = await try_out(
        app, "pages.read", ["one ", ""], attempt=3, checkpoint=first.checkpoints[-1]
    )
    assert last.state == "FAILED"
    with pytest.raises(Retry, match="page 2"):
        last.result  # noqa: B018 - raises what the handler raised.


@pytest.fixture
async def client() -> AsyncIterator[AsyncClient]:
    async with (
        EmbeddedServer() as server,
        Gateway(ServerSettings.load(redis_url=server.url, listen="127.0.0.1:0")) as gateway,
        WorkerService(app, WorkerSettings.load(redis_url=server.url)),
        AsyncClient(gateway.address) as client,
    ):
        yield client


async def test_the_whole_way(client: AsyncClient) -> None:
    handle = await client.submit("pages.read", ["one ", "two"])
    assert await handle.result(timeout=30) == 2
