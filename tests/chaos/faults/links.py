"""The links between processes and the server: slow, half-open, torn, or gone."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, ClassVar, Final

from tests.chaos.faults.fault import Fault, InVain

if TYPE_CHECKING:
    import random

    from tests.chaos.link.proxy import FaultProxy
    from tests.chaos.worlds.world import World

__all__ = [
    "ConnectionsReset",
    "GatewaysPartitioned",
    "LinkHalfOpen",
    "LinkSlow",
    "LinkThrottled",
    "RepliesLost",
    "ServerUnreachable",
    "WorkersPartitioned",
]

_KIB: Final = 1024


class LinkSlow(Fault):
    """Each chunk takes 25 to 1000 ms longer, each way, with jitter, for some seconds."""

    name: ClassVar[str] = "a link is slow"
    rows: ClassVar[tuple[int, ...]] = (10,)
    subject: ClassVar[str] = "network"

    async def strike(self, world: World, chance: random.Random) -> str:
        name, link = _one_of(world, chance)
        delay_s = 0.025 * 40 ** chance.random()
        link.delay_s, link.jitter_s = delay_s * 0.75, delay_s * 0.5
        return await _lasting(f"{name} by {delay_s * 2000:.0f} ms", link, chance.uniform(2, 6))


class ConnectionsReset(Fault):
    """RST to all connections of all gateways, or of all workers."""

    name: ClassVar[str] = "connections are reset"
    rows: ClassVar[tuple[int, ...]] = (9,)
    subject: ClassVar[str] = "network"
    weight: ClassVar[float] = 1.5

    async def strike(self, world: World, chance: random.Random) -> str:
        name, link = _one_of(world, chance)
        connections = link.reset()
        if not connections:
            raise InVain
        return f"{name}, {connections} connections"


class RepliesLost(Fault):
    """Replies to several requests are lost after the server has executed them."""

    name: ClassVar[str] = "replies are lost"
    rows: ClassVar[tuple[int, ...]] = (9,)
    subject: ClassVar[str] = "network"
    weight: ClassVar[float] = 2.0

    async def strike(self, world: World, chance: random.Random) -> str:
        name, link = _one_of(world, chance)
        before = link.lost
        for _ in range(chance.randint(1, 8)):
            link.lose_replies(1, chance.choice([b"", b"EVALSHA"]))
            await asyncio.sleep(chance.uniform(0, 0.4))
        link.restore()
        if link.lost == before:
            raise InVain
        return f"{name}, {link.lost - before} replies"


class LinkHalfOpen(Fault):
    """Nothing passes for less than a lease, and nothing is closed; then all that was sent comes."""

    name: ClassVar[str] = "a link is half-open for a moment"
    rows: ClassVar[tuple[int, ...]] = (11,)
    subject: ClassVar[str] = "network"

    async def strike(self, world: World, chance: random.Random) -> str:
        name, link = _one_of(world, chance)
        link.frozen = True
        return await _lasting(name, link, chance.uniform(0.1, 0.9) * world.lease_s)


class LinkThrottled(Fault):
    """So few bytes pass that queues grow, for some seconds."""

    name: ClassVar[str] = "a link is throttled"
    rows: ClassVar[tuple[int, ...]] = (12,)
    subject: ClassVar[str] = "network"

    async def strike(self, world: World, chance: random.Random) -> str:
        name, link = _one_of(world, chance)
        link.bytes_per_s = chance.choice([4, 16, 64]) * _KIB
        target = f"{name} to {link.bytes_per_s / _KIB:g} KiB/s"
        return await _lasting(target, link, chance.uniform(2, 5))


class WorkersPartitioned(Fault):
    """Nothing passes between workers and server for longer than a lease; then all comes at once."""

    name: ClassVar[str] = "workers are cut off"
    rows: ClassVar[tuple[int, ...]] = (13,)
    subject: ClassVar[str] = "network"
    outage: ClassVar[bool] = False
    weight: ClassVar[float] = 0.7

    async def strike(self, world: World, chance: random.Random) -> str:
        world.worker_link.frozen = True
        seconds = chance.uniform(1.2, 3) * world.lease_s
        return await _lasting("all workers", world.worker_link, seconds)


class GatewaysPartitioned(Fault):
    """Nothing passes between gateways and server for some seconds; then all comes at once."""

    name: ClassVar[str] = "gateways are cut off"
    rows: ClassVar[tuple[int, ...]] = (14,)
    subject: ClassVar[str] = "network"
    weight: ClassVar[float] = 0.7

    async def strike(self, world: World, chance: random.Random) -> str:
        world.gateway_link.frozen = True
        return await _lasting("all gateways", world.gateway_link, chance.uniform(2, 7))


class ServerUnreachable(Fault):
    """All connections are reset, and new ones hung up on, for a while."""

    name: ClassVar[str] = "the server hangs up on everybody"
    rows: ClassVar[tuple[int, ...]] = (13, 14)
    subject: ClassVar[str] = "network"
    weight: ClassVar[float] = 0.7

    async def strike(self, world: World, chance: random.Random) -> str:
        name, link = _one_of(world, chance)
        link.refusing = True
        link.reset()
        return await _lasting(name, link, chance.uniform(0.2, 2) * world.lease_s)


def _one_of(world: World, chance: random.Random) -> tuple[str, FaultProxy]:
    links = {"gateways": world.gateway_link, "workers": world.worker_link}
    return chance.choice(list(links.items()))


async def _lasting(target: str, link: FaultProxy, seconds: float) -> str:
    """Lets a fault of a link last, and undoes it."""
    try:
        await asyncio.sleep(seconds)
    finally:
        link.restore()
    return f"{target} for {seconds:.1f} s"
