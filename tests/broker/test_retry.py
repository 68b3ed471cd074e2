"""The retry helper: what it repeats, for how long, and what it says in the end."""

from __future__ import annotations

import asyncio
import os
import signal
from itertools import islice
from typing import TYPE_CHECKING, Any

import pytest

from penstock.broker.errors import NotServing, ReplyError, StorageFull, Unavailable
from penstock.broker.link import RedisLink
from penstock.broker.retry import backoff, with_retry
from penstock.runtime.embedded import EmbeddedServer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path


@pytest.fixture(scope="module")
def server(server_binary: Path) -> Iterator[EmbeddedServer]:
    options = {"busy-reply-threshold": "50"}  # Milliseconds of a script before others see BUSY.
    with EmbeddedServer(binary=server_binary, options=options) as server:
        yield server


@pytest.fixture
async def link(server: EmbeddedServer) -> AsyncIterator[RedisLink]:
    server.start()
    async with RedisLink(server.url) as link:
        yield link


def test_delays_double_up_to_the_longest_and_differ_between_processes() -> None:
    delays_s = [list(islice(backoff(0.025, 1.0), 10)) for _ in range(50)]
    for attempt, middle in enumerate([0.025, 0.05, 0.1, 0.2, 0.4, 0.8, 1.0, 1.0, 1.0, 1.0]):
        drawn = {delays[attempt] for delays in delays_s}
        assert middle / 2 <= min(drawn) <= max(drawn) <= middle * 1.5
        assert len(drawn) > 40


async def test_a_restart_of_the_server_is_waited_out(
    server: EmbeddedServer, link: RedisLink
) -> None:
    server.kill()
    begun = asyncio.create_task(
        with_retry(lambda: link.call("SET", "k", "v"), link=link, budget_s=20)
    )
    await asyncio.sleep(0)  # The first attempt is on its way to fail.
    server.start()
    assert await begun == b"OK"


async def test_a_busy_server_is_waited_for(server: EmbeddedServer, link: RedisLink) -> None:
    spin = (
        "local t repeat t = redis.call('TIME') until t[1] * 1000 + t[2] / 1000 > tonumber(ARGV[1])"
    )
    codes = []

    async def attempt() -> Any:  # noqa: ANN401 - a reply.
        try:
            return await link.call("GET", "k")
        except NotServing as error:
            codes.append(error.code)
            raise

    async with RedisLink(server.url) as other:
        seconds, micros = await other.call("TIME")
        until_ms = int(seconds) * 1000 + int(micros) // 1000 + 400
        spinning = other.call("EVAL", spin, 0, until_ms)
        await asyncio.sleep(0)  # It is written first.
        await with_retry(attempt, link=link, budget_s=20)
        await spinning
    assert set(codes) == {"BUSY"}


async def test_a_spent_budget_raises_the_last_error(server: EmbeddedServer) -> None:
    link = RedisLink(f"unix://{server.socket_path}.nobody")
    link.start()
    started = asyncio.get_running_loop().time()
    with pytest.raises(Unavailable, match="not connected"):
        await with_retry(lambda: link.call("PING"), link=link, budget_s=0.3)
    assert asyncio.get_running_loop().time() - started < 2
    await link.close()


async def test_an_attempt_that_outlives_the_budget_is_abandoned(
    server: EmbeddedServer, link: RedisLink
) -> None:
    os.kill(server.pid, signal.SIGSTOP)
    try:
        with pytest.raises(Unavailable, match="in the time allowed"):
            await with_retry(lambda: link.call("PING"), link=link, budget_s=0.2)
    finally:
        os.kill(server.pid, signal.SIGCONT)
    assert await link.call("ECHO", "mine") == b"mine"
    assert link.stats.dropped_replies == 1


async def test_no_attempt_is_made_without_a_budget(link: RedisLink) -> None:
    with pytest.raises(Unavailable, match="before the first attempt"):
        await with_retry(lambda: link.call("INCR", "unasked"), link=link, budget_s=0)
    assert await link.call("EXISTS", "unasked") == 0


@pytest.mark.parametrize(
    "error",
    [ReplyError("WRONGTYPE", ""), StorageFull("OOM", ""), ValueError(), TimeoutError()],
    ids=repr,
)
async def test_other_errors_are_raised_at_once(link: RedisLink, error: Exception) -> None:
    attempts = 0

    async def attempt() -> None:
        nonlocal attempts
        attempts += 1
        raise error

    with pytest.raises(type(error)) as caught:
        await with_retry(attempt, link=link, budget_s=20)
    assert caught.value is error
    assert attempts == 1


async def test_a_closed_link_is_not_waited_for(link: RedisLink) -> None:
    await link.close()
    with pytest.raises(Unavailable, match="closed"):
        await asyncio.wait_for(
            with_retry(lambda: link.call("PING"), link=link, budget_s=60), timeout=5
        )
