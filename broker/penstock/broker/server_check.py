"""What the server promises, read at every connect: durability, role, version, data format."""

from __future__ import annotations

import logging
from enum import IntEnum
from typing import TYPE_CHECKING, Final

from penstock.broker.errors import NotServing, ReplyError, StorageFull, UnsafeServer
from penstock.broker.info import parse_info
from penstock.broker.keys import DATA_FORMAT, NamespaceKeys
from penstock.broker.script import load_script

if TYPE_CHECKING:
    from collections.abc import Mapping

    from penstock.broker.pipeline import Caller

_log = logging.getLogger(__name__)

PROBE = load_script("probe")
#: How long the probe's key lives.
PROBE_TTL_MS: Final = 60_000

#: (Redis, Valkey): commands used here need these.
_OLDEST: Final = {"redis": (7, 0, 0), "valkey": (7, 2, 0)}
#: Releases of these lines before the given patch have known holes in Lua or streams.
_PATCHED: Final = {
    "redis": {(7, 2): 11, (7, 4): 6, (8, 0): 4, (8, 2): 9, (8, 4): 6, (8, 6): 6},
    "valkey": {(7, 2): 11, (8, 0): 6, (8, 1): 4, (9, 0): 1},
}
#: How servers say, from within a script, that the ACL denies something: newer ones, and Redis 7.0.
_DENIALS: Final = ("ACL", "The user executing the script can't")
_SETTINGS: Final = ("appendonly", "appendfsync", "no-appendfsync-on-rewrite")


class Durability(IntEnum):
    """What an acknowledged write survives. The order is the order of strength."""

    NONE = 1
    EVERYSEC = 2
    ALWAYS = 3
    REPLICATED = 4


async def read_info(caller: Caller) -> dict[str, str]:
    """What INFO tells, as far as it is of interest here, by field."""
    info: dict[str, str] = {}
    for section in ("server", "replication", "memory", "persistence"):
        info |= parse_info(await caller.call("INFO", section))
    return info


async def check_server(
    caller: Caller,
    info: Mapping[str, str],
    *,
    minimum: Durability,
    asserted: Durability | None,
) -> Durability:
    """The server's durability, if jobs may be entrusted to it.

    Args:
        caller: a connection to it.
        info: see `read_info`.
        minimum: weaker servers are refused.
        asserted: what the operator says it is, used only where the server denies CONFIG GET.

    Raises:
        UnsafeServer: it is a replica, too old, evicts keys, or is less durable than asked for.
    """
    _check_version(info)
    if info.get("role", "master") != "master":
        raise UnsafeServer("the server is a replica: point Penstock at the primary")
    _check_eviction(info.get("maxmemory_policy", "noeviction"))
    try:
        flat = await caller.call("CONFIG", "GET", *_SETTINGS)
    except ReplyError as error:
        if asserted is None:
            raise UnsafeServer(
                f"the server denies CONFIG GET ({error.code}): allow it, or state its durability "
                "yourself with PENSTOCK_ASSERT_DURABILITY=everysec|always|replicated"
            ) from error
        _log.warning("durability %s is asserted, not read from the server", asserted.name)
        # What can be read without the right to CONFIG still counts.
        # (A service that replicates by itself need not have an append-only file to do it.)
        synced = info.get("aof_enabled", "1") == "1" or asserted is Durability.REPLICATED
        found = asserted if synced else Durability.NONE
    else:
        settings = {k.decode(): v.decode() for k, v in zip(flat[::2], flat[1::2], strict=True)}
        found = _durability(settings)
    if found < minimum:
        raise UnsafeServer(
            f"the server's durability is {found.name}, and {minimum.name} is asked for: set "
            "appendonly yes, appendfsync everysec (always for ALWAYS and REPLICATED) and "
            "no-appendfsync-on-rewrite no on it, or lower PENSTOCK_MIN_DURABILITY"
        )
    return found


async def read_settings(caller: Caller) -> list[bytes] | None:
    """The settings that a verdict rests on, to see whether they change; None where that is denied.

    Raises:
        Unavailable: the server cannot be asked.
    """
    try:
        settings: list[bytes] = await caller.call("CONFIG", "GET", *_SETTINGS, "maxmemory-policy")
    except NotServing:
        raise
    except ReplyError:
        return None
    return settings


async def check_format(caller: Caller, names: NamespaceKeys) -> None:
    """Marks a new namespace with our data format, or makes sure that it has it.

    Raises:
        UnsafeServer: the data has another format, or another namespace has the same code.
    """
    found, owner = await caller.call("HMGET", names.base, "format", "namespace")
    # Written only where it is missing: a server whose memory is full refuses writes, and yet the
    # workers that come back to it must be able to end their jobs.
    if found is None or owner is None:
        await caller.call("HSETNX", names.base, "format", DATA_FORMAT)
        await caller.call("HSETNX", names.base, "namespace", names.namespace)
        found, owner = await caller.call("HMGET", names.base, "format", "namespace")
    if int(found) != DATA_FORMAT:
        raise UnsafeServer(
            f"the data has format {int(found)}, this version reads {DATA_FORMAT}: run the version "
            "that wrote it until its jobs are done, or use another server or namespace"
        )
    if owner.decode() != names.namespace:
        raise UnsafeServer(
            f"the namespace {names.namespace!r} cannot be told from {owner.decode()!r} in keys: "
            "choose another name"
        )


async def check_rights(caller: Caller, names: NamespaceKeys) -> None:
    """Makes sure that scripts of this user may write and publish: half of a transition is worse.

    Raises:
        UnsafeServer: the ACL denies keys or channels.
    """
    keys = [names.probe()]
    try:
        await caller.call("EVAL", PROBE.source, len(keys), *keys, PROBE_TTL_MS)
    except StorageFull:
        return  # Full, but ours.
    except ReplyError as error:
        if error.code == "NOPERM" or any(sign in error.message for sign in _DENIALS):
            raise UnsafeServer(
                "the user of the Redis URL lacks rights: grant it ~ps{* and &ps{* and the commands "
                "that docs/operations.md lists"
            ) from error
        raise


def _check_version(info: Mapping[str, str]) -> None:
    kind = "valkey" if "valkey_version" in info else "redis"
    text = info.get(f"{kind}_version", "0.0.0")
    version = tuple(int(part) for part in text.split(".")[:3] if part.isdigit())
    if version < _OLDEST[kind]:
        oldest = ".".join(map(str, _OLDEST[kind]))
        raise UnsafeServer(f"the server is {kind} {text}; {kind} {oldest} or later is needed")
    patched = _PATCHED[kind].get((version[0], version[1]))
    if patched is not None and version[2] < patched:
        _log.warning(
            "the server is %s %s, which has known holes; %d.%d.%d or later mends them",
            kind, text, version[0], version[1], patched,
        )  # fmt: skip


def _check_eviction(policy: str) -> None:
    if policy != "noeviction":
        raise UnsafeServer(
            f"the server's maxmemory-policy is {policy}: it would evict jobs. Set noeviction"
        )


def _durability(settings: dict[str, str]) -> Durability:
    if settings.get("appendonly") != "yes":
        return Durability.NONE
    if settings.get("no-appendfsync-on-rewrite") == "yes":
        # Nothing is synced for as long as a rewrite takes.
        return Durability.NONE
    fsync = settings.get("appendfsync")
    return {"always": Durability.ALWAYS, "everysec": Durability.EVERYSEC}.get(
        fsync or "", Durability.NONE
    )
