"""What several scenarios look at: attempts, outcomes, and what the server holds in the end."""

from __future__ import annotations

import asyncio
import math
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from penstock.broker import Broker
from penstock.client import ChunkEvent, JobState
from tests.broker.audit import audit
from tests.chaos.waiting import PATIENCE_S, when

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Collection, Iterable

    from penstock.client import AsyncClient, Job
    from tests.chaos.history.journal import Line
    from tests.chaos.load.steady import Load
    from tests.chaos.result import Result
    from tests.chaos.worlds.small import SmallWorld
    from tests.chaos.worlds.stage import Stage

__all__ = [
    "commands_of",
    "expect_all_done",
    "expect_kept",
    "expect_newest_outcomes",
    "expect_not_serving",
    "expect_ordered_output",
    "expect_rising_tokens",
    "expect_sound",
    "expect_undisturbed",
    "have_begun",
    "memory_of",
    "starts_of",
]


def starts_of(lines: Iterable[Line], jobs: Collection[str] | None = None) -> dict[str, list[Line]]:
    """The starts of handlers, by job, each in the order of the lines; of these jobs, or of all."""
    starts: dict[str, list[Line]] = {}
    for line in lines:
        if line.kind == "start" and (jobs is None or line["job"] in jobs):
            starts.setdefault(line["job"], []).append(line)
    return starts


def have_begun(stage: Stage, jobs: Collection[str], times: int = 1) -> bool:
    """Whether each of the jobs has been begun so often."""
    starts = starts_of(stage.lines(), jobs)
    return len(starts) == len(jobs) and all(len(each) >= times for each in starts.values())


def expect_rising_tokens(stage: Stage) -> None:
    """Expects that no two executions of a job had one token, nor a later one a lower token."""
    for job_id, starts in starts_of(stage.lines()).items():
        tokens = [line["token"] for line in starts]
        stage.run.result.expect(
            tokens == sorted(set(tokens)),
            "I6",
            f"the tokens of job {job_id} did not rise from start to start: {tokens}",
            *map(str, starts),
        )


def expect_newest_outcomes(stage: Stage, ended: Iterable[Job]) -> None:
    """Expects that jobs, which return the token they run under, have succeeded under the newest."""
    starts = starts_of(stage.lines())
    for job in ended:
        tokens = [line["token"] for line in starts[job.job_id]]
        stage.run.result.expect(
            job.state is JobState.SUCCEEDED and job.result == max(tokens),
            "I5",
            f"{job.type} job {job.job_id} ended {job.state.name} with the result of token "
            f"{job.result}, and was granted under {tokens}",
        )


def expect_undisturbed(result: Result, ended: Iterable[Job], invariant: str, where: str) -> None:
    """Expects that jobs have succeeded at the first attempt, and that no worker was lost."""
    for job in ended:
        result.expect(
            (job.state, job.attempt, job.crashes) == (JobState.SUCCEEDED, 1, 0),
            invariant,
            f"{where}: {job.type} job {job.job_id} ended {job.state.name} in attempt "
            f"{job.attempt}, after {job.crashes} crashes",
            str(job),
        )


async def expect_ordered_output(stage: Stage, client: AsyncClient, job_id: str) -> None:
    """Expects that no chunk of an earlier attempt stands behind one of a later, of a `talk`."""
    tokens: list[int] = []
    async with asyncio.timeout(PATIENCE_S):
        async for event in client.watch(job_id):
            if isinstance(event, ChunkEvent):
                tokens += [int(part.split(b":")[0]) for part in event.data.split(b";")[:-1]]
    stage.run.result.expect(
        tokens == sorted(tokens),
        "I5",
        f"the output of job {job_id} goes on with that of an earlier attempt",
    )


async def expect_kept(stage: Stage, load: Load, text: str, since: float = math.inf) -> None:
    """Expects that no job is gone that was acknowledged before a time (s, monotonic)."""
    acks = [ack for ack in load.acks.values() if ack.at < since]
    gone = [number for number, job in (await load.look(acks)).items() if job is None]
    stage.run.result.expect(
        not gone,
        "I1",
        f"{text}: {len(gone)} of {len(acks)} acknowledged jobs are gone",
        *(str(load.acks[number]) for number in gone[:3]),
    )


async def expect_all_done(stage: Stage, load: Load, within_s: float = PATIENCE_S) -> None:
    """Expects that all acknowledged jobs succeed."""
    jobs: dict[int, Job | None] = {}

    async def all_done() -> bool:
        missing = [ack for number, ack in load.acks.items() if not _is_done(jobs.get(number))]
        jobs.update(await load.look(missing))
        return all(map(_is_done, jobs.values()))

    with suppress(AssertionError):
        await when(all_done, "all jobs have ended", within_s)
    for ack in load.acks.values():
        job = jobs.get(ack.number)
        stage.run.result.expect(
            job is not None and job.state is JobState.SUCCEEDED,
            "I1",
            f"job {ack.job_id} has not succeeded",
            str(job),
        )


async def expect_sound(stage: Stage) -> None:
    """Expects that what is stored agrees with itself; no job may be under way."""
    async with Broker(stage.server.url) as broker:
        for fault in await audit(broker):
            stage.run.result.expect(None, "I10", fault)


async def expect_not_serving(world: SmallWorld) -> None:
    """Expects that the gateway says so, and lives."""

    async def not_serving() -> bool:
        return not await world.client.health()

    await when(not_serving, "the gateway says NOT_SERVING")
    expect = world.run.result.expect
    expect(await world.client.health("liveness"), "liveness", "the gateway is not live")
    expect(world.gateway.poll() is None, "liveness", f"it ended: {world.logs()}")


def memory_of(process: subprocess.Popen[bytes]) -> int:
    """Resident bytes of a process."""
    text = Path(f"/proc/{process.pid}/status").read_text()
    return int(text.split("VmRSS:")[1].split()[0]) * 1024


async def commands_of(stage: Stage) -> int:
    """How many commands the server has run."""
    stats = await asyncio.to_thread(stage.server.ask, "INFO", "stats")
    return int(stats.split("total_commands_processed:")[1].split()[0])


def _is_done(job: Job | None) -> bool:
    return job is not None and job.done
