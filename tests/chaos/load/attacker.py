"""What attacks are made of: connections from an address of their own, and calls over them."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Final

from penstock.v1 import job_service_pb2 as pb
from tests.chaos.waiting import PATIENCE_S
from tests.support.http2 import Peer, framed

if TYPE_CHECKING:
    import random
    from collections import Counter
    from collections.abc import AsyncIterator

__all__ = ["Attack", "listed", "status_name"]

#: Another address of loopback than good clients have, which the gateway counts apart.
SOURCE: Final = "127.0.0.2"
_NAMES: Final = {
    0: "OK",
    3: "INVALID_ARGUMENT",
    8: "RESOURCE_EXHAUSTED",
    12: "UNIMPLEMENTED",
    13: "INTERNAL",
    14: "UNAVAILABLE",
}


class Attack:
    """What attacks are given.

    Args:
        port: of the gateway, on loopback.
        job_id: of a job that waits, and has a large payload.
        chance: decides what is left to chance.
        scale: how much of it, 1 is enough to tell.
    """

    def __init__(self, port: int, job_id: str, chance: random.Random, scale: float) -> None:
        self.port = port
        self.chance = chance
        self._scale = scale
        self.get = framed(pb.GetStatusRequest(job_id=job_id).SerializeToString())
        self.get_all = framed(
            pb.GetStatusRequest(job_id=job_id, include_payload=True).SerializeToString()
        )
        self.watch = framed(pb.StreamProgressRequest(job_id=job_id).SerializeToString())

    def many(self, count: int) -> range:
        """So many, at scale 1."""
        return range(max(1, round(count * self._scale)))

    @contextlib.asynccontextmanager
    async def peers(self, count: int, window: int = 65_535) -> AsyncIterator[list[Peer]]:
        """So many connections, for as long as the block lasts."""
        peers = [Peer(self.port, window=window, source=SOURCE) for _ in range(count)]
        try:
            for peer in peers:
                await peer.__aenter__()
            yield peers
        finally:
            for peer in peers:
                peer.hang_up()

    async def answer(self, path: str, message: bytes, *headers: tuple[str, str]) -> str:
        """What one call is answered with."""
        async with self.peers(1) as (peer,):
            number = peer.call(path, message, headers)
            status = await peer.status_of(number, PATIENCE_S)
            return status_name(status)

    async def open(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A connection on which nothing is said yet."""
        return await asyncio.open_connection("127.0.0.1", self.port, local_addr=(SOURCE, 0))


def status_name(status: int | None) -> str:
    """What an attacker was answered, in words."""
    return "nothing" if status is None else _NAMES.get(status, str(status))


def listed(told: Counter[str]) -> str:
    """Answers, the most frequent first."""
    return ", ".join(f"{count} {name}" for name, count in told.most_common())
