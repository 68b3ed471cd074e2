"""Worker processes as they are started: by module, by script, several under a supervisor."""

import asyncio
import os
import signal
import sys
from pathlib import Path

import pytest

from penstock.broker import WorkerInfo
from penstock.runtime import ConfigurationError, environment_of
from penstock.worker import Worker, WorkerSettings, serve
from tests.support.waiting import eventually
from tests.worker.rig import ROOT, Rig

SCRIPT = """
import os

from penstock.worker import SyncContext, Worker

app = Worker()


@app.job("double", mode="process")
def double(number: int, ctx: SyncContext) -> list[int]:
    return [number * 2, os.getppid()]


@app.job("pid")
async def pid() -> int:
    return os.getpid()


if __name__ == "__main__":
    app.run()
"""


async def test_several_processes_are_started_replaced_and_stopped_together(rig: Rig) -> None:
    async with rig.process("app", processes=2, slots=3) as supervisor:
        first = await _workers(rig, 2)
        assert {info.slots for info in first.values()} == {3}
        victim = next(iter(first.values()))
        os.kill(victim.pid, signal.SIGKILL)

        async def replaced() -> bool:
            now = await rig.broker.registry.workers()
            return any(info.worker_id not in first for info in now)

        await eventually(replaced, "the dead process has a successor", within_s=20)
        assert isinstance(await rig.result(await rig.submit("whoami")), int)
        supervisor.signal(signal.SIGTERM)
        assert await supervisor.exited() == 0
    left = {info.worker_id for info in await rig.broker.registry.workers()}
    # The one that was killed is listed until its entry expires.
    assert left == {victim.worker_id}


async def test_processes_end_in_peace_when_their_supervisor_is_killed(rig: Rig) -> None:
    async with rig.process("app", processes=2) as supervisor:
        await _workers(rig, 2)
        job_id = await rig.submit("draining")
        await rig.progressed(job_id)
        supervisor.signal(signal.SIGKILL)
        await supervisor.exited()
        assert await rig.result(job_id) == "finished within the grace"

        async def gone() -> bool:
            return not await rig.broker.registry.workers()

        await eventually(gone, "both processes have ended", within_s=20)


async def test_a_script_runs_its_own_app_and_its_children_find_it(rig: Rig, tmp_path: Path) -> None:
    script = tmp_path / "my_worker.py"
    script.write_text(SCRIPT)
    process = await asyncio.create_subprocess_exec(
        sys.executable, script, env={**os.environ, "PENSTOCK_REDIS_URL": rig.url}
    )
    try:
        assert await rig.result(await rig.submit("pid")) == process.pid
        assert await rig.result(await rig.submit("double", 4)) == [8, process.pid]
    finally:
        process.terminate()
        assert await process.wait() == 0


@pytest.mark.parametrize(
    ("arguments", "url", "words"),
    [
        ([], "redis://127.0.0.1:1/0", "usage: "),
        (["nowhere"], "redis://127.0.0.1:1/0", "module:variable"),
        (["tests.worker.apps:app"], "", "PENSTOCK_REDIS_URL"),
        (["tests.worker.apps:app"], "http://example.org", "PENSTOCK_REDIS_URL"),
    ],
)
async def test_a_process_that_cannot_start_says_why(
    arguments: list[str], url: str, words: str
) -> None:
    hidden = {"PENSTOCK_REDIS_URL", "REDIS_URL", "REDIS_HOST"}
    environment = {name: value for name, value in os.environ.items() if name not in hidden}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "penstock.worker", *arguments),
        cwd=ROOT,
        env={**environment, **({"PENSTOCK_REDIS_URL": url} if url else {})},
        stderr=asyncio.subprocess.PIPE,
    )
    _, stderr = await process.communicate()
    assert process.returncode == 1
    assert words in stderr.decode()
    assert "Traceback" not in stderr.decode()


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ({"PENSTOCK_REDIS_URL": "redis://127.0.0.1:1"}, "127.0.0.1:1"),
        ({}, "PENSTOCK_REDIS_URL"),
        ({"PENSTOCK_REDIS_URL": "redis://127.0.0.1:1", "PENSTOCK_SLOTS": "many"}, "PENSTOCK_SLOTS"),
    ],
)
async def test_a_script_that_cannot_start_says_why_in_a_line(
    tmp_path: Path, setting: dict[str, str], words: str
) -> None:
    script = tmp_path / "my_worker.py"
    script.write_text(SCRIPT)
    given = ("PENSTOCK_", "REDIS_")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(given)}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, script), env={**environment, **setting}, stderr=asyncio.subprocess.PIPE
    )
    _, stderr = await process.communicate()
    told = [line for line in stderr.decode().splitlines() if line.startswith("error: ")]
    assert process.returncode == 2, stderr
    assert len(told) == 1, stderr
    assert words in stderr.decode()
    assert "Traceback" not in stderr.decode()


async def test_several_processes_need_an_app_that_can_be_imported(redis_url: str) -> None:
    settings = WorkerSettings.load(redis_url=redis_url, processes=2)
    with pytest.raises(ConfigurationError, match="import the app"):
        await serve(Worker(), settings)


def test_settings_survive_the_way_through_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = WorkerSettings.load(
        redis_url="redis://user:secret@127.0.0.1:6379/0",
        queues=("one", "two"),
        slots=7,
        lease_s=2.5,
        namespace="tenant",
        log_level="debug",
    )
    for name, value in environment_of(settings).items():
        monkeypatch.setenv(name, value)
    assert WorkerSettings.load() == settings


@pytest.mark.parametrize("queues", ["a b", "one,*", "{}"])
def test_queues_are_checked(queues: str) -> None:
    with pytest.raises(ConfigurationError, match="no name of a queue"):
        WorkerSettings.load(queues=queues)


async def _workers(rig: Rig, count: int) -> dict[str, WorkerInfo]:
    """The workers that are there, once there are so many."""

    async def there() -> bool:
        return len(await rig.broker.registry.workers()) == count

    await eventually(there, f"there are {count} workers", within_s=20)
    return {info.worker_id: info for info in await rig.broker.registry.workers()}
