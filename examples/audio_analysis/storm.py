"""The storm of the run end to end: hundreds of jobs in flight, while workers come and go."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Final

from examples.audio_analysis.jobs import ANALYZE, QUEUE, Analysis, AnalyzeAudio
from examples.harness.checks import Check
from penstock.client import (
    AsyncClient,
    AsyncJobHandle,
    FailureReason,
    Job,
    JobState,
    NewJob,
    StateEvent,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

    from examples.audio_analysis.fleet import Fleet
    from examples.audio_analysis.tones import Truth

__all__ = ["weather"]

JOBS: Final = 560
BROKEN: Final = 10
IN_FLIGHT: Final = 500
_EVERY: Final = 100
"""So many jobs end between two changes of the fleet."""
_POLL_S: Final = 0.05
_GIVE_UP_S: Final = 120.0


async def weather(
    client: AsyncClient, fleet: Fleet, truths: Sequence[Truth], broken: str, console: Console
) -> tuple[list[Check], dict[str, str]]:
    """Submits all jobs at once, and changes the fleet under them; returns what came of it."""
    asked = [truths[number % len(truths)] for number in range(JOBS)]
    keys = [truth.file_key for truth in asked] + [broken] * BROKEN
    began = time.monotonic()
    handles = [
        handle
        for handle in await client.submit_many(
            [NewJob(ANALYZE, AnalyzeAudio(file_key=key), queue=QUEUE) for key in keys]
        )
        if isinstance(handle, AsyncJobHandle)
    ]
    in_flight, ended_before = await _counts(client)
    console.print(f"{in_flight} jobs in flight")
    for number, change in enumerate((fleet.add, fleet.remove, fleet.kill, fleet.restart), 1):
        await _have_ended(client, ended_before + number * _EVERY)
        await change()
        console.print(f"  {number * _EVERY} ended: one worker {_DONE[number - 1]}")
    jobs = await asyncio.gather(*(handle.wait(timeout=_GIVE_UP_S) for handle in handles))
    seconds = time.monotonic() - began
    sound, bad = jobs[:JOBS], jobs[JOBS:]
    crashed = [job for job in sound if job.crashes]
    right = [
        job.state is JobState.SUCCEEDED and truth.agrees(job.result_as(Analysis))
        for truth, job in zip(asked, sound, strict=False)
    ]
    outcomes = await asyncio.gather(*(_outcomes(client, job) for job in jobs))
    checks = [
        Check.that(f"at least {IN_FLIGHT} jobs are in flight at once", true=in_flight >= IN_FLIGHT),
        Check("none is lost while workers come and go", JOBS, _count(sound, JobState.SUCCEEDED)),
        Check("each finds what is in its file", JOBS, sum(right)),
        Check("each has one outcome, never two", [1] * (JOBS + BROKEN), list(outcomes)),
        Check.that("the job of the killed worker runs again", true=len(crashed) > 0),
        Check("a broken file fails at once, for good", BROKEN, sum(map(_is_final, bad))),
    ]
    figures = {
        "in flight at once": f"{in_flight} jobs",
        "throughput while the fleet changes": f"{len(jobs) / seconds:.0f} analyses/s, "
        f"{sum(_seconds(job) for job in sound) / seconds:.0f} s of sound a second",
    }
    return checks, figures


_DONE: Final = ("added", "taken away", "killed in the middle of a job", "after the other replaced")


async def _counts(client: AsyncClient) -> tuple[int, int]:
    """How many jobs are in flight, and how many have ended."""
    stats = await client.queue_stats(QUEUE)
    in_flight = sum(stats.waiting.values()) + stats.scheduled + stats.running
    return in_flight, stats.succeeded + stats.failed + stats.cancelled


async def _have_ended(client: AsyncClient, count: int) -> None:
    async with asyncio.timeout(_GIVE_UP_S):
        while (await _counts(client))[1] < count:  # noqa: ASYNC110 - elsewhere.
            await asyncio.sleep(_POLL_S)


async def _outcomes(client: AsyncClient, job: Job) -> int:
    """How many terminal events the job's whole history has."""
    events = [event async for event in client.watch(job.job_id)]
    return sum(isinstance(event, StateEvent) and event.terminal for event in events)


def _is_final(job: Job) -> bool:
    failure = job.failure
    final = failure is not None and failure.reason is FailureReason.NON_RETRYABLE
    return job.state is JobState.FAILED and job.attempt == 1 and final


def _count(jobs: Sequence[Job], state: JobState) -> int:
    return sum(job.state is state for job in jobs)


def _seconds(job: Job) -> float:
    return job.result_as(Analysis).seconds if job.state is JobState.SUCCEEDED else 0
