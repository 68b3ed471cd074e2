"""An upgrade under load, process by process, and the way back: old and new side by side."""

from __future__ import annotations

import asyncio
import io
import os
import subprocess
import tarfile
import time
from typing import TYPE_CHECKING, ClassVar, Final

from penstock.broker.keys import DATA_FORMAT, NamespaceKeys
from penstock.client import AsyncClient, JobState
from penstock.runtime._probe import ask
from tests.chaos.load.callers import Callers
from tests.chaos.mutants.mutant import ROOTS
from tests.chaos.scenario import Scenario, Skipped
from tests.chaos.server.server import ChaosServer
from tests.chaos.worlds.stage import APP, PATIENCE_S, TookTooLong, when
from tests.support.processes import ROOT, Fleet, free_port

if TYPE_CHECKING:
    from pathlib import Path

    from tests.chaos.scenario import Run

__all__ = ["OLD", "Upgrade", "old_tree"]

#: The version that is upgraded from. Nothing has been released yet, so it is the last one before
#: the result cache, schedules, topics and limits: its data are the oldest that there can be.
OLD: Final = "f3cbdcf3903870daa09a5dda1b18a605d63161fc"
GATEWAYS: Final = 2
WORKERS: Final = 2
CALLERS: Final = 3
#: Between two steps (s); see `rolling_restart` for why gateways need it.
PAUSE_S: Final = 4.0
#: Jobs that wait while everybody is replaced, and when they come due (s).
DELAYED: Final = 20
DELAY_S: Final = 15.0
LOOK_EVERY_S: Final = 0.02


def old_tree(folder: Path) -> Path:
    """The files of the old version, in a folder. Raises Skipped where the history is missing."""
    archive = subprocess.run(
        ["git", "archive", OLD, *ROOTS],  # noqa: S607 - from PATH, as everywhere.
        cwd=ROOT,
        capture_output=True,
        check=False,
    )
    if archive.returncode:
        raise Skipped("needs the repository's whole history: git fetch --unshallow")
    with tarfile.open(fileobj=io.BytesIO(archive.stdout)) as files:
        files.extractall(folder, filter="data")
    return folder


class Upgrade(Scenario):
    """Workers, then gateways are replaced one by one by new ones, under load; then all by old ones.

    The old ones are of the last version before the result cache, schedules, topics and limits.
    Then a worker meets data of a format that it does not know.
    """

    name: ClassVar = "upgrade"
    rows: ClassVar = (35,)
    expects: ClassVar = (
        "no call fails and no job is lost, whichever versions run side by side; data of a newer "
        "format are refused at start, with what to do"
    )
    seconds: ClassVar = 75.0

    async def run(self, run: Run) -> None:
        """See `Scenario`."""
        tree = old_tree(run.folder / "old")
        server = ChaosServer(run.folder / "server", run.server_binary)
        await asyncio.to_thread(server.start)
        try:
            run.result.server = server.title
            old_path = os.pathsep.join(str(tree / root) for root in ROOTS)
            with (
                _fleet(run, server, "new") as new,
                _fleet(run, server, "old", PYTHONPATH=old_path) as old,
            ):
                async with Callers() as load:
                    await _Rolling(run, load, old=old, new=new).go()
                    load.into(run.result)
                await _meet_newer_data(run, server, new)
        finally:
            await asyncio.to_thread(server.stop)


def _fleet(run: Run, server: ChaosServer, name: str, **env: str) -> Fleet:
    """Processes of one version."""
    logs = run.folder / "logs" / name
    logs.mkdir(parents=True)
    journals = {"PENSTOCK_CHAOS_JOURNALS": str(run.folder / "journals")}
    return Fleet(server.url, logs, env={**journals, **env})


class _Rolling:
    """There and back."""

    def __init__(self, run: Run, load: Callers, *, old: Fleet, new: Fleet) -> None:
        self._run = run
        self._load = load
        self._old = old
        self._new = new
        self._ports = [free_port() for _ in range(GATEWAYS)]
        self._gateways: list[subprocess.Popen[bytes]] = []
        self._workers: list[subprocess.Popen[bytes]] = []

    async def go(self) -> None:
        """Replaces everybody twice, with calls all the time."""
        for port in self._ports:
            self._gateways.append(await self._gateway(self._old, port))
        self._workers = [self._worker(self._old) for _ in range(WORKERS)]
        addresses = ",".join(f"127.0.0.1:{port}" for port in self._ports)
        async with AsyncClient(f"ipv4:{addresses}", timeout=PATIENCE_S) as client:
            await self._registered(client)
            for _ in range(CALLERS):
                self._load.add(self._load.submits(client))
                self._load.add(self._load.watches(client))
            delayed = await self._submit_delayed(client)
            await self._replace_workers(self._new)
            await self._replace_gateways(self._new)
            delayed += await self._submit_delayed(client)
            # The way back is the other way round.
            await self._replace_gateways(self._old)
            await self._replace_workers(self._old)
            await self._load.finish()
            for job_id in delayed:
                job = await client.wait(job_id, timeout=PATIENCE_S)
                self._run.result.expect(
                    job.state is JobState.SUCCEEDED, "I1", f"{job_id} is {job.state.name}"
                )
        self._run.result.jobs += len(delayed)

    async def _submit_delayed(self, client: AsyncClient) -> list[str]:
        """Jobs that one version takes on, and another runs."""
        return [(await client.submit("hold", 0.01, delay=DELAY_S)).job_id for _ in range(DELAYED)]

    async def _registered(self, client: AsyncClient) -> None:
        give_up_s = time.monotonic() + PATIENCE_S
        while len(await client.workers()) < WORKERS:
            if time.monotonic() > give_up_s:
                raise TookTooLong("not all workers have registered")
            await asyncio.sleep(LOOK_EVERY_S)

    async def _replace_workers(self, fleet: Fleet) -> None:
        for place in range(WORKERS):
            await self._end(self._workers[place])
            self._workers[place] = self._worker(fleet)
            await self._pause("worker", fleet)

    async def _replace_gateways(self, fleet: Fleet) -> None:
        for place, port in enumerate(self._ports):
            await self._end(self._gateways[place])
            self._gateways[place] = await self._gateway(fleet, port)
            await self._pause("gateway", fleet)

    async def _pause(self, what: str, fleet: Fleet) -> None:
        version = "old" if fleet is self._old else "new"
        tally = self._run.result.tally(f"a {what} is replaced by one of another version", (35,))
        tally.strikes += 1
        self._run.say(f"a {what} of the {version} version is there")
        await asyncio.sleep(PAUSE_S * min(1.0, self._run.scale))

    async def _end(self, process: subprocess.Popen[bytes]) -> None:
        process.terminate()
        status = await asyncio.to_thread(process.wait)
        self._run.result.expect(status == 0, "exit", f"{process.args!r} exited with {status}")

    @staticmethod
    async def _gateway(fleet: Fleet, port: int) -> subprocess.Popen[bytes]:
        return await asyncio.to_thread(fleet.gateway, port, shutdown_grace_s=3)

    @staticmethod
    def _worker(fleet: Fleet) -> subprocess.Popen[bytes]:
        return fleet.worker(APP, slots=20, lease_s=2, drain_grace_s=8)


async def _meet_newer_data(run: Run, server: ChaosServer, fleet: Fleet) -> None:
    """A worker of this version, and data of the next format."""
    key = NamespaceKeys("default").base.decode()
    ask(("127.0.0.1", server.port), "HSET", key, "format", str(DATA_FORMAT + 1))
    worker = fleet.worker(APP)
    await when(lambda: worker.poll() is not None, "a worker refuses data of a newer format")
    text = fleet.log_of(worker)
    run.result.expect(
        worker.returncode and f"format {DATA_FORMAT + 1}" in text and "run the version" in text,
        "format",
        f"a worker met data of a newer format, exited with {worker.returncode}, and said: "
        f"{text[-500:]}",
    )
