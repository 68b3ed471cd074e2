"""A damaged append-only file: what the server, the gateways and the jobs make of it."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import time
from typing import TYPE_CHECKING, ClassVar, Final

from penstock.runtime import ServerStartError
from tests.chaos.checks import (
    expect_all_done,
    expect_kept,
    expect_not_serving,
    expect_rising_tokens,
    expect_sound,
)
from tests.chaos.load.steady import Load
from tests.chaos.scenario import Scenario, Skipped
from tests.chaos.server.server import ChaosServer
from tests.chaos.worlds.small import SmallWorld
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from pathlib import Path

    from tests.chaos.scenario import Run

__all__ = ["DamagedLog"]

#: Jobs acknowledged before each damage.
JOBS: Final = 60


class DamagedLog(Scenario):
    """The append-only file is torn at its end, then damaged in its middle, while the power is off.

    Torn: a write that had begun when the power went, then the last transactions cut in two at a
    random byte. Damaged: a byte that the server cannot read past; the file is repaired, at the cost
    of what came after, or restored.
    """

    name: ClassVar = "damaged_log"
    rows: ClassVar = (17,)
    expects: ClassVar = (
        "a torn end costs nothing that was synced before it; with a damage the server does not "
        "start, gateways stay up and say why, and all works again after the repair"
    )
    seconds: ClassVar = 30.0

    async def run(self, run: Run) -> None:
        """See `Scenario`."""
        replays = await asyncio.to_thread(_replays_halves, run)
        run.result.figures["a transaction torn in two"] = (
            "half of it comes back with the second restart, unless BGREWRITEAOF is run before"
            if replays
            else "is gone as a whole"
        )
        for damage in (_Torn, _CutInTwo, _Damaged):
            run.say(damage.label)
            await damage(run, rewrite=replays).run()


class _Damage:
    """One kind, in a world of its own."""

    label: ClassVar[str]

    def __init__(self, run: Run, *, rewrite: bool) -> None:
        self._run = run
        self._rewrite = rewrite
        self._world = SmallWorld(run, name=type(self).__name__.strip("_"), shims=["fsyncspy"])

    async def run(self) -> None:
        async with self._world as world:
            async with Load(world.client) as load:
                await load.more(JOBS)
                await self.strike(load)
                await world.working()
                await load.more(JOBS)
            self._run.result.jobs += len(load.acks)
            await self.judge(load)
            expect_rising_tokens(world)

    async def strike(self, load: Load) -> None:
        raise NotImplementedError

    async def judge(self, load: Load) -> None:
        await expect_all_done(self._world, load)
        await expect_sound(self._world)

    async def _cut_power(self) -> None:
        await asyncio.to_thread(self._world.server.power_cut)
        await asyncio.sleep(0.2)  # Answers that are on their way arrive.

    async def _start(self) -> None:
        tally = self._run.result.tally(self.label, DamagedLog.rows)
        tally.strikes += 1
        restarted = time.monotonic()
        await asyncio.to_thread(self._world.server.start)
        await self._world.working()
        tally.recovery_ms.append((time.monotonic() - restarted) * 1000)
        if self._rewrite:
            # As docs/operations.md says.
            await asyncio.to_thread(_rewrite, self._world.server)


class _Torn(_Damage):
    """A write that had begun when the power went."""

    label = "the append-only file ends in a torn write"

    async def strike(self, load: Load) -> None:
        for tail in (b"*3\r\n$3\r\nSET\r\n$7\r\nnothi", b"*1\r\n$5\r\nMULTI\r\n*2\r\n$3\r\nDEL\r"):
            await self._cut_power()
            with self._world.server.append_only_file.open("ab") as file:
                file.write(tail)
            await self._start()
            await expect_kept(self._world, load, "after a torn write")
            await load.more(JOBS // 3)


class _CutInTwo(_Damage):
    """The end of the file is lost, from a random byte on."""

    label = "the append-only file is cut at a random byte"

    async def strike(self, load: Load) -> None:
        for _ in range(3):
            await load.more(JOBS // 3)
            safe_at, safe = time.monotonic(), self._world.server.append_only_file.stat().st_size
            await load.more(JOBS // 3)
            await self._cut_power()
            path = self._world.server.append_only_file
            size = path.stat().st_size
            keep = self._run.chance.randrange(safe, size)
            with path.open("r+b") as file:
                file.truncate(keep)
            await self._start()
            await expect_kept(self._world, load, "after a cut behind them", since=safe_at)
            # What was behind the cut is lost, as agreed; it is no matter for the end.
            await load.forget_lost()


class _Damaged(_Damage):
    """A byte in the middle that the server cannot read past."""

    label = "the append-only file is damaged"

    async def strike(self, load: Load) -> None:
        await self._cut_power()
        path = self._world.server.append_only_file
        whole = path.with_suffix(".whole")
        shutil.copy(path, whole)
        damaged_at = _damage(path, self._run.chance.randrange(path.stat().st_size // 2))
        await self._refuses()
        shutil.move(whole, path)
        await self._start()
        await expect_kept(self._world, load, "after the file was restored")
        # Once more, and now there is no copy.
        await load.more(JOBS // 3)
        path = self._world.server.append_only_file
        safe_at, safe = time.monotonic(), path.stat().st_size
        await load.more(JOBS // 3)
        await self._cut_power()
        size = path.stat().st_size
        damaged_at = _damage(path, self._run.chance.randrange(safe, (safe + size) // 2))
        await self._refuses()
        await asyncio.to_thread(self._repair)
        self._run.result.figures["repair of a damaged file"] = (
            f"kept {path.stat().st_size} of {size} bytes, damaged at {damaged_at}"
        )
        await self._start()
        await expect_kept(self._world, load, "after the repair", since=safe_at)
        await load.forget_lost()

    async def _refuses(self) -> None:
        """Expects that the server does not start, and that the gateway bears it."""
        world, result = self._world, self._run.result
        try:
            await asyncio.to_thread(world.server.start)
        except ServerStartError:
            pass
        else:
            result.expect(None, "harness", f"the server started all the same: {world.server.log}")
            return
        await expect_not_serving(world)
        result.expect(
            await world.trouble() == "Unavailable", "status", "a submit was not told UNAVAILABLE"
        )
        result.expect(
            f"127.0.0.1:{world.server.port}" in world.logs() and "cannot connect" in world.logs(),
            "logs",
            f"the gateway's log does not tell what it cannot reach: {world.logs()}",
        )

    def _repair(self) -> None:
        binary = self._run.server_binary
        tool = next(
            (
                path
                for name in ("valkey-check-aof", "redis-check-aof")
                if (path := binary.with_name(name)).exists()
            ),
            None,
        )
        if tool is None:
            # One program that does as it is called.
            tool = self._world.folder / "valkey-check-aof"
            tool.symlink_to(binary)
        # By its manifest, Valkey's tool takes Valkey's own base file for damaged.
        path = self._world.server.append_only_file
        done = subprocess.run(
            [tool, "--fix", path], input="y\n", capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise Skipped(f"needs a check-aof that repairs: {done.stdout[-300:]}{done.stderr}")


def _replays_halves(run: Run) -> bool:
    """Whether the server leaves half a transaction in a file that was torn there.

    Redis 7.0 does: it takes the torn command away and leaves MULTI open, so that at the next start
    what stood behind it runs with the transaction that follows.
    """
    script = "return{redis.call(KEYS[1],KEYS[2]),redis.call(KEYS[1],KEYS[3])}"
    words = ("EVAL", script, "3", "INCR", "one", "two")
    with ChaosServer(run.folder / "torn", run.server_binary) as server:
        server.ask(*words)
        server.kill()
        path = server.append_only_file
        os.truncate(path, path.stat().st_size - 30)  # Within the second INCR, or in EXEC.
        server.start()
        server.ask(*words)
        server.kill()
        server.start()
        return server.ask("GET", "one") != "1"


def _rewrite(server: ChaosServer) -> None:
    server.ask("BGREWRITEAOF")
    wait_until(
        lambda: "aof_rewrite_in_progress:0" in server.ask("INFO", "persistence"),
        "the append-only file is rewritten",
        within_s=60,
    )


def _damage(path: Path, at: int) -> int:
    """Breaks the first entry after a byte, so that it cannot be read. Returns where."""
    data = bytearray(path.read_bytes())
    found = data.index(b"\n*", at) + 1
    data[found] = ord("!")
    path.write_bytes(data)
    return found
