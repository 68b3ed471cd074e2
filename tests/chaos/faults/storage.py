"""The server's disk is slow, and its append-only file is rewritten, whatever else happens."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, ClassVar, Final

from redis.exceptions import ResponseError

from tests.chaos.faults.fault import Fault
from tests.support.waiting import eventually

if TYPE_CHECKING:
    import random

    from tests.chaos.worlds.world import World

__all__ = ["LogRewritten", "SlowFsync"]

#: How long a rewrite may take (s).
_REWRITE_S: Final = 60.0


class SlowFsync(Fault):
    """Each fsync takes up to half a second, for some seconds; at `always`, all wait for it."""

    name: ClassVar[str] = "each fsync takes long"
    rows: ClassVar[tuple[int, ...]] = (19,)
    subject: ClassVar[str] = "disk"
    needs: ClassVar[str] = "slowfsync"

    async def strike(self, world: World, chance: random.Random) -> str:
        delay_s, seconds = chance.uniform(0.02, 0.5), chance.uniform(0.5, 4)
        delay = world.server.preload.fsync_delay
        delay.value = round(delay_s * 1e6)
        try:
            await asyncio.sleep(seconds)
        finally:
            delay.value = 0
        return f"{delay_s:.2f} s each, for {seconds:.1f} s"


class LogRewritten(Fault):
    """The server rewrites its append-only file, and may be killed or lose its power meanwhile."""

    name: ClassVar[str] = "the append-only file is rewritten"
    rows: ClassVar[tuple[int, ...]] = ()  # By itself it is none of them.
    subject: ClassVar[str] = "disk"
    outage: ClassVar[bool] = False
    weight: ClassVar[float] = 0.5

    async def strike(self, world: World, chance: random.Random) -> str:  # noqa: ARG002
        with suppress(ResponseError):  # It does so already.
            await world.redis("BGREWRITEAOF")

        async def rewritten() -> bool:
            info = await world.redis("INFO", "persistence")
            return not (info["aof_rewrite_in_progress"] or info["aof_rewrite_scheduled"])

        await eventually(rewritten, "the file is rewritten", within_s=_REWRITE_S)
        return "the server"
