"""The fault proxy in front of a real server: each fault is what it says, and can be undone."""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import hiredis
import pytest

from penstock.runtime.embedded import EmbeddedServer
from tests.chaos.link.proxy import FaultProxy
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path


class Client:
    """A connection that speaks RESP, command by command or many at once."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self._replies = hiredis.Reader()

    def send(self, *commands: str) -> None:
        """Writes them at once, in one chunk."""
        pack: Any = hiredis.pack_command  # The stub says a tuple of one.
        self.send_raw(b"".join(pack(tuple(command.split(" "))) for command in commands))

    def send_raw(self, data: bytes) -> None:
        """Writes bytes."""
        self._writer.write(data)

    async def reply(self) -> object:
        """The next one; raises ConnectionError at the end."""
        while (reply := self._replies.gets()) is False:
            data = await self._reader.read(65536)
            if not data:
                raise ConnectionResetError
            self._replies.feed(data)
        return reply

    async def call(self, command: str) -> object:
        """Sends one command and waits for its reply."""
        self.send(command)
        return await self.reply()

    def close(self) -> None:
        """Ends it, once what was sent is on its way."""
        self._writer.close()


@asynccontextmanager
async def client_of(port: int) -> AsyncIterator[Client]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1 << 24)
    try:
        yield Client(reader, writer)
    finally:
        writer.transport.abort()


async def is_hung_up_on(port: int) -> bool:
    """Whether a new client is; it may be before it knows that it is connected."""
    try:
        async with client_of(port) as client:
            await client.call("PING")
    except ConnectionError:
        return True
    return False


@pytest.fixture(scope="module")
def tcp_server(server_binary: Path) -> Iterator[EmbeddedServer]:
    with EmbeddedServer(binary=server_binary, port=0) as server:
        yield server


@pytest.fixture(autouse=True)
async def direct(tcp_server: EmbeddedServer) -> AsyncIterator[Client]:
    """A connection past the proxy, to an empty server."""
    async with client_of(tcp_server.port or 0) as client:
        await client.call("FLUSHALL")
        yield client


@pytest.fixture
async def proxy(tcp_server: EmbeddedServer) -> AsyncIterator[FaultProxy]:
    async with FaultProxy("127.0.0.1", tcp_server.port or 0) as proxy:
        yield proxy


async def test_it_passes_on_what_it_is_given(proxy: FaultProxy) -> None:
    async with client_of(proxy.port) as client:
        large = "x" * 3_000_000
        client.send(f"SET large {large}", "INCR n", "INCR n", "GET large")
        replies = [await client.reply() for _ in range(4)]
    assert replies == [b"OK", 1, 2, large.encode()]


async def test_it_leads_to_another_server_from_the_next_connection_on(
    proxy: FaultProxy, server_binary: Path
) -> None:
    with EmbeddedServer(binary=server_binary, port=0) as other:
        async with client_of(proxy.port) as before:
            port = await before.call("CONFIG GET port")
            proxy.lead_to("127.0.0.1", other.port or 0)
            async with client_of(proxy.port) as after:
                assert await after.call("CONFIG GET port") == [b"port", str(other.port).encode()]
            assert await before.call("CONFIG GET port") == port


async def test_it_hangs_up_when_either_side_does(proxy: FaultProxy, direct: Client) -> None:
    async with client_of(proxy.port) as client:
        await client.call("PING")
        await direct.call("CLIENT KILL TYPE normal SKIPME yes")
        with pytest.raises(ConnectionError):
            await client.reply()
        await eventually(lambda: proxy.connections == 0, "the connection is forgotten")
    async with client_of(proxy.port) as client:
        await client.call("PING")
    await eventually(lambda: proxy.connections == 0, "that one, too")


async def test_delays_keep_the_order(proxy: FaultProxy) -> None:
    proxy.delay_s, proxy.jitter_s = 0.05, 0.05
    async with client_of(proxy.port) as client:
        began_s = time.monotonic()
        await client.call("PING")
        took_s = time.monotonic() - began_s
        for _ in range(20):
            client.send("INCR n")
            await asyncio.sleep(0)
        replies = [await client.reply() for _ in range(20)]
    assert took_s >= 0.1 - 0.002  # uvloop's clock counts whole milliseconds.
    assert replies == list(range(1, 21))


async def test_a_throttled_link_is_one_wire(proxy: FaultProxy) -> None:
    async with client_of(proxy.port) as one, client_of(proxy.port) as other:
        await asyncio.gather(one.call("PING"), other.call("PING"))
        proxy.bytes_per_s = 100_000
        began_s = time.monotonic()
        text = "x" * 10_000
        await asyncio.gather(one.call(f"SET a {text}"), other.call(f"SET b {text}"))
        assert time.monotonic() - began_s >= 0.2 - 0.01
        proxy.bytes_per_s = 10
        one.send("PING")
        proxy.restore()
        assert await one.reply() == b"PONG"


async def test_a_long_queue_makes_the_sender_wait(proxy: FaultProxy) -> None:
    async with client_of(proxy.port) as client:
        await client.call("PING")
        proxy.frozen = True
        client.send("SET large " + "x" * 30_000_000, "GET large")
        # What is in no buffer is still with the client: nothing of it is lost.
        await asyncio.sleep(0)
        proxy.frozen = False
        assert await client.reply() == b"OK"
        assert len(str(await client.reply())) >= 30_000_000


async def test_a_frozen_link_delivers_when_it_thaws(proxy: FaultProxy, direct: Client) -> None:
    async with client_of(proxy.port) as client, client_of(proxy.port) as gone:
        await asyncio.gather(client.call("PING"), gone.call("PING"))
        proxy.frozen = True
        client.send("INCR n")
        gone.send("INCR n")
        gone.close()
        async with client_of(proxy.port) as late:
            late.send("INCR n")
            # A round trip beside the link, by when theirs would have passed.
            assert await direct.call("GET n") is None
            assert proxy.connections == 3
            proxy.frozen = False
            await client.reply()
            await late.reply()

            async def all_arrived() -> bool:
                return await direct.call("GET n") == b"3"

            await eventually(all_arrived, "even what a client sent that is gone has arrived")


async def test_it_resets_and_refuses(proxy: FaultProxy) -> None:
    async with client_of(proxy.port) as one, client_of(proxy.port) as other:
        await asyncio.gather(one.call("PING"), other.call("PING"))
        proxy.refusing = True
        assert proxy.reset() == 2
        for client in (one, other):
            with pytest.raises(ConnectionError):
                await client.reply()
        assert await is_hung_up_on(proxy.port)
        proxy.restore()
        async with client_of(proxy.port) as welcome:
            assert await welcome.call("PING") == b"PONG"


async def test_a_lost_reply_is_that_of_one_executed_request(
    proxy: FaultProxy, direct: Client
) -> None:
    proxy.lose_replies(1, b"lost")
    async with client_of(proxy.port) as client:
        client.send("INCR before", "INCR lost", "INCR after")
        assert await client.reply() == 1
        with pytest.raises(ConnectionError):
            await client.reply()
    assert await direct.call("MGET before lost after") == [b"1", b"1", None]
    assert proxy.lost == 1
    async with client_of(proxy.port) as client:
        assert await client.call("INCR lost") == 2


async def test_any_replies_are_lost(proxy: FaultProxy, direct: Client) -> None:
    proxy.lose_replies(3)
    for _ in range(3):
        async with client_of(proxy.port) as client:
            with pytest.raises(ConnectionError):
                await client.call("INCR n")
    assert await direct.call("GET n") == b"3"
    assert proxy.lost == 3
    async with client_of(proxy.port) as client:
        assert await client.call("INCR n") == 4


async def test_a_reply_that_blocks_is_lost_when_it_comes(proxy: FaultProxy, direct: Client) -> None:
    struck = asyncio.Event()
    proxy.on_request(b"BLPOP", 1, struck.set, when="after")
    async with client_of(proxy.port) as client:
        client.send("BLPOP list 0")

        async def is_blocked() -> bool:
            return "cmd=blpop" in str(await direct.call("CLIENT LIST"))

        await eventually(is_blocked, "it is blocked")
        assert not struck.is_set()
        await direct.call("RPUSH list one")
        await asyncio.wait_for(struck.wait(), 30)
        assert await direct.call("LLEN list") == 0
        with pytest.raises(ConnectionError):
            await client.reply()


async def test_a_subscriber_loses_its_reply_too(proxy: FaultProxy, direct: Client) -> None:
    async with client_of(proxy.port) as client:
        await client.call("SUBSCRIBE first")
        proxy.lose_replies(1, b"second")
        client.send("SUBSCRIBE second")
        with pytest.raises(ConnectionError):
            await client.reply()
    assert proxy.lost == 1
    assert await direct.call("PING") == b"PONG"


async def test_something_happens_before_the_nth_request(proxy: FaultProxy, direct: Client) -> None:
    struck: list[object] = []
    proxy.on_request(b"n", 3, lambda: struck.append("n"), when="before")
    async with client_of(proxy.port) as client:
        assert await client.call("INCR n") == 1
        assert await client.call("INCR m") == 1
        client.send("INCR n", "INCR n", "INCR n")
        await eventually(lambda: struck, "it is trapped")

    async def executed() -> bool:
        return await direct.call("GET n") == b"2"

    await eventually(executed, "what came before it in its chunk is executed")
    await eventually(lambda: proxy.connections == 0, "the connection is forgotten")
    assert await direct.call("GET n") == b"2"
    assert struck == ["n"]


async def test_a_request_is_one_whatever_its_chunks(proxy: FaultProxy, direct: Client) -> None:
    pack: Any = hiredis.pack_command
    text = pack(("SET", "split", "\r\n*1\r\n$4\r\nPING\r\n"))
    async with client_of(proxy.port) as client:
        # Half of one is under way when the trap is set.
        client.send_raw(text[:20])
        await eventually(lambda: proxy.connections == 1, "it is connected")
        await direct.call("PING")
        proxy.on_request(b"INCR", 1, lambda: None, when="before")
        client.send_raw(text[20:])
        assert await client.reply() == b"OK"
        for at in range(0, len(text), 3):
            client.send_raw(text[at : at + 3])
            await asyncio.sleep(0)
        assert await client.reply() == b"OK"
        # A part of one is held back when the trap is lifted.
        client.send_raw(text[:30])
        await asyncio.sleep(0)
        proxy.restore()
        client.send_raw(text[30:])
        assert await client.reply() == b"OK"
        assert await client.call("INCR n") == 1


async def test_a_trap_waits_where_the_server_is_lost_first(
    proxy: FaultProxy, direct: Client
) -> None:
    proxy.lose_replies(1, b"BLPOP")
    async with client_of(proxy.port) as client:
        client.send("BLPOP list 0")

        async def killed() -> bool:
            return "cmd=blpop" in str(await direct.call("CLIENT LIST"))

        await eventually(killed, "it is blocked")
        await direct.call("CLIENT KILL TYPE normal SKIPME yes")
        with pytest.raises(ConnectionError):
            await client.reply()
    assert proxy.lost == 0
    assert len(proxy.traps) == 1


async def test_without_a_server_it_hangs_up(server_binary: Path) -> None:
    with EmbeddedServer(binary=server_binary, port=0) as server:
        port = server.port or 0
        async with FaultProxy("127.0.0.1", port) as proxy:
            server.kill()
            assert await is_hung_up_on(proxy.port)
            await eventually(lambda: proxy.connections == 0, "the connection is forgotten")
            server.start()
            async with client_of(proxy.port) as client:
                assert await client.call("PING") == b"PONG"


async def test_what_comes_after_the_server_is_lost_is_nobodys(
    proxy: FaultProxy, direct: Client
) -> None:
    async with client_of(proxy.port) as client:
        await client.call("PING")
        proxy.frozen = True
        client.send("INCR n")
        await direct.call("CLIENT KILL TYPE normal SKIPME yes")
        # Its end does not pass either: the client goes on writing.
        for _ in range(3):
            client.send("INCR n")
            await direct.call("PING")
        client.close()
        await direct.call("PING")
        proxy.frozen = False
        await eventually(lambda: proxy.connections == 0, "the connection is forgotten")
    assert await direct.call("GET n") is None
