"""An upgrade under load, process by process, and the way back: old and new side by side."""

from __future__ import annotations

import asyncio
import io
import os
import subprocess
import tarfile
from typing import TYPE_CHECKING, ClassVar, Final, Literal, TypeAlias

from penstock.broker.keys import DATA_FORMAT, NamespaceKeys
from penstock.client import JobState
from tests.chaos.load.callers import Callers
from tests.chaos.mutants.mutant import ROOTS
from tests.chaos.scenario import Scenario, Skipped
from tests.chaos.waiting import PATIENCE_S, when
from tests.chaos.worlds.stage import Stage
from tests.support.processes import ROOT

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from penstock.client import AsyncClient
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

_Version: TypeAlias = Literal["old", "new"]


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
        old = {"PYTHONPATH": os.pathsep.join(str(tree / root) for root in ROOTS)}
        async with Stage(run) as stage:
            async with Callers() as load:
                await _Rolling(run, stage, load, old).go()
                load.into(run.result)
            await _meet_newer_data(run, stage)


class _Rolling:
    """There and back.

    Args:
        run: of the scenario.
        stage: of all versions.
        load: calls all the time.
        old: variables of the environment of processes of the old version.
    """

    def __init__(self, run: Run, stage: Stage, load: Callers, old: Mapping[str, str]) -> None:
        self._run = run
        self._stage = stage
        self._load = load
        self._versions: dict[_Version, Mapping[str, str]] = {"old": old, "new": {}}
        self._gateways: list[subprocess.Popen[bytes]] = []
        self._workers: list[subprocess.Popen[bytes]] = []

    async def go(self) -> None:
        """Replaces everybody twice, with calls all the time."""
        self._gateways = [await self._start_gateway("old") for _ in range(GATEWAYS)]
        self._workers = [self._start_worker("old") for _ in range(WORKERS)]
        async with self._stage.connect() as client:
            await self._stage.registered(client, WORKERS)
            for _ in range(CALLERS):
                self._load.submit_by(client)
                self._load.watch_by(client)
            delayed = await self._submit_delayed(client)
            await self._replace_workers("new")
            await self._replace_gateways("new")
            delayed += await self._submit_delayed(client)
            # The way back is the other way round.
            await self._replace_gateways("old")
            await self._replace_workers("old")
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

    async def _replace_workers(self, version: _Version) -> None:
        for place in range(WORKERS):
            await self._end(self._workers[place])
            self._workers[place] = self._start_worker(version)
            await self._pause("worker", version)

    async def _replace_gateways(self, version: _Version) -> None:
        for place, port in enumerate(self._stage.ports):
            await self._end(self._gateways[place])
            self._gateways[place] = await self._start_gateway(version, port)
            await self._pause("gateway", version)

    async def _pause(self, what: str, version: _Version) -> None:
        fault = f"a {what} is replaced by one of another version"
        self._run.result.tally(fault, Upgrade.rows).strikes += 1
        self._run.say(f"a {what} of the {version} version is there")
        await asyncio.sleep(PAUSE_S * min(1.0, self._run.scale))

    async def _end(self, process: subprocess.Popen[bytes]) -> None:
        process.terminate()
        status = await asyncio.to_thread(process.wait)
        self._run.result.expect(status == 0, "exit", f"{process.args!r} exited with {status}")

    async def _start_gateway(self, version: _Version, port: int = 0) -> subprocess.Popen[bytes]:
        env = self._versions[version]
        return await self._stage.start_gateway(port, env=env, shutdown_grace_s=3)

    def _start_worker(self, version: _Version) -> subprocess.Popen[bytes]:
        env = self._versions[version]
        return self._stage.start_worker(env=env, slots=20, lease_s=2, drain_grace_s=8)


async def _meet_newer_data(run: Run, stage: Stage) -> None:
    """A worker of this version, and data of the next format."""
    key = NamespaceKeys("default").base.decode()
    await asyncio.to_thread(stage.server.ask, "HSET", key, "format", str(DATA_FORMAT + 1))
    worker = stage.start_worker()
    await when(lambda: worker.poll() is not None, "a worker refuses data of a newer format")
    text = stage.log_of(worker)
    run.result.expect(
        worker.returncode and f"format {DATA_FORMAT + 1}" in text and "run the version" in text,
        "format",
        f"a worker met data of a newer format, exited with {worker.returncode}, and said: "
        f"{text[-500:]}",
    )
