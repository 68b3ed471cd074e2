"""What is left over is found, on a real server and a real process."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest
from redis.asyncio import Redis

from tests.chaos.checker.checker import check
from tests.chaos.checker.scene import Expectations
from tests.chaos.history.journal import Journal, read_journals
from tests.chaos.worlds.bounds import write_bounds

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


class Me:
    """This process, as if it were a gateway."""

    name = "gateway-1"
    pid = os.getpid()


class Server:
    def __init__(self, client: Redis) -> None:
        self.client = client

    async def redis(self, *command: str | bytes | float) -> Any:  # noqa: ANN401 - by command.
        return await self.client.execute_command(*command)  # type: ignore[no-untyped-call]


@pytest.fixture
async def server(redis_url: str) -> AsyncIterator[Server]:
    async with Redis.from_url(redis_url, protocol=2) as client:
        yield Server(client)


async def left_over(server: Server, folder: Path) -> set[str]:
    with Journal(folder, "harness") as journal:
        await write_bounds(server, [Me()], journal, within_s=0)
    lines = read_journals(folder)
    assert {"sockets of gateway-1", "entries in streams"} <= {line["name"] for line in lines}
    violations = check(lines, expectations=Expectations(least={}))
    return {violation.text for violation in violations if violation.invariant == "I11"}


async def test_nothing_is_left_of_nothing(server: Server, tmp_path: Path) -> None:
    assert not {text for text in await left_over(server, tmp_path) if "stream" in text}


async def test_what_waits_is_left_over(server: Server, tmp_path: Path) -> None:
    await server.redis("XADD", "ps{x:y:0}:s:d", "*", "id", "j")
    await server.redis("XGROUP", "CREATE", "ps{x:y:0}:s:d", "workers", "0")
    await server.redis("XREADGROUP", "GROUP", "workers", "a", "STREAMS", "ps{x:y:0}:s:d", ">")
    await server.redis("XADD", "ps{x:y:0}:s:d", "*", "id", "k")
    await server.redis("XREADGROUP", "GROUP", "workers", "thief", "STREAMS", "ps{x:y:0}:s:d", ">")
    await server.redis("ZADD", "ps{x:y:0}:lease", 1, "j")
    assert {
        "entries in streams: 2, at most 0",
        "pending entries: 1, at most 0",
        "jobs that wait, run or have a deadline: 1, at most 0",
    } <= await left_over(server, tmp_path)
