"""Foreign hands in the server: scripts flushed, structures deleted, clients killed, limits reached.

Only what is rebuilt at once, or within seconds (docs/operations.md): at the end of a mixed run all
data must be in order. What takes a walk that nobody asks for has a scenario of its own, `flushed`.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import suppress
from typing import TYPE_CHECKING, ClassVar, Final, TypeAlias

from redis.exceptions import ResponseError

from penstock.broker import ids
from tests.chaos.faults.fault import Fault, InVain

if TYPE_CHECKING:
    import random
    from collections.abc import Awaitable, Callable

    from tests.chaos.worlds.world import World

__all__ = [
    "ClientsKilled",
    "ClientsPaused",
    "ConnectionsLimited",
    "EntriesTaken",
    "GroupsDestroyed",
    "ScriptsFlushed",
    "ServerBusy",
    "StructureDeleted",
]

_STREAMS: Final = "ps{*}:s:?"
#: How long entries are lain in wait for (s), how often, and how many are taken at once.
_TAKING_S: Final = 5.0
_TAKING_PAUSE_S: Final = 0.01
_TAKEN_AT_ONCE: Final = 3
#: As the server has them where nobody says otherwise.
_MAX_CLIENTS: Final = 10_000
_BUSY_AFTER_MS: Final = 5_000

#: Of a stream: its id, and its fields.
_Entry: TypeAlias = tuple[bytes, dict[bytes, bytes]]
_Take: TypeAlias = "Callable[[World, bytes], Awaitable[list[_Entry]]]"


class ScriptsFlushed(Fault):
    """SCRIPT FLUSH, ten times a second for some seconds."""

    name: ClassVar[str] = "scripts are flushed in a loop"
    rows: ClassVar[tuple[int, ...]] = (21,)
    subject: ClassVar[str] = "data"
    outage: ClassVar[bool] = False

    async def strike(self, world: World, chance: random.Random) -> str:
        times = chance.randint(5, 30)
        for _ in range(times):
            await world.redis("SCRIPT", "FLUSH")
            await asyncio.sleep(0.1)
        return f"{times} times"


class GroupsDestroyed(Fault):
    """XGROUP DESTROY of the group of every stream."""

    name: ClassVar[str] = "consumer groups are destroyed"
    rows: ClassVar[tuple[int, ...]] = (22,)
    subject: ClassVar[str] = "data"
    outage: ClassVar[bool] = False

    async def strike(self, world: World, chance: random.Random) -> str:  # noqa: ARG002
        destroyed = 0
        for stream in await _keys(world, _STREAMS):
            destroyed += await world.redis("XGROUP", "DESTROY", stream, "workers")
        return _done(destroyed, "groups")


class StructureDeleted(Fault):
    """DEL of every stream, due set or lease set: records alone say what stood there."""

    name: ClassVar[str] = "a structure is deleted"
    rows: ClassVar[tuple[int, ...]] = (22,)
    subject: ClassVar[str] = "data"
    outage: ClassVar[bool] = False
    displaces: ClassVar[bool] = True
    weight: ClassVar[float] = 1.5

    async def strike(self, world: World, chance: random.Random) -> str:
        pattern = chance.choice([_STREAMS, _STREAMS, "ps{*}:due", "ps{*}:lease"])
        keys = await _keys(world, pattern)
        deleted = await world.redis("DEL", *keys) if keys else 0
        return _done(deleted, f"keys {pattern}")


class EntriesTaken(Fault):
    """Entries of waiting jobs are read, acknowledged, deleted, trimmed or skipped by others."""

    name: ClassVar[str] = "somebody else takes entries"
    rows: ClassVar[tuple[int, ...]] = (23,)
    subject: ClassVar[str] = "data"
    outage: ClassVar[bool] = False
    displaces: ClassVar[bool] = True
    weight: ClassVar[float] = 1.5

    async def strike(self, world: World, chance: random.Random) -> str:
        took: Counter[str] = Counter()
        wanted = chance.randint(3, 20)
        streams = await _keys(world, _STREAMS)
        loop = asyncio.get_running_loop()
        give_up = loop.time() + _TAKING_S
        # An entry is there for the moment in which a worker comes for it: look often.
        while took.total() < wanted and loop.time() < give_up:
            for stream in streams:
                how, take = chance.choice(_WAYS_TO_TAKE)
                with suppress(ResponseError):  # The stream, or its group, is not there now.
                    taken = await take(world, stream)
                    took[how] += len(taken)
                    for job in _jobs_of(stream, taken):
                        world.journal.write("taken", job=job, how=how)
            await asyncio.sleep(_TAKING_PAUSE_S)
        told = ", ".join(f"{count} by {how}" for how, count in sorted((+took).items()))
        return _done(took.total(), f"entries: {told}")


class ClientsKilled(Fault):
    """CLIENT KILL of all ordinary clients, or of all subscribers."""

    name: ClassVar[str] = "clients of the server are killed"
    rows: ClassVar[tuple[int, ...]] = (24,)
    subject: ClassVar[str] = "data"

    async def strike(self, world: World, chance: random.Random) -> str:
        kind = chance.choice(["normal", "pubsub"])
        killed = await world.redis("CLIENT", "KILL", "TYPE", kind, "SKIPME", "yes")
        return _done(killed, f"of type {kind}")


class ClientsPaused(Fault):
    """CLIENT PAUSE of all commands, or of those that write, for some seconds."""

    name: ClassVar[str] = "clients of the server are paused"
    rows: ClassVar[tuple[int, ...]] = (24,)
    subject: ClassVar[str] = "data"

    async def strike(self, world: World, chance: random.Random) -> str:
        mode, pause_ms = chance.choice(["ALL", "WRITE"]), chance.randint(200, 4_000)
        await world.redis("CLIENT", "PAUSE", pause_ms, mode)
        await asyncio.sleep(pause_ms / 1000)
        return f"{mode} for {pause_ms} ms"


class ServerBusy(Fault):
    """A script of somebody else runs for 1 to 2 s; mostly, commands are answered BUSY meanwhile."""

    name: ClassVar[str] = "the server is busy with a script"
    rows: ClassVar[tuple[int, ...]] = (24,)
    subject: ClassVar[str] = "data"

    async def strike(self, world: World, chance: random.Random) -> str:
        seconds = chance.uniform(1, 2)
        # Before it the server answers nobody, not even SCRIPT KILL.
        answers_after_s = chance.choice([0.1, 0.1, seconds])
        threshold = "busy-reply-threshold"
        await world.redis("CONFIG", "SET", threshold, round(answers_after_s * 1000))
        script = asyncio.create_task(world.redis("EVAL", "while true do end", 0))
        try:
            await asyncio.sleep(seconds)
        finally:
            # Again and again: where the server is killed meanwhile, the script is sent once more.
            while not script.done():
                with suppress(ResponseError):
                    await world.redis("SCRIPT", "KILL")
                await asyncio.wait({script}, timeout=0.1)
            script.exception()
            await world.redis("CONFIG", "SET", threshold, _BUSY_AFTER_MS)
        answered = "" if answers_after_s == seconds else ", with answers of BUSY"
        return f"for {seconds:.1f} s{answered}"


class ConnectionsLimited(Fault):
    """All clients are hung up on, and the server takes no more connections for some seconds."""

    name: ClassVar[str] = "the server is at its limit of connections"
    rows: ClassVar[tuple[int, ...]] = (24,)
    subject: ClassVar[str] = "data"
    weight: ClassVar[float] = 0.7

    async def strike(self, world: World, chance: random.Random) -> str:
        seconds = chance.uniform(0.5, 4)
        await world.redis("CONFIG", "SET", "maxclients", 1)
        try:
            await world.redis("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
            await asyncio.sleep(seconds)
        finally:
            await world.redis("CONFIG", "SET", "maxclients", _MAX_CLIENTS)
        return f"for {seconds:.1f} s"


async def _read(world: World, stream: bytes) -> list[_Entry]:
    """As a member of the group that never says what became of them."""
    thief = ("GROUP", "workers", "thief", "COUNT", _TAKEN_AT_ONCE)
    read = await world.redis("XREADGROUP", *thief, "STREAMS", stream, ">")
    return read[0][1] if read else []


async def _acknowledge(world: World, stream: bytes) -> list[_Entry]:
    """As a member that takes them for done; who is not given an entry cannot acknowledge it."""
    read = await _read(world, stream)
    return [each for each in read if await world.redis("XACK", stream, "workers", each[0])]


async def _delete(world: World, stream: bytes) -> list[_Entry]:
    found = await world.redis("XRANGE", stream, "-", "+", "COUNT", _TAKEN_AT_ONCE)
    return [each for each in found if await world.redis("XDEL", stream, each[0])]


async def _trim(world: World, stream: bytes) -> list[_Entry]:
    found: list[_Entry] = await world.redis("XRANGE", stream, "-", "+")
    trimmed = await world.redis("XTRIM", stream, "MAXLEN", 0)
    return found[max(0, len(found) - trimmed) :]  # Workers take the oldest.


async def _skip(world: World, stream: bytes) -> list[_Entry]:
    """Has the group go on behind them."""
    found = await world.redis("XRANGE", stream, "-", "+")
    if not found:
        return []
    last = found[-1][0]
    await world.redis("XGROUP", "SETID", stream, "workers", last)
    skipped: list[_Entry] = await world.redis("XRANGE", stream, "-", last)
    return skipped


_WAYS_TO_TAKE: Final[tuple[tuple[str, _Take], ...]] = (
    ("XREADGROUP", _read),
    ("XACK", _acknowledge),
    ("XDEL", _delete),
    ("XTRIM", _trim),
    ("XGROUP SETID", _skip),
)


def _jobs_of(stream: bytes, entries: list[_Entry]) -> list[str]:
    """The ids of the jobs that entries of a stream stand for."""
    _, code, partition = stream.partition(b"}")[0].decode().split(":")
    return [ids.join(int(partition), code, fields[b"j"].decode()) for _, fields in entries]


def _done(count: int, what: str) -> str:
    """What was struck. Raises InVain if nothing was."""
    if not count:
        raise InVain
    return f"{count} {what}"


async def _keys(world: World, pattern: str) -> list[bytes]:
    """The keys of a pattern, in order."""
    found, cursor = set[bytes](), b"0"
    while True:
        cursor, keys = await world.redis("SCAN", cursor, "MATCH", pattern, "COUNT", 5_000)
        found.update(keys)
        if int(cursor) == 0:
            return sorted(found)
