"""Tries the system that runs: ``python -m examples.audio_analysis.trial``.

It makes five files below AUDIO_ROOT, has them analysed, tells live how they do, compares what is
found with what is in the files, and looks at the queue's final state. The exit code is 0 if all is
well, 1 if not, and 3 if the gateway is away.
"""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from rich.table import Table

from examples.audio_analysis import tones
from examples.audio_analysis.jobs import ANALYZE, QUEUE, Analysis, AnalyzeAudio
from examples.harness.checks import Check, print_checks
from examples.harness.run import console_of
from penstock.client import (
    AsyncClient,
    Event,
    Job,
    JobState,
    PenstockError,
    Priority,
    ProgressEvent,
    StateEvent,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rich.console import Console

    from penstock.client import QueueStats

__all__: list[str] = []

JOBS: Final = 5
_GIVE_UP_S: Final = 60.0
_RETRY_S: Final = 3.0
"""So long it is tried to reach the gateway: somebody waits for the answer."""
_UNREACHABLE: Final = 3


async def _try(console: Console) -> bool:
    """The whole of it; returns whether all is well."""
    root = Path(os.environ.get("AUDIO_ROOT", "audio"))
    truths = tones.make_files(root, "trial", JOBS)
    async with AsyncClient(retry_for=_RETRY_S) as client:
        before = await _stats(client)
        handles = [
            await client.submit(
                ANALYZE,
                AnalyzeAudio(file_key=truth.file_key),
                queue=QUEUE,
                priority=Priority.HIGH,
                allow_unregistered=True,
            )
            for truth in truths
        ]
        names = {
            handle.job_id: truth.file_key for handle, truth in zip(handles, truths, strict=True)
        }
        console.print(f"{JOBS} jobs in the queue {QUEUE}")
        in_time = await _follow(client, names, console)
        jobs = [await handle.status() for handle in handles]
        after = await _stats(client)
    console.print(_table(jobs, names))
    found = [job.result_as(Analysis) if job.state == "SUCCEEDED" else None for job in jobs]
    checks = [
        Check.that(f"all end within {_GIVE_UP_S:g} s", true=in_time),
        Check("all succeed", JOBS, sum(job.state == "SUCCEEDED" for job in jobs)),
        Check(
            "what is found is what is in the files",
            JOBS,
            sum(f is not None and t.agrees(f) for f, t in zip(found, truths, strict=True)),
        ),
        *_final_state(before, after),
    ]
    print_checks(console, checks)
    return all(check.holds for check in checks)


async def _follow(client: AsyncClient, names: Mapping[str, str], console: Console) -> bool:
    """Tells what happens to jobs, as it happens; returns whether they ended in time."""
    try:
        async with asyncio.timeout(_GIVE_UP_S), client.watch_many(list(names)) as events:
            async for event in events:
                if told := _told(event):
                    console.print(f"  {names[event.job_id]:<22} {told}")
    except TimeoutError:
        return False
    return True


def _told(event: Event) -> str:
    match event:
        case StateEvent(state=state, reason=reason):
            return f"{state.lower()} {reason}".strip()
        case ProgressEvent(progress=progress):
            return f"{progress.fraction or 0:4.0%} {progress.message}"
    return ""


def _final_state(before: QueueStats | None, after: QueueStats | None) -> list[Check]:
    """That nothing is left over; the work of others is told apart by what was there before."""
    if after is None:
        return [Check.that("the queue can be looked at", true=False)]
    failed_before = before.failed if before else 0
    return [
        Check("nothing waits in the queue", 0, sum(after.waiting.values()) + after.scheduled),
        Check("nothing runs", 0, after.running),
        Check("no dead letter has come", failed_before, after.failed),
    ]


async def _stats(client: AsyncClient) -> QueueStats | None:
    """The counts of the queue; None if nobody has used it yet."""
    queues = {queue.name for queue in await client.queues()}
    return await client.queue_stats(QUEUE) if QUEUE in queues else None


def _table(jobs: list[Job], names: Mapping[str, str]) -> Table:
    table = Table("file", "state", title="Trial", title_justify="left")
    for column in ("picked up", "took", "LUFS", "dBTP", "Hz", "bpm"):
        table.add_column(column, justify="right")
    for job in jobs:
        found = job.result_as(Analysis) if job.state == JobState.SUCCEEDED else None
        table.add_row(
            names[job.job_id],
            job.state.lower(),
            _ms(job, "create_time", "start_time"),
            _ms(job, "start_time", "finish_time"),
            *(
                "-" if number is None else f"{number:.1f}"
                for number in (
                    found and found.loudness_lufs,
                    found and found.true_peak_dbtp,
                    found and found.spectrum and found.spectrum.dominant_hz,
                    found and found.tempo_bpm,
                )
            ),
        )
    return table


def _ms(job: Job, since: str, until: str) -> str:
    began, ended = getattr(job, since), getattr(job, until)
    return f"{(ended - began).total_seconds() * 1000:.0f} ms" if began and ended else "-"


def main() -> int:
    """Try it; returns the exit code."""
    console = console_of(to_stderr=False)
    try:
        return 0 if asyncio.run(_try(console)) else 1
    except PenstockError as error:
        console.print(f"[bold red]error[/] {error}")
        return _UNREACHABLE


if __name__ == "__main__":
    sys.exit(main())
