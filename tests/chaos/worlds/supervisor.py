"""Replaces processes that ended of their own accord, as whatever runs a service would."""

from __future__ import annotations

import asyncio
import signal
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from tests.chaos.worlds.member import Member
    from tests.chaos.worlds.world import World

__all__ = ["supervise"]

_LOOK_S: Final = 0.05
_LAST_WORDS: Final = 500
#: What a worker logs once it serves. Before, it gives up if the server is away for long.
_UP: Final = "worker started"


async def supervise(world: World) -> None:
    """Goes on until it is cancelled."""
    while True:
        await asyncio.sleep(_LOOK_S)
        for member in world.members:
            if member.wanted and not member.alive:
                _replace(world, member)


def _replace(world: World, member: Member) -> None:
    result, status = world.run.result, member.status
    if member in world.workers and status == -signal.SIGKILL:
        world.note_suicide(member)
    elif member in world.workers and _UP not in member.log.read_text(errors="replace"):
        name = "workers that gave up while they started"
        result.figures[name] = str(int(result.figures.get(name, "0")) + 1)
    else:
        words = member.log.read_text(errors="replace")[-_LAST_WORDS:]
        result.expect(None, "crash", f"{member.name} ended by itself, with {status}", words)
    member.start()
