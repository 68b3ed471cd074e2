"""The shared connection: pipelining, errors, cancellation, limits, and the ways to connect."""

from __future__ import annotations

import asyncio
import os
import random
import shutil
import signal
import ssl
import subprocess
from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest

from penstock.broker.errors import (
    ConnectionLost,
    NotServing,
    Overloaded,
    ReplyError,
    StorageFull,
    Unavailable,
    reply_error,
)
from penstock.broker.link import RedisLink
from penstock.broker.pipeline import LinkOptions
from penstock.runtime.embedded import EmbeddedServer
from tests.support.proxy import proxy
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path


@pytest.fixture
async def link(redis_url: str) -> AsyncIterator[RedisLink]:
    async with RedisLink(redis_url) as link:
        yield link


@pytest.fixture(scope="module")
def tcp_server(server_binary: Path) -> Iterator[EmbeddedServer]:
    with EmbeddedServer(binary=server_binary, port=0) as server:
        yield server


# Pipelining.


async def test_replies_come_in_the_order_of_the_commands(link: RedisLink) -> None:
    counted = await asyncio.gather(*(link.call(b"INCR", b"n") for _ in range(1000)))
    assert counted == list(range(1, 1001))
    assert link.stats.commands == 1000
    assert link.stats.pending == 0


async def test_arguments_are_bytes_text_and_numbers(link: RedisLink) -> None:
    assert await link.call("SET", b"k\x00\xff", "é") == b"OK"
    assert await link.call("GET", b"k\x00\xff") == "é".encode()
    assert await link.call("INCRBY", "n", -7) == -7
    assert await link.call("GET", "none") is None
    assert await link.call("MGET", "n", "none") == [b"-7", None]


async def test_an_argument_of_another_type_is_refused_and_disturbs_nobody(link: RedisLink) -> None:
    before = link.call("ECHO", "before")
    with pytest.raises(TypeError):
        await link.call("SET", "k", None)  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        link.send("SET", "k", [])  # type: ignore[arg-type]
    assert await link.call("ECHO", "after") == b"after"
    assert await before == b"before"


async def test_replies_larger_than_any_buffer(link: RedisLink) -> None:
    blob = bytes(range(250)) * 20_000
    echoes = [link.call("ECHO", blob[:size]) for size in (5_000_000, 1, 70_000, 0)]
    assert [len(await echo) for echo in echoes] == [5_000_000, 1, 70_000, 0]
    assert await link.call("ECHO", blob) == blob


async def test_cancelled_callers_never_shift_the_replies_of_others(link: RedisLink) -> None:
    wrong: list[tuple[bytes, object]] = []

    async def caller(number: int) -> None:
        for turn in range(5):
            expected = f"{number}.{turn}".encode()
            reply = await link.call(b"ECHO", expected)
            if reply != expected:
                wrong.append((expected, reply))

    tasks = [asyncio.create_task(caller(number)) for number in range(600)]
    victims = random.Random(42).sample(tasks, 300)  # noqa: S311 - repeatable, no secret.
    await asyncio.sleep(0)  # All are issued, none is written.
    for task in victims[:100]:
        task.cancel()
    await asyncio.sleep(0)  # All are written, and on their way.
    for task in victims[100:200]:
        task.cancel()
    await link.call(b"PING")  # Some callers are in a later turn.
    for task in victims[200:]:
        task.cancel()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    await link.call(b"PING")

    assert not wrong
    cancelled = sum(isinstance(result, asyncio.CancelledError) for result in results)
    assert 200 <= link.stats.dropped_replies <= cancelled <= 300


async def test_an_error_reply_hits_its_own_caller_only(link: RedisLink) -> None:
    await link.call("SET", "text", "x")
    replies = await asyncio.gather(
        link.call("GET", "text"),
        link.call("LPUSH", "text", 1),
        link.call("ECHO", "between"),
        link.call("NOSUCHCOMMAND"),
        link.call("EVALSHA", "0" * 40, 0),
        link.call("GET", "text"),
        return_exceptions=True,
    )
    codes = [reply.code if isinstance(reply, ReplyError) else reply for reply in replies]
    assert codes == [b"x", "WRONGTYPE", b"between", "ERR", "NOSCRIPT", b"x"]
    assert type(replies[1]) is ReplyError
    assert str(replies[1]).startswith("WRONGTYPE Operation against a key")


@pytest.mark.parametrize(
    ("text", "kind", "code"),
    [
        ("LOADING Redis is loading the dataset in memory", NotServing, "LOADING"),
        ("READONLY You can't write against a read only replica.", NotServing, "READONLY"),
        ("CLUSTERDOWN The cluster is down", NotServing, "CLUSTERDOWN"),
        ("TRYAGAIN Multiple keys request during rehashing of slot", NotServing, "TRYAGAIN"),
        ("MASTERDOWN Link with MASTER is down", NotServing, "MASTERDOWN"),
        ("BUSY Redis is busy running a script.", NotServing, "BUSY"),
        ("OOM command not allowed when used memory > 'maxmemory'.", StorageFull, "OOM"),
        ("MISCONF Errors writing to the AOF file", StorageFull, "MISCONF"),
        ("NOREPLICAS Not enough good replicas to write.", StorageFull, "NOREPLICAS"),
        ("MOVED 3999 127.0.0.1:6381", ReplyError, "MOVED"),
        ("NOPERM this user has no permissions", ReplyError, "NOPERM"),
        ("no code at all", ReplyError, "ERR"),
        ("", ReplyError, "ERR"),
    ],
)
def test_the_code_of_an_error_reply_decides_its_class(
    text: str, kind: type[ReplyError], code: str
) -> None:
    error = reply_error(text)
    assert type(error) is kind
    assert error.code == code
    assert isinstance(error, Unavailable) is (kind is NotServing)


async def test_an_error_reply_need_not_be_text(link: RedisLink) -> None:
    with pytest.raises(ReplyError) as caught:
        await link.call("EVAL", b"return redis.error_reply('OWN \\255 code')", 0)
    assert caught.value.code == "OWN"


async def test_a_server_that_is_full_or_read_only_says_so(tcp_server: EmbeddedServer) -> None:
    async with RedisLink(tcp_server.url) as link:
        await link.call("CONFIG", "SET", "maxmemory", 1)
        with pytest.raises(StorageFull):
            await link.call("SET", "k", "v")
        await link.call("CONFIG", "SET", "maxmemory", 0)
        await link.call("REPLICAOF", "127.0.0.1", 1)
        with pytest.raises(NotServing) as caught:
            await link.call("SET", "k", "v")
        await link.call("REPLICAOF", "NO", "ONE")
    assert caught.value.code == "READONLY"
    assert caught.value.retry_after_s > 0


async def test_what_is_sent_without_a_caller_is_run_and_its_errors_are_counted(
    link: RedisLink,
) -> None:
    link.send("SET", "k", "v")
    link.send("LPUSH", "k", 1)
    assert await link.call("GET", "k") == b"v"
    assert link.stats.failed_sends == 1


async def test_too_many_unanswered_commands_are_refused(redis_url: str) -> None:
    async with RedisLink(redis_url, LinkOptions(max_pending=10)) as link:
        calls = [link.call("INCR", "n") for _ in range(12)]
        link.send("INCR", "n")
        replies = await asyncio.gather(*calls, return_exceptions=True)
        assert replies[:10] == list(range(1, 11))
        assert [type(reply) for reply in replies[10:]] == [Overloaded, Overloaded]
        assert link.stats.failed_sends == 1
        assert await link.call("GET", "n") == b"10"


async def test_bytes_that_nobody_takes_are_limited(
    redis_url: str, redis_server: EmbeddedServer
) -> None:
    options = LinkOptions(max_unsent_bytes=5_000_000, stall_timeout_s=60)
    async with RedisLink(redis_url, options) as link:
        os.kill(redis_server.pid, signal.SIGSTOP)
        try:
            replies = [link.call("SET", "k", b"x" * 1_000_000)]
            while not replies[-1].done():
                await asyncio.sleep(0)  # It is written, as far as the socket takes it.
                replies.append(link.call("APPEND", "k", b"x" * 1_000_000))
        finally:
            os.kill(redis_server.pid, signal.SIGCONT)
        with pytest.raises(Overloaded, match="too slowly"):
            await replies.pop()
        assert len(replies) >= 5
        assert await asyncio.gather(*replies[1:]) == [
            number * 1_000_000 for number in range(2, len(replies) + 1)
        ]
        assert await link.call("STRLEN", "k") == len(replies) * 1_000_000


async def test_coalesced_writes_lose_and_shift_nothing(redis_url: str) -> None:
    async with RedisLink(redis_url, LinkOptions(coalesce_ms=1)) as link:

        async def caller(name: str) -> None:
            for turn in range(40):
                assert await link.call("ECHO", f"{name}.{turn}") == f"{name}.{turn}".encode()

        await asyncio.gather(*(caller(str(number)) for number in range(50)))
        await caller("alone")
        assert link.stats.commands == 51 * 40


# Ways to connect.


async def test_the_handshake_sets_database_name_and_protocol(tcp_server: EmbeddedServer) -> None:
    url = tcp_server.url.removesuffix("/0") + "/3?protocol=3"
    async with RedisLink(url, LinkOptions(client_name="the-gateway")) as link:
        info = (await link.call("CLIENT", "LIST", "ID", await link.call("CLIENT", "ID"))).decode()
    fields = dict(field.split("=", 1) for field in info.split())
    assert fields["db"] == "3"
    assert fields["name"] == "the-gateway"
    assert fields["resp"] == "2"
    assert fields.get("lib-name", "penstock") == "penstock"  # Redis 7.0 does not know it yet.


async def test_a_password_opens_the_door_and_is_never_shown(
    tcp_server: EmbeddedServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    secret = "p@ss/w:rd %"
    address = f"127.0.0.1:{tcp_server.port}"
    async with RedisLink(tcp_server.url) as link:
        await link.call("CONFIG", "SET", "requirepass", secret)
        try:
            async with RedisLink(f"redis://:{quote(secret, safe='')}@{address}/0") as inside:
                assert await inside.call("PING") == b"PONG"
            wrong = RedisLink(f"redis://:{quote(secret + 'x', safe='')}@{address}/0")
            wrong.start()
            with pytest.raises(Unavailable) as refused:
                await wrong.ready(0.2)
            await wrong.close()
        finally:
            await link.call("CONFIG", "SET", "requirepass", "")
    assert "invalid username-password pair" in str(refused.value.__cause__)
    shown = caplog.text + repr(wrong._endpoint) + repr(refused.value)
    assert secret not in shown
    assert quote(secret, safe="") not in shown


@pytest.mark.parametrize(
    "url",
    [
        "http://:secret@localhost/0",
        "redis://:secret/x@localhost:6379",
        "redis://:secret@localhost:0x10",
        "redis://:secret@localhost/0?no_such_option=1",
        "redis://:secret@localhost/0?socket_timeout=soon",
        "secret",
    ],
)
def test_a_malformed_url_is_refused_without_being_quoted(url: str) -> None:
    with pytest.raises(ValueError, match="Redis URL") as refused:
        RedisLink(url)
    error: BaseException | None = refused.value
    while error:
        assert "secret" not in str(error)
        error = error.__cause__


async def test_over_tls(redis_server: EmbeddedServer, redis_url: str, tmp_path: Path) -> None:
    del redis_url  # Only empties the server.
    certificate, key = _self_signed(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    blob = bytes(range(250)) * 12_000
    async with proxy(redis_server.socket_path, context) as relay:
        url = f"rediss://127.0.0.1:{relay.port}/0"
        async with RedisLink(f"{url}?ssl_ca_certs={certificate}") as link:
            counted = await asyncio.gather(*(link.call("INCR", "n") for _ in range(300)))
            assert counted == list(range(1, 301))
            assert await link.call("ECHO", blob) == blob
            await relay.hang_up()
            await link.ready(5)
            assert await link.call("GET", "n") == b"300"
            assert link.stats.connects == 2
        stranger = RedisLink(url)
        stranger.start()
        await eventually(lambda: stranger._last_error, "it tried to connect", within_s=30)
        with pytest.raises(Unavailable) as refused:
            await stranger.ready(0.01)
        await stranger.close()
    assert "CERTIFICATE_VERIFY_FAILED" in str(refused.value.__cause__)


def _self_signed(folder: Path) -> tuple[Path, Path]:
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("openssl not found: apt install openssl")
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    command = (
        "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2"
        f" -subj /CN=penstock -addext subjectAltName=IP:127.0.0.1 -out {certificate} -keyout {key}"
    )
    subprocess.run([openssl, *command.split()], check=True, capture_output=True)
    return certificate, key


# Ends that are meant.


async def test_closing_delivers_what_was_sent_and_fails_who_waits(redis_url: str) -> None:
    link = RedisLink(redis_url)
    link.start()
    await link.ready(5)
    link.send("SET", "last", "words")
    waiting = link.call("PING")
    await link.close()
    await link.close()
    with pytest.raises(ConnectionLost) as lost:
        await waiting
    assert lost.value.maybe_executed
    with pytest.raises(Unavailable, match="closed"):
        await link.call("PING")
    with pytest.raises(Unavailable, match="closed"):
        await link.ready(5)
    async with RedisLink(redis_url) as another:
        assert await another.call("GET", "last") == b"words"


async def test_a_link_that_never_started_or_never_connected_can_be_closed() -> None:
    idle = RedisLink("redis://127.0.0.1:1")
    await idle.close()
    busy = RedisLink("redis://127.0.0.1:1")
    busy.start()
    waiting = asyncio.create_task(busy.ready())
    await asyncio.sleep(0)
    await busy.close()
    with pytest.raises(Unavailable, match="closed"):
        await waiting
