"""A disk that is slow to sync: all takes longer, and nothing else comes of it."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Final, Literal

from tests.chaos.checks import (
    commands_of,
    expect_all_done,
    expect_rising_tokens,
    expect_sound,
    expect_undisturbed,
    memory_of,
)
from tests.chaos.load.steady import Load
from tests.chaos.scenario import Scenario
from tests.chaos.waiting import PATIENCE_S
from tests.chaos.worlds.small import SmallWorld

if TYPE_CHECKING:
    from tests.chaos.scenario import Run

__all__ = ["SlowFsync"]

#: How long each fsync takes, by level (s). At `always` the server answers nobody meanwhile; at
#: `everysec` it begins to hold writes back after 2 s.
DELAYS_S: Final[dict[Literal["always", "everysec"], float]] = {"always": 0.4, "everysec": 3.0}
LEASE_S: Final = 2.0
#: How long it is slow at scale 1 (s).
SLOW_S: Final = 6.0
#: Of a gateway, for what waits in it (bytes).
MAX_GROWTH: Final = 64 << 20


class SlowFsync(Scenario):
    """Each fsync of the server takes long, while jobs run whose leases have to be renewed."""

    name: ClassVar = "slow_fsync"
    rows: ClassVar = (19,)
    expects: ClassVar = (
        "calls take longer, no lease is lost, what waits is bounded, and nobody asks more often "
        "than before"
    )
    seconds: ClassVar = 40.0

    async def run(self, run: Run) -> None:
        """See `Scenario`."""
        for appendfsync, delay_s in DELAYS_S.items():
            run.say(f"{appendfsync}: an fsync takes {delay_s:g} s")
            await _slow_down(run, appendfsync, delay_s)


async def _slow_down(run: Run, appendfsync: Literal["always", "everysec"], delay_s: float) -> None:
    world = SmallWorld(
        run,
        name=appendfsync,
        appendfsync=appendfsync,
        shims=["slowfsync"],
        workers=2,
        worker_settings={"lease_s": LEASE_S},
    )
    slow_s = SLOW_S * run.scale
    tally = run.result.tally(f"an fsync takes {delay_s:g} s at {appendfsync}", SlowFsync.rows)
    async with world:
        held = [
            await world.client.submit("hold", slow_s * share) for share in (0.4, 0.6, 0.8, 1.0, 1.2)
        ]
        async with Load(world.client) as load:
            calm = await _watch(world, load, slow_s / 2)
            world.server.preload.fsync_delay.value = round(delay_s * 1e6)
            tally.strikes += 1
            slow = await _watch(world, load, slow_s)
            world.server.preload.fsync_delay.value = 0
            healed = time.monotonic()
            await world.working()
            tally.recovery_ms.append((time.monotonic() - healed) * 1000)
        ended = [await handle.wait(timeout=PATIENCE_S) for handle in held]
        expect_undisturbed(run.result, ended, "leases", f"{appendfsync}, slow")
        lost = (await world.client.queue_stats("default")).lost_leases
        run.result.expect(not lost, "leases", f"{lost} leases were lost")
        run.result.expect(not load.errors, "status", f"submits failed: {load.errors}")
        await expect_all_done(world, load)
        await expect_sound(world)
        expect_rising_tokens(world)
    run.result.jobs += len(load.acks)
    _compare(run, appendfsync, calm, slow)


def _compare(run: Run, appendfsync: str, calm: _Seen, slow: _Seen) -> None:
    """What was seen while the disk was slow, with what was seen before."""
    result = run.result
    result.expect(slow.jobs, "harness", "nothing was acknowledged while the disk was slow")
    grown = slow.memory - calm.memory
    result.expect(grown < MAX_GROWTH, "memory", f"the gateway grew by {grown >> 20} MiB")
    # What waits is not asked for again and again: each job costs what it did before.
    usual = calm.commands * max(1, slow.jobs / max(calm.jobs, 1))
    result.expect(
        slow.commands <= usual * 2 + 200,
        "retries",
        f"{slow.commands:.0f} commands a second, and {calm.commands:.0f} before",
    )
    result.figures |= {
        f"{appendfsync}: slowest submit": f"{slow.slowest_s:.2f} s ({calm.slowest_s:.2f} s before)",
        f"{appendfsync}: submits": f"{slow.jobs:.0f}/s ({calm.jobs:.0f}/s before)",
        f"{appendfsync}: commands": f"{slow.commands:.0f}/s ({calm.commands:.0f}/s before)",
        f"{appendfsync}: gateway grew by": f"{grown / (1 << 20):.1f} MiB",
    }


@dataclass(frozen=True)
class _Seen:
    """What was seen in a while.

    Attributes:
        jobs: acknowledged, a second.
        commands: of the server, a second.
        slowest_s: the slowest submit (s).
        memory: of the gateway (bytes).
    """

    jobs: float
    commands: float
    slowest_s: float
    memory: int


async def _watch(world: SmallWorld, load: Load, seconds: float) -> _Seen:
    jobs, commands, began = len(load.acks), await commands_of(world), time.monotonic()
    load.slowest_s = 0.0
    await asyncio.sleep(seconds)
    commands = await commands_of(world) - commands
    jobs = len(load.acks) - jobs
    took = time.monotonic() - began
    return _Seen(jobs / took, commands / took, load.slowest_s, memory_of(world.gateway))
