"""A disk that is full: what is refused, what is lost, and what comes after."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import time
from collections.abc import Awaitable, Callable
from contextlib import contextmanager
from typing import TYPE_CHECKING, ClassVar, Final, Literal, TypeAlias

from tests.chaos.checks import (
    expect_all_done,
    expect_kept,
    expect_not_serving,
    expect_rising_tokens,
    expect_sound,
)
from tests.chaos.load.steady import Load
from tests.chaos.scenario import Scenario, Skipped
from tests.chaos.waiting import when
from tests.chaos.worlds.small import SmallWorld

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.chaos.scenario import Run

__all__ = ["DiskFull"]

DISK_BYTES: Final = 16 << 20
#: What is left for the server when the disk begins to fill.
LEFT_BYTES: Final = 400_000
JOBS: Final = 60


_Full: TypeAlias = Callable[[SmallWorld, Load], Awaitable[None]]
_Level: TypeAlias = Literal["always", "everysec"]


class DiskFull(Scenario):
    """The disk of the server's append-only file fills up under load, and is freed after a while."""

    name: ClassVar = "disk_full"
    rows: ClassVar = (18,)
    expects: ClassVar = (
        "`everysec`: submits are refused with a clear status, reads work; `always`: the server "
        "ends before it would lie; after space is freed all works, and nothing acknowledged is lost"
    )
    seconds: ClassVar = 40.0

    async def run(self, run: Run) -> None:
        """See `Scenario`."""
        for appendfsync, full in _LEVELS.items():
            run.say(appendfsync)
            with _disk(run.folder / f"disk-{appendfsync}") as disk:
                await _fill_up(run, appendfsync, disk, full)


async def _fill_up(run: Run, appendfsync: _Level, disk: Path, full: _Full) -> None:
    world = SmallWorld(
        run,
        name=appendfsync,
        appendfsync=appendfsync,
        shims=["fsyncspy"],
        data_dir=disk / "data",
        # A rewrite would need room of its own, and come at any time.
        options={"auto-aof-rewrite-percentage": "0"},
    )
    tally = run.result.tally(f"the disk is full at {appendfsync}", DiskFull.rows)
    async with world:
        async with Load(world.client) as load:
            await load.more(JOBS)
            ballast = _fill(disk)
            tally.strikes += 1
            await full(world, load)
            ballast.unlink()
            freed = time.monotonic()
            if appendfsync == "always":
                await asyncio.to_thread(world.server.start)
            await world.working()
            tally.recovery_ms.append((time.monotonic() - freed) * 1000)
            await load.more(JOBS)
        await expect_all_done(world, load)
        # What was acknowledged is on the disk by now: a kill shows it.
        await when(lambda: world.server.unsynced() == 0, "all is synced")
        await asyncio.to_thread(world.server.power_cut)
        await asyncio.to_thread(world.server.start)
        await world.working()
        await expect_kept(world, load, f"{appendfsync}, after the disk was full")
        await expect_sound(world)
        expect_rising_tokens(world)
    run.result.jobs += len(load.acks)


async def _refuses(world: SmallWorld, load: Load) -> None:
    """With everysec the server stays, and takes no writes."""
    result = world.run.result

    async def refused() -> bool:
        return await world.trouble() == "ResourceExhausted"

    await when(refused, "submits are told RESOURCE_EXHAUSTED")
    result.figures["everysec: a submit is told"] = "RESOURCE_EXHAUSTED"
    ack = next(iter(load.acks.values()))
    job = (await load.look([ack]))[ack.number]
    result.expect(job is not None, "reads", f"job {ack.job_id} cannot be read")
    await expect_not_serving(world)
    alive = [worker.poll() is None for worker in world.workers]
    result.expect(all(alive), "liveness", f"a worker ended: {world.logs()}")


async def _ends(world: SmallWorld, load: Load) -> None:
    """With always the server ends, rather than acknowledge what is not on the disk."""
    status = await asyncio.to_thread(world.server.wait, 60)
    world.run.result.figures["always: the server ends with"] = str(status)
    world.run.result.expect(status, "always", "the server went on with a full disk")
    told = await world.trouble()
    world.run.result.figures["always: a submit is told"] = told
    world.run.result.expect(told == "Unavailable", "status", f"it is {told}")
    world.run.result.expect(load.acks, "harness", "nothing was acknowledged")


_LEVELS: Final[dict[_Level, _Full]] = {"everysec": _refuses, "always": _ends}


@contextmanager
def _disk(folder: Path) -> Iterator[Path]:
    """A small disk of its own. Raises Skipped where it cannot be had."""
    folder.mkdir()
    mount, umount = shutil.which("mount"), shutil.which("umount")
    if mount is None or umount is None or os.geteuid() != 0:
        raise Skipped("needs root, to mount a small disk")
    size = f"size={DISK_BYTES}"
    done = subprocess.run(
        [mount, "-t", "tmpfs", "-o", size, "penstock-chaos", folder],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise Skipped(f"needs the right to mount a small disk: {done.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run([umount, folder], check=True)


def _fill(disk: Path) -> Path:
    """Leaves little room on the disk. Returns the file that takes it."""
    ballast = disk / "ballast"
    free = os.statvfs(disk)
    with ballast.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, free.f_bavail * free.f_frsize - LEFT_BYTES)
    return ballast
