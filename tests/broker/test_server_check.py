"""At each connect: is this a server that jobs may be entrusted to?"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

import pytest

from penstock.broker import Broker, BrokerOptions, Durability, NewJob, Unavailable, UnsafeServer
from penstock.broker.keys import NamespaceKeys
from penstock.broker.link import RedisLink
from penstock.broker.server_check import _check_version
from penstock.runtime.embedded import EmbeddedServer
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

SAFE: Final = {
    "appendonly": "yes",
    "appendfsync": "everysec",
    "maxmemory-policy": "noeviction",
}


@pytest.fixture(scope="module")
def own_server(server_binary: Path) -> Iterator[EmbeddedServer]:
    """A server that the tests may misconfigure."""
    with EmbeddedServer(binary=server_binary, port=0) as server:
        yield server


@pytest.fixture
async def link(own_server: EmbeddedServer) -> AsyncIterator[RedisLink]:
    """To misconfigure it by; afterwards it is as it was."""
    async with RedisLink(own_server.url) as link:
        yield link
        await link.call("REPLICAOF", "NO", "ONE")
        for name, value in SAFE.items():
            await link.call("CONFIG", "SET", name, value)
        await link.call("FLUSHALL")


async def durability(url: str, options: BrokerOptions | None = None) -> Durability:
    async with Broker(url, options) as broker:
        return broker.durability


@pytest.mark.parametrize(
    ("setting", "value", "expected"),
    [
        ("appendfsync", "everysec", Durability.EVERYSEC),
        ("appendfsync", "always", Durability.ALWAYS),
        ("appendfsync", "no", Durability.NONE),
        ("appendonly", "no", Durability.NONE),
    ],
)
async def test_durability_is_read_and_held_to_the_minimum(
    own_server: EmbeddedServer, link: RedisLink, setting: str, value: str, expected: Durability
) -> None:
    await link.call("CONFIG", "SET", setting, value)
    for minimum in (Durability.NONE, Durability.EVERYSEC, Durability.ALWAYS, Durability.REPLICATED):
        options = BrokerOptions(minimum_durability=minimum)
        if expected >= minimum:
            assert await durability(own_server.url, options) is expected
        else:
            with pytest.raises(UnsafeServer, match=minimum.name):
                await durability(own_server.url, options)


@pytest.mark.parametrize("policy", ["allkeys-lru", "volatile-ttl", "allkeys-random"])
async def test_a_server_that_evicts_is_refused_at_once(
    own_server: EmbeddedServer, link: RedisLink, policy: str
) -> None:
    await link.call("CONFIG", "SET", "maxmemory-policy", policy)
    since = time.monotonic()
    with pytest.raises(UnsafeServer, match=f"maxmemory-policy is {policy}"):
        await durability(own_server.url, BrokerOptions(minimum_durability=Durability.NONE))
    assert time.monotonic() - since < 5.0


async def test_a_replica_is_refused(own_server: EmbeddedServer, link: RedisLink) -> None:
    await link.call("REPLICAOF", "127.0.0.1", 1)
    with pytest.raises(UnsafeServer, match="replica"):
        await durability(own_server.url)


async def test_where_config_is_denied_the_operator_may_assert_durability(
    own_server: EmbeddedServer, link: RedisLink, caplog: pytest.LogCaptureFixture
) -> None:
    rules = ("on", ">pw", "~*", "&*", "+@all", "-config")
    await link.call("ACL", "SETUSER", "app", *rules)
    url = own_server.url.replace("redis://", "redis://app:pw@")
    try:
        with pytest.raises(UnsafeServer, match=r"denies CONFIG GET \(NOPERM\)"):
            await durability(url)
        asserted = BrokerOptions(asserted_durability=Durability.ALWAYS)
        assert await durability(url, asserted) is Durability.ALWAYS
        assert "ALWAYS is asserted" in caplog.text
        weak = BrokerOptions(asserted_durability=Durability.NONE)
        with pytest.raises(UnsafeServer, match="EVERYSEC is asked for"):
            await durability(url, weak)
    finally:
        await link.call("ACL", "DELUSER", "app")


async def test_what_is_read_goes_before_what_is_asserted(
    own_server: EmbeddedServer, link: RedisLink
) -> None:
    await link.call("CONFIG", "SET", "appendfsync", "no")
    with pytest.raises(UnsafeServer):
        await durability(own_server.url, BrokerOptions(asserted_durability=Durability.ALWAYS))


async def test_a_server_that_becomes_unsafe_is_left_at_the_next_connect(
    own_server: EmbeddedServer, link: RedisLink
) -> None:
    async with Broker(own_server.url) as broker:
        await link.call("CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
        await link.call("CLIENT", "KILL", "TYPE", "normal")
        with pytest.raises(Unavailable):
            await broker.queues.all(budget_s=0.3)
        await link.call("CONFIG", "SET", "maxmemory-policy", "noeviction")

        async def recovered() -> bool:
            try:
                return await broker.queues.all(budget_s=1.0) == []
            except Unavailable:
                return False

        await eventually(recovered, "the broker is back by itself")


# The data.


async def test_a_new_server_is_marked_with_format_and_namespace(
    own_server: EmbeddedServer, link: RedisLink
) -> None:
    await durability(own_server.url, BrokerOptions(namespace="acme"))
    base = NamespaceKeys("acme").base
    assert await link.call("HMGET", base, "format", "namespace") == [b"1", b"acme"]


async def test_another_format_is_refused_and_left_alone(
    own_server: EmbeddedServer, link: RedisLink
) -> None:
    base = NamespaceKeys("default").base
    await link.call("HSET", base, "format", 2, "namespace", "default")
    with pytest.raises(UnsafeServer, match="has format 2, this version reads 1"):
        await durability(own_server.url)
    assert await link.call("HGET", base, "format") == b"2"


async def test_two_namespaces_never_share_their_keys(
    own_server: EmbeddedServer, link: RedisLink
) -> None:
    await link.call("HSET", NamespaceKeys("acme").base, "format", 1, "namespace", "squatter")
    with pytest.raises(UnsafeServer, match="'acme' cannot be told from 'squatter'"):
        await durability(own_server.url, BrokerOptions(namespace="acme"))


# Versions, of which one server has only one.


@pytest.mark.parametrize(
    "info",
    [
        {"redis_version": "6.2.14"},
        {"redis_version": "2.8"},
        {"redis_version": "7.2.4", "valkey_version": "7.1.9"},
        {},
    ],
)
def test_an_old_server_is_refused(info: dict[str, str]) -> None:
    with pytest.raises(UnsafeServer, match="or later is needed"):
        _check_version(info)


@pytest.mark.parametrize(
    ("info", "warns"),
    [
        ({"redis_version": "7.0.15"}, False),
        ({"redis_version": "7.2.4", "valkey_version": "7.2.11"}, False),
        ({"redis_version": "7.2.4", "valkey_version": "8.1.3"}, True),
        ({"redis_version": "7.2.10"}, True),
        ({"redis_version": "8.2.9"}, False),
        ({"redis_version": "99.0.0"}, False),
    ],
)
def test_a_version_with_known_holes_is_warned_of(
    info: dict[str, str], *, warns: bool, caplog: pytest.LogCaptureFixture
) -> None:
    _check_version(info)
    assert ("known holes" in caplog.text) == warns


async def test_an_eviction_policy_is_seen_where_config_is_denied(
    own_server: EmbeddedServer, link: RedisLink
) -> None:
    await link.call("CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
    await link.call("ACL", "SETUSER", "limited", "on", ">pw", "~*", "&*", "+@all", "-config")
    url = f"redis://limited:pw@127.0.0.1:{own_server.port}"
    options = BrokerOptions(asserted_durability=Durability.EVERYSEC)
    with pytest.raises(UnsafeServer, match="allkeys-lru"):
        await durability(url, options)


async def test_a_user_without_rights_to_channels_is_refused(
    own_server: EmbeddedServer, link: RedisLink
) -> None:
    await link.call("ACL", "SETUSER", "mute", "on", ">pw", "~ps{*", "resetchannels", "+@all")
    with pytest.raises(UnsafeServer, match="&ps"):
        await durability(f"redis://mute:pw@127.0.0.1:{own_server.port}")


async def test_the_rights_that_are_asked_for_are_enough(
    own_server: EmbeddedServer, link: RedisLink
) -> None:
    await link.call(
        "ACL", "SETUSER", "able", "on", ">pw", "~ps{*", "resetchannels", "&ps{*", "+@all"
    )
    async with Broker(f"redis://able:pw@127.0.0.1:{own_server.port}") as broker:
        receipt = await broker.jobs.submit(NewJob("t", "q", "1"))
        assert (await broker.jobs.get(receipt.job_id)).type == "t"


async def test_syncs_that_pause_for_rewrites_promise_nothing(
    own_server: EmbeddedServer, link: RedisLink
) -> None:
    await link.call("CONFIG", "SET", "no-appendfsync-on-rewrite", "yes")
    try:
        with pytest.raises(UnsafeServer, match="no-appendfsync-on-rewrite"):
            await durability(own_server.url)
    finally:
        await link.call("CONFIG", "SET", "no-appendfsync-on-rewrite", "no")


async def test_a_server_that_is_demoted_is_examined_anew(
    own_server: EmbeddedServer, link: RedisLink
) -> None:
    async with Broker(own_server.url) as broker:
        await broker.jobs.submit(NewJob("t", "q", "1"))
        before = broker.link.stats.connects
        await link.call("REPLICAOF", "127.0.0.1", 1)
        # It refuses writes, and at the next connect it is refused itself, for as long as it lasts.
        with pytest.raises(Unavailable):
            await broker.jobs.submit(NewJob("t", "q", "2"), budget_s=0.5)
        await link.call("REPLICAOF", "NO", "ONE")
        await broker.jobs.submit(NewJob("t", "q", "3"), budget_s=10.0)
        assert broker.link.stats.connects == before + 1


async def test_what_a_call_met_is_not_bound_by_what_was_unknown_before(
    own_server: EmbeddedServer,
) -> None:
    """A call that begins before the first connect is answered with the level of that server."""
    broker = Broker(own_server.url)
    before = broker.durability_so_far
    async with broker:
        assert min(before, broker.durability) is Durability.EVERYSEC
        assert broker.durability_so_far is Durability.EVERYSEC
