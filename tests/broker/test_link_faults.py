"""The shared connection when the server dies, freezes, talks nonsense or is not there."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

import pytest

from penstock.broker.errors import ConnectionLost, ServerRefused, Unavailable, UnsafeServer
from penstock.broker.link import RedisLink
from penstock.broker.pipeline import LinkOptions
from penstock.runtime.embedded import EmbeddedServer
from tests.support.proxy import proxy
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from penstock.broker.pipeline import Caller

QUICK = LinkOptions(connect_timeout_s=0.3, stall_timeout_s=0.3, ping_interval_s=0.3)


@pytest.fixture(scope="module", params=["tcp", "unix"])
def server(request: pytest.FixtureRequest, server_binary: Path) -> Iterator[EmbeddedServer]:
    port = 0 if request.param == "tcp" else None
    with EmbeddedServer(binary=server_binary, port=port, appendfsync="no") as server:
        yield server


@pytest.fixture(autouse=True)
def running(server: EmbeddedServer) -> None:
    server.start()


@contextmanager
def frozen(server: EmbeddedServer) -> Iterator[None]:
    """The server is stopped as by a debugger: its sockets stay open, and nothing answers."""
    pid = server.pid
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        with suppress(ProcessLookupError):  # It may have been killed meanwhile.
            os.kill(pid, signal.SIGCONT)


async def test_a_killed_server_fails_what_is_pending_and_is_found_again(
    server: EmbeddedServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "penstock.broker")
    hooked = 0

    async def hook(connection: Caller) -> None:
        nonlocal hooked
        assert await connection.call("PING") == b"PONG"
        hooked += 1

    link = RedisLink(server.url)
    link.on_connect.append(hook)
    async with link:
        await link.call("SET", "kept", 1)
        with frozen(server):
            pending = [link.call("INCR", "n") for _ in range(100)]
            await eventually(lambda: link.stats.commands > 100, "the commands are written")
            server.kill()
        results = await asyncio.gather(*pending, return_exceptions=True)
        lost = [result for result in results if isinstance(result, ConnectionLost)]
        assert len(lost) == 100
        assert all(error.maybe_executed for error in lost)
        with pytest.raises(Unavailable):
            await link.call("PING")
        with pytest.raises(Unavailable) as caught:
            await link.ready(0.2)
        assert caught.value.__cause__ is not None
        server.start()
        await link.ready(10)
        assert await link.call("GET", "kept") == b"1"
        assert link.stats.connects == hooked == 2
    told = [record.getMessage() for record in caplog.records]
    assert sum(": connected" in line for line in told) == 1
    assert sum("connection lost" in line for line in told) == 1
    assert sum(": reconnected" in line for line in told) == 1


async def test_a_new_reason_is_told_and_one_that_stays_is_told_once(
    server: EmbeddedServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("WARNING", "penstock.broker")
    raised: list[Exception] = []
    reason: Exception = ConnectionError("nobody is there")

    async def hook(_: Caller) -> None:
        raised.append(reason)
        raise reason

    link = RedisLink(server.url, QUICK)
    link.on_connect.append(hook)
    link.start()
    try:
        await eventually(lambda: len(raised) == 3, "it fails again and again", within_s=30)
        with pytest.raises(Unavailable, match="not connected: nobody is there") as away:
            await link.call("PING")
        assert not isinstance(away.value, ServerRefused)
        reason = UnsafeServer("its durability is NONE")
        await eventually(lambda: raised.count(reason) == 3, "so it does anew", within_s=30)
        with pytest.raises(ServerRefused, match="not connected: its durability is NONE") as refused:
            await link.call("PING")
        assert refused.value.verdict == "its durability is NONE"
    finally:
        await link.close()
    told = [record.getMessage() for record in caplog.records]
    assert [line.rpartition(": ")[2] for line in told] == [
        "nobody is there",
        "its durability is NONE",
    ]


async def test_what_was_never_written_is_known_not_to_have_run(server: EmbeddedServer) -> None:
    megabyte = bytes(1_000_000)
    async with RedisLink(server.url, LinkOptions(max_unsent_bytes=50_000_000)) as link:
        await link.call("FLUSHALL")
        with frozen(server):
            pending = []
            for number in range(40):
                pending.append(link.call("SET", f"k{number}", megabyte))
                await asyncio.sleep(0)  # Let it be written, as long as the socket takes any.
            server.kill()
        results = await asyncio.gather(*pending, return_exceptions=True)
        maybe = [result.maybe_executed for result in results if isinstance(result, ConnectionLost)]
        assert len(maybe) == 40
        assert maybe == sorted(maybe, reverse=True)
        assert True in maybe
        assert False in maybe
        server.start()
        await link.ready(10)
        keys = [f"k{number}" for number in range(40)]
        found = await asyncio.gather(*(link.call("EXISTS", key) for key in keys))
        assert not [key for key, ran, there in zip(keys, maybe, found, strict=True) if there > ran]


async def test_a_frozen_server_is_given_up_and_found_again(server: EmbeddedServer) -> None:
    async with RedisLink(server.url, QUICK) as link:
        with frozen(server):
            with pytest.raises(ConnectionLost, match=r"no reply for 0\.3 s") as lost:
                await asyncio.wait_for(link.call("INCR", "n"), timeout=5)
            assert lost.value.maybe_executed
        await link.ready(10)
        assert await link.call("PING") == b"PONG"


async def test_an_idle_connection_to_a_frozen_server_is_found_out(server: EmbeddedServer) -> None:
    async with RedisLink(server.url, QUICK) as link:
        with frozen(server):
            await eventually(lambda: link._pipeline is None, "the link has given the connection up")
        await link.ready(10)
        assert link.stats.connects == 2


async def test_an_idle_connection_to_a_living_server_is_kept(server: EmbeddedServer) -> None:
    async with RedisLink(server.url, QUICK) as link:
        await eventually(lambda: link.stats.commands >= 3, "it was tried three times")
        assert link.stats.connects == 1
        assert link.stats.failed_sends == 0


async def test_a_blocked_event_loop_is_not_blamed_on_the_server(server: EmbeddedServer) -> None:
    async with RedisLink(server.url, QUICK) as link:
        for _ in range(3):
            waiting = link.call("ECHO", "patience")
            await asyncio.sleep(0)  # It is written.
            time.sleep(2 * QUICK.stall_timeout_s)  # noqa: ASYNC251 - the fault that is tested.
            assert await waiting == b"patience"
        assert link.stats.connects == 1


async def test_bytes_that_no_command_asked_for_end_the_connection(server: EmbeddedServer) -> None:
    async with (
        proxy(server.socket_path) as relay,
        RedisLink(f"redis://127.0.0.1:{relay.port}") as link,
    ):
        for nonsense in (b"+surprise\r\n", b"?!\r\n"):
            connects = link.stats.connects
            relay.inject(nonsense)
            await eventually(lambda: link.stats.connects > connects, "the link has reconnected")  # noqa: B023 - called in this turn.
            await link.ready(5)
            assert await link.call("ECHO", "mine") == b"mine"


async def test_a_server_that_hangs_up_at_once_is_tried_again_and_again(
    server: EmbeddedServer,
) -> None:
    async with proxy(server.socket_path) as relay:
        relay.accepting = False
        link = RedisLink(f"redis://127.0.0.1:{relay.port}")
        link.start()
        with pytest.raises(Unavailable):
            await link.ready(0.3)
        relay.accepting = True
        await link.ready(10)
        assert await link.call("PING") == b"PONG"
        await link.close()


async def test_nobody_uses_a_connection_before_its_hooks_have_run(server: EmbeddedServer) -> None:
    allowed = asyncio.Event()
    attempts = 0

    async def fails_once(connection: Caller) -> None:
        nonlocal attempts
        attempts += 1
        await connection.call("SET", "hooked", attempts)
        if attempts == 1:
            raise RuntimeError("not yet")

    async def waits(connection: Caller) -> None:
        await allowed.wait()
        await connection.call("PING")

    link = RedisLink(server.url)
    link.on_connect += [fails_once, waits]
    link.start()
    await eventually(lambda: attempts == 2, "the failed hook was tried again")
    with pytest.raises(Unavailable, match="not connected"):
        await link.call("PING")
    with pytest.raises(Unavailable) as caught:
        await link.ready(0)
    assert str(caught.value.__cause__) == "not yet"
    allowed.set()
    await link.ready(5)
    assert await link.call("GET", "hooked") == b"2"
    assert link.stats.connects == 1
    await link.close()


async def test_a_hook_that_hangs_is_cut_off(server: EmbeddedServer) -> None:
    begun = 0

    async def hangs(_: Caller) -> None:
        nonlocal begun
        begun += 1
        await asyncio.Event().wait()

    link = RedisLink(server.url, QUICK)
    link.on_connect.append(hangs)
    link.start()
    await eventually(lambda: begun == 2, "the hook was cut off and tried again")
    await link.close()


async def test_closing_does_not_wait_for_a_frozen_server(server: EmbeddedServer) -> None:
    link = RedisLink(server.url)
    link.start()
    await link.ready(5)
    with frozen(server):
        waiting = [link.call("SET", "k", bytes(1_000_000)) for _ in range(20)]
        await asyncio.wait_for(link.close(), timeout=3)
    lost = await asyncio.gather(*waiting, return_exceptions=True)
    assert {type(error) for error in lost} == {ConnectionLost}
