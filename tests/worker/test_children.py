"""Handlers in child processes: what they get and say, how they end, and how they are ended."""

import asyncio
import os
import signal
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from penstock.broker import Backoff, Chunk, FailureReason, JobState, LogLine, Progress
from penstock.worker import pool
from penstock.worker.children import Child
from tests.support.waiting import eventually
from tests.worker.apps import children
from tests.worker.rig import Rig

QUICK = Backoff(initial_ms=10, max_ms=10, jitter=0)


async def test_child_processes(rig: Rig) -> None:
    deadline = datetime.now(UTC).replace(microsecond=0) + timedelta(hours=1)
    async with rig.working(children):
        job_id = await rig.submit("child.double", {"amount": 4})
        assert await rig.result(job_id) == {"amount": 8, "note": "attempt 1 of 3"}
        assert [event.body for event in (await rig.events(job_id))[2:-1]] == [
            Progress(1, 2, "half"),
            Chunk(b"a chunk", 1),
            LogLine("warning", "a line", 1),
            Progress(2, 2, ""),
        ]
        assert await rig.result(await rig.submit("child.bytes", b"\xff\x00")) == b"\x00\xff"
        facts = await rig.submit(
            "child.facts",
            deadline_ms=int(deadline.timestamp() * 1000),
            metadata={"trace": "me"},
            schedule_id="nightly",
            occurrence_ms=1_000,
        )
        assert await rig.result(facts) == {
            "job_id": facts,
            "type": "child.facts",
            "queue": "default",
            "deadline": deadline.isoformat(),
            "schedule": "nightly 1970-01-01 00:00:01+00:00",
            "trace": "me",
        }
        assert await rig.result(await rig.submit("child.resumes", backoff=QUICK)) == "\x00 so far"


async def test_a_child_is_reused_and_never_the_worker_itself(rig: Rig) -> None:
    async with rig.working(children):
        first = await rig.result(await rig.submit("child.pid"))
        assert await rig.result(await rig.submit("child.pid")) == first
        assert first != os.getpid()


async def test_a_child_tells_errors_as_the_worker_does(rig: Rig) -> None:
    async with rig.working(children):
        job = await rig.until(await rig.submit("child.varied", backoff=QUICK), JobState.CANCELLED)
        assert (job.attempt, job.cancel_reason) == (3, "enough of it")
        assert job.failure is not None
        assert (job.failure.type, job.failure.message) == ("LookupError", "not here")
        job = await rig.until(await rig.submit("child.double", {"amount": "4"}), JobState.FAILED)
        assert job.failure is not None
        assert job.failure.type == "PayloadInvalid"


async def test_a_child_tells_errors_of_a_handler_s_own_making(rig: Rig) -> None:
    async with rig.working(children):
        for job_type, error in (
            ("child.mute", "MuteError"),
            ("child.interrupted", "KeyboardInterrupt"),
        ):
            job = await rig.until(await rig.submit(job_type, max_attempts=1), JobState.FAILED)
            assert job.failure is not None
            assert job.failure.type == error
        job = await rig.until(await rig.submit("child.gone"), JobState.CANCELLED)
        assert job.cancel_reason == "nobody wants it"


async def test_a_child_that_dies_fails_its_attempt_and_is_replaced(rig: Rig) -> None:
    async with rig.working(children):
        for job_type, payload, words in (
            ("child.dies", 9, "ended by SIGKILL"),
            ("child.dies", 11, "ended by SIGSEGV"),
            ("child.exits", None, "exited with status 3"),
        ):
            job_id = await rig.submit(job_type, payload, max_attempts=1)
            job = await rig.until(job_id, JobState.FAILED)
            assert job.failure is not None
            assert job.failure.type == "ChildProcessDied"
            assert words in job.failure.message
        assert await rig.result(await rig.submit("child.pid"))


async def test_an_idle_child_that_died_gets_no_job(rig: Rig) -> None:
    async with rig.working(children):
        first = await rig.result(await rig.submit("child.pid", max_attempts=1))
        os.kill(first, signal.SIGKILL)
        second = await rig.result(await rig.submit("child.pid", max_attempts=1))
        assert second != first
        # One that dies after it was handed a job, and before it has begun.
        os.kill(second, signal.SIGSTOP)
        job_id = await rig.submit("child.pid", max_attempts=1)
        await rig.until(job_id, JobState.RUNNING)
        os.kill(second, signal.SIGKILL)
        assert await rig.result(job_id) not in {first, second}


async def test_children_that_cannot_even_start_fail_the_attempt(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/false")
    async with rig.working(children):
        job = await rig.until(await rig.submit("child.pid", max_attempts=1), JobState.FAILED)
        assert job.failure is not None
        assert job.failure.type == "ChildProcessDied"
        assert "exited with status 1" in job.failure.message


async def test_children_start_no_more_at_once_than_there_are_cores(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    starting: list[int] = [0]
    spawn, ready = Child.spawn, Child.ready

    async def noted_spawn(*args: Any) -> Child:  # noqa: ANN401 - as spawn.
        starting.append(starting[-1] + 1)
        return await spawn(*args)

    async def noted_ready(child: Child, within_s: float) -> None:
        await ready(child, within_s)
        starting.append(starting[-1] - 1)

    monkeypatch.setattr(pool, "_cores", lambda: 1)
    monkeypatch.setattr(Child, "spawn", noted_spawn)
    monkeypatch.setattr(Child, "ready", noted_ready)
    async with rig.working(children):
        jobs = [await rig.submit("child.pid") for _ in range(12)]
        pids = {await rig.result(job_id, within_s=60) for job_id in jobs}
    assert max(starting) == 1
    assert starting.count(1) >= len(pids)


async def test_a_job_is_cancelled_while_its_child_is_being_started(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    ready, gate = Child.ready, asyncio.Event()

    async def held(child: Child, within_s: float) -> None:
        await gate.wait()
        await ready(child, within_s)

    monkeypatch.setattr(Child, "ready", held)
    async with rig.working(children):
        job_id = await rig.submit("child.pid")
        await rig.until(job_id, JobState.RUNNING)
        await rig.broker.jobs.cancel(job_id, "enough")
        await rig.until(job_id, JobState.CANCELLED)
        gate.set()
        assert await rig.result(await rig.submit("child.pid"))


async def test_a_child_that_loads_for_long_is_handed_a_job_all_the_same(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool, "READY_WITHIN_S", 0.0)
    async with rig.working(children):
        job_id = await rig.submit("child.double", {"amount": 4})
        assert await rig.result(job_id) == {"amount": 8, "note": "attempt 1 of 3"}


async def test_a_worker_that_stops_leaves_no_child_that_was_being_started(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    told = tmp_path / "pid"
    never_ready = tmp_path / "python"
    never_ready.write_text(
        f"#!/bin/sh\necho $$ > {told}.new && mv {told}.new {told}\nexec sleep 600\n"
    )
    never_ready.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(never_ready))
    async with rig.working(children, drain_grace_s=0):
        await rig.submit("child.pid")
        await eventually(told.exists, "a child is being started")
    assert not _runs(int(told.read_text()))


@pytest.mark.parametrize("job_type", ["child.loop", "child.stubborn"])
async def test_a_child_is_told_to_stop_and_killed_if_it_does_not(rig: Rig, job_type: str) -> None:
    async with rig.working(children):
        job_id = await rig.submit(job_type)
        job = await rig.progressed(job_id)
        await rig.broker.jobs.cancel(job_id, "enough")
        await rig.until(job_id, JobState.CANCELLED)
        if job_type == "child.stubborn":
            assert job.progress is not None
            child = int(job.progress.message)
            await eventually(lambda: not _runs(child), "the child has been killed")
        assert await rig.result(await rig.submit("child.pid"))


async def test_a_child_times_out(rig: Rig) -> None:
    async with rig.working(children):
        job_id = await rig.submit("child.stubborn", timeout_ms=300, max_attempts=1)
        job = await rig.until(job_id, JobState.FAILED)
        assert job.failure is not None
        assert job.failure.reason is FailureReason.TIMED_OUT


async def test_a_child_sees_the_drain(rig: Rig) -> None:
    async with rig.working(children):
        job_id = await rig.submit("child.draining")
        await rig.progressed(job_id)
    assert await rig.result(job_id) == "saw it"


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no such signal")
async def test_a_child_within_one_long_call_does_not_outlive_its_worker(rig: Rig) -> None:
    async with rig.process("children") as worker:
        job = await rig.progressed(await rig.submit("child.holds"))
        assert job.progress is not None
        child = int(job.progress.message)
        try:
            # By then it has long had the answer to its checkpoint, and is within the call.
            before = _cpu_ticks(child)
            await eventually(lambda: _cpu_ticks(child) > before + 30, "the child is busy")
            worker.signal(signal.SIGKILL)
            await worker.exited()
            await eventually(lambda: not _runs(child), "the child has ended as well")
        finally:
            with suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)


async def test_a_child_outlives_the_threads_of_the_loop_s_executor(rig: Rig) -> None:
    loop = asyncio.get_running_loop()
    async with rig.working(children):
        with ThreadPoolExecutor() as passing:
            loop.set_default_executor(passing)
            first = await rig.result(await rig.submit("child.pid"))
            loop.set_default_executor(ThreadPoolExecutor(thread_name_prefix="asyncio_"))
        assert await rig.result(await rig.submit("child.pid")) == first


def _runs(pid: int) -> bool:
    """Whether there is such a process, other than one that is dead and not yet reaped."""
    try:
        os.kill(pid, 0)
        return _stat(pid)[0] != "Z" if sys.platform == "linux" else True
    except (ProcessLookupError, FileNotFoundError):
        return False


def _cpu_ticks(pid: int) -> int:
    """The time on a CPU that a process has had (clock ticks, of 10 ms as a rule)."""
    return int(_stat(pid)[11])


def _stat(pid: int) -> list[str]:
    """The fields of a process's state in /proc, from the letter of the state on."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
