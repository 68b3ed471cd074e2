"""Processes are killed, suspended, told to end, and restarted."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, ClassVar, Final

from tests.chaos.faults.fault import Fault

if TYPE_CHECKING:
    import random

    from tests.chaos.worlds.member import Member
    from tests.chaos.worlds.world import World

__all__ = [
    "ClientKilled",
    "GatewayKilled",
    "GatewaySuspended",
    "GatewayTold",
    "GatewaysRolled",
    "PowerCut",
    "ServerKilled",
    "ServerSuspended",
    "WorkerKilled",
    "WorkerSuspended",
    "WorkerTold",
    "WorkersRolled",
]

#: How long a process that was told to end may take (s).
_DRAIN_S: Final = 30.0


class WorkerKilled(Fault):
    """kill -9; another takes its place at once."""

    name: ClassVar[str] = "a worker is killed"
    rows: ClassVar[tuple[int, ...]] = (1,)
    subject: ClassVar[str] = "worker"
    outage: ClassVar[bool] = False
    weight: ClassVar[float] = 3.0

    async def strike(self, world: World, chance: random.Random) -> str:
        return _replaced(world, chance.choice(world.workers))


class WorkerSuspended(Fault):
    """SIGSTOP for up to three leases, then SIGCONT: its jobs run elsewhere by then."""

    name: ClassVar[str] = "a worker is suspended, and revived"
    rows: ClassVar[tuple[int, ...]] = (3,)
    subject: ClassVar[str] = "worker"
    outage: ClassVar[bool] = False
    weight: ClassVar[float] = 2.0

    async def strike(self, world: World, chance: random.Random) -> str:
        worker = chance.choice(world.workers)
        return await _suspended(worker, chance.uniform(0.5, 3) * world.lease_s)


class WorkerTold(Fault):
    """SIGTERM; it drains, and another takes its place."""

    name: ClassVar[str] = "a worker is told to end"
    rows: ClassVar[tuple[int, ...]] = (6,)
    subject: ClassVar[str] = "worker"
    outage: ClassVar[bool] = False

    async def strike(self, world: World, chance: random.Random) -> str:
        return await _told(world, chance.choice(world.workers))


class WorkersRolled(Fault):
    """All workers are told to end and replaced, one after the other."""

    name: ClassVar[str] = "all workers are restarted in turn"
    rows: ClassVar[tuple[int, ...]] = (6,)
    subject: ClassVar[str] = "worker"
    outage: ClassVar[bool] = False
    weight: ClassVar[float] = 0.3

    async def strike(self, world: World, chance: random.Random) -> str:  # noqa: ARG002
        return ", ".join([await _told(world, worker) for worker in world.workers])


class GatewayKilled(Fault):
    """kill -9 under submits and streams; it is started again at the same address."""

    name: ClassVar[str] = "a gateway is killed"
    rows: ClassVar[tuple[int, ...]] = (7, 8)
    subject: ClassVar[str] = "gateway"
    weight: ClassVar[float] = 2.0

    async def strike(self, world: World, chance: random.Random) -> str:
        gateway = chance.choice(world.gateways)
        target = _replaced(world, gateway)
        await world.accepting(gateway)
        return target


class GatewaySuspended(Fault):
    """SIGSTOP for some seconds: its connections hang, and then go on."""

    name: ClassVar[str] = "a gateway is suspended"
    rows: ClassVar[tuple[int, ...]] = (8,)
    subject: ClassVar[str] = "gateway"

    async def strike(self, world: World, chance: random.Random) -> str:
        return await _suspended(chance.choice(world.gateways), chance.uniform(0.3, 5))


class GatewayTold(Fault):
    """SIGTERM under load; it is started again at the same address."""

    name: ClassVar[str] = "a gateway is told to end"
    rows: ClassVar[tuple[int, ...]] = (33,)
    subject: ClassVar[str] = "gateway"

    async def strike(self, world: World, chance: random.Random) -> str:
        gateway = chance.choice(world.gateways)
        target = await _told(world, gateway)
        await world.accepting(gateway)
        return target


class GatewaysRolled(Fault):
    """All gateways are told to end and started again, one after the other."""

    name: ClassVar[str] = "all gateways are restarted in turn"
    rows: ClassVar[tuple[int, ...]] = (33,)
    subject: ClassVar[str] = "gateway"
    weight: ClassVar[float] = 0.3

    async def strike(self, world: World, chance: random.Random) -> str:  # noqa: ARG002
        targets = []
        for gateway in world.gateways:
            targets.append(await _told(world, gateway))
            await world.accepting(gateway)
        return ", ".join(targets)


class ServerKilled(Fault):
    """kill -9 of the server, which is started again on its data."""

    name: ClassVar[str] = "the server is killed"
    rows: ClassVar[tuple[int, ...]] = (15,)
    subject: ClassVar[str] = "server"

    async def strike(self, world: World, chance: random.Random) -> str:
        await asyncio.to_thread(world.server.kill)
        away_s = chance.choice([0.0, 0.0, 0.5, 3.0])
        await asyncio.sleep(away_s)
        await asyncio.to_thread(world.server.start)
        return f"the server, away for {away_s:g} s"


class PowerCut(Fault):
    """The server loses all that it has not synced to the disk, and is started again."""

    name: ClassVar[str] = "the server's power is cut"
    rows: ClassVar[tuple[int, ...]] = (16,)
    subject: ClassVar[str] = "server"
    needs: ClassVar[str] = "fsyncspy"

    async def strike(self, world: World, chance: random.Random) -> str:  # noqa: ARG002
        lost = await asyncio.to_thread(world.server.power_cut)
        await asyncio.to_thread(world.server.start)
        return f"the server, which lost {lost} bytes"


class ServerSuspended(Fault):
    """SIGSTOP for some seconds: nothing answers, and nothing hangs up."""

    name: ClassVar[str] = "the server is suspended"
    rows: ClassVar[tuple[int, ...]] = (11,)
    subject: ClassVar[str] = "server"
    weight: ClassVar[float] = 0.7

    async def strike(self, world: World, chance: random.Random) -> str:
        seconds = chance.uniform(0.2, 4)
        world.server.pause()
        try:
            await asyncio.sleep(seconds)
        finally:
            world.server.resume()
        return f"the server for {seconds:.1f} s"


class ClientKilled(Fault):
    """kill -9 of a client, whose calls nobody repeats; another takes its place."""

    name: ClassVar[str] = "a client is killed"
    rows: ClassVar[tuple[int, ...]] = (31,)
    subject: ClassVar[str] = "client"
    outage: ClassVar[bool] = False
    weight: ClassVar[float] = 0.5

    async def strike(self, world: World, chance: random.Random) -> str:
        return _replaced(world, chance.choice(world.clients))


def _replaced(world: World, member: Member) -> str:
    name = world.kill(member)
    member.start()
    return name


async def _suspended(member: Member, seconds: float) -> str:
    name = member.name
    member.pause()
    try:
        await asyncio.sleep(seconds)
    finally:
        member.resume()
    return f"{name} for {seconds:.1f} s"


async def _told(world: World, member: Member) -> str:
    name = member.name
    member.terminate()
    await world.ended(member, _DRAIN_S)
    member.start()
    return name
