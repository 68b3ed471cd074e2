"""Handlers in child processes whose imports hang or die, beside others that are well."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from penstock.broker import JobState
from penstock.worker import Worker, pool
from penstock.worker.children import Child
from tests.worker.apps import pid
from tests.worker.deadly import DEADLY, deadly
from tests.worker.gated import GATE, gated
from tests.worker.rig import Rig

WITHIN_S = 60.0

pytestmark = pytest.mark.timeout(180)


@pytest.fixture
def open_gate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Ends the gated import of the children that are started from now on."""
    path = tmp_path / "gate"
    monkeypatch.setenv(GATE, str(path))
    return path.touch


@pytest.fixture
def app() -> Worker:
    """A handler that is well, and the others."""
    app = Worker(slots=8)
    for function in (pid, gated, deadly):
        app.job(function.__name__, mode="process")(function)
    return app


async def test_an_import_that_dies_fails_no_other_handler_s_job(
    rig: Rig, app: Worker, open_gate: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(DEADLY, "yes")
    monkeypatch.setattr(pool, "_cores", lambda: 2)
    async with rig.working(app):
        slow = await rig.submit("gated", max_attempts=1)
        await rig.until(slow, JobState.RUNNING)
        for job_id in [await rig.submit("deadly", max_attempts=1) for _ in range(4)]:
            job = await rig.until(job_id, JobState.FAILED, WITHIN_S)
            assert job.failure is not None
            assert "exited with status 3" in job.failure.message
        open_gate()
        assert await rig.result(slow, WITHIN_S) == "through"


async def test_an_import_that_hangs_holds_up_no_other_handler_s_job(
    rig: Rig, app: Worker, open_gate: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool, "READY_WITHIN_S", 600.0)
    monkeypatch.setattr(pool, "_cores", lambda: 1)
    async with rig.working(app):
        slow = [await rig.submit("gated") for _ in range(3)]
        for job_id in slow:
            await rig.until(job_id, JobState.RUNNING)
        assert await rig.result(await rig.submit("pid"), WITHIN_S)
        open_gate()
        for job_id in slow:
            assert await rig.result(job_id, WITHIN_S) == "through"


@pytest.mark.usefixtures("open_gate")
async def test_a_child_that_still_imports_is_given_to_no_other_handler_s_job(
    rig: Rig, app: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    ready, held = Child.ready, asyncio.Event()

    async def held_ready(child: Child, within_s: float) -> None:
        await held.wait()
        await ready(child, within_s)

    monkeypatch.setattr(pool, "READY_WITHIN_S", 0.0)
    monkeypatch.setattr(Child, "ready", held_ready)
    async with rig.working(app):
        slow = await rig.submit("gated")
        await rig.until(slow, JobState.RUNNING)
        await rig.broker.jobs.cancel(slow, "enough")
        await rig.until(slow, JobState.CANCELLED)
        other = await rig.submit("pid")
        await rig.until(other, JobState.RUNNING)
        held.set()
        assert await rig.result(other, WITHIN_S)
