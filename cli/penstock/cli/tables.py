"""Jobs, queues and workers, as people read them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final, Literal

from rich.table import Table
from rich.text import Text

from penstock.cli.asjson import content_json
from penstock.cli.states import STYLES
from penstock.cli.times import ago, short

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from penstock.client import Content, Job, Progress, QueueStats, WorkerInfo

__all__ = [
    "content_text",
    "job_details",
    "jobs_table",
    "outcome",
    "queues_table",
    "stats_details",
    "workers_table",
]

_RESULT_CHARS: Final = 2000
_JOB_ID_WIDTH: Final = 36


def outcome(job: Job) -> str:
    """Return why a job ended as it did, or how far it is, in a line."""
    failure = job.failure
    if job.state == "FAILED" and failure is not None:
        reason = f"{failure.reason.value.lower()}: " if failure.reason else ""
        return f"{reason}{failure.type}: {failure.message}"
    if job.state == "CANCELLED":
        return job.cancel_reason
    if job.state == "EXPIRED":
        return f"its deadline was {_moment(job.deadline)}"
    if job.state == "SCHEDULED":
        again = f", after {failure.type}: {failure.message}" if failure else ""
        return f"due {ago(job.run_at)}{again}"
    if job.state == "RUNNING":
        asked = "asked to stop; " if job.cancel_requested else ""
        return asked + _progress(job.progress)
    return ""


def content_text(content: Content | None, *, longest: int = _RESULT_CHARS) -> str:
    """Return a payload or a result as a line: JSON as it is, of anything else the size.

    Args:
        content: What is shown; None is nothing.
        longest: Of JSON, how many characters at most.
    """
    if content is None:
        return ""
    if not content.is_json:
        return f"{len(content.data):,} bytes of {content.content_type}"
    text = json.dumps(content_json(content), ensure_ascii=False)
    return text if len(text) <= longest else f"{text[: longest - 1]}…"


def job_details(job: Job) -> Table:
    """Return all that is known of a job, a line each; what does not apply is left out."""
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim")
    table.add_column(overflow="fold")
    lines: list[tuple[str, str | Text]] = [
        ("job", Text(job.job_id, "bold")),
        ("type", job.type),
        ("queue", f"{job.queue}, {job.priority.value.lower()} priority"),
        ("state", _state(job).append(f"  {outcome(job)}", "default")),
        ("attempts", f"{job.attempt} (at most {job.max_attempts} may fail){_crashes(job)}"),
        ("created", _when(job.create_time)),
        ("waited", short(_between(job.queue_time, job.start_time))),
        ("ran", short(_between(job.start_time, job.finish_time))),
        ("finished", _when(job.finish_time)),
        ("deadline", _when(job.deadline)),
        ("worker", job.worker_id),
        ("retried from", job.retried_from),
        ("metadata", ", ".join(f"{key}={value}" for key, value in sorted(job.metadata.items()))),
        ("payload", content_text(job.payload_content)),
        ("result", content_text(job.result_content)),
    ]
    for name, value in lines:
        if value and value != "-":
            table.add_row(name, value)
    return table


def jobs_table(jobs: Iterable[Job]) -> Table:
    """Return jobs, one a line."""
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("job", no_wrap=True, min_width=_JOB_ID_WIDTH)  # It is there to be copied.
    for name in ("type", "state", "try", "created", "ran"):
        side: Literal["left", "right"] = "right" if name in {"try", "ran"} else "left"
        table.add_column(name, justify=side, no_wrap=True)
    table.add_column("")  # Gives way where the terminal is narrow.
    for job in jobs:
        table.add_row(
            job.job_id,
            Text(job.type),
            _state(job),
            str(job.attempt),
            ago(job.create_time),
            short(_between(job.start_time, job.finish_time)),
            Text(" ".join(outcome(job).split()), no_wrap=True, overflow="ellipsis"),
        )
    return table


def queues_table(queues: Iterable[QueueStats]) -> Table:
    """Return queues with their counts, one a line."""
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("queue")
    for name in (
        "waiting",
        "oldest",
        "scheduled",
        "running",
        "succeeded",
        "failed",
        "cancelled",
        "expired",
        "done/s",
    ):
        table.add_column(name, justify="right", no_wrap=True)
    for stats in queues:
        title = Text(stats.queue.name).append("  paused" if stats.queue.paused else "", "yellow")
        table.add_row(
            title,
            str(sum(stats.waiting.values())),
            short(stats.oldest_waiting_age),
            str(stats.scheduled),
            str(stats.running),
            str(stats.succeeded),
            Text(str(stats.failed), "red" if stats.failed else ""),
            str(stats.cancelled),
            str(stats.expired),
            f"{stats.throughput:.1f}",
        )
    return table


def stats_details(stats: QueueStats) -> Table:
    """Return what the table of queues leaves out, for one queue."""
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim")
    waiting = ", ".join(f"{name.value.lower()} {n}" for name, n in stats.waiting.items())
    reasons = ", ".join(f"{name.value.lower()} {n}" for name, n in stats.failed_by_reason.items())
    for count, value in (
        ("waiting by priority", waiting or "none"),
        ("failed by reason", reasons or "none"),
        ("submitted", str(stats.submitted)),
        ("retries", str(stats.retries)),
        ("lost leases", str(stats.lost_leases)),
        ("stale writes refused", str(stats.stale_writes)),
        ("partitions", str(stats.queue.partitions)),
    ):
        table.add_row(count, value)
    return table


def workers_table(workers: Iterable[WorkerInfo]) -> Table:
    """Return worker processes, one a line."""
    table = Table(box=None, pad_edge=False, header_style="dim")
    for name in ("worker", "host", "pid", "queues", "slots in use", "up since", "heard of", ""):
        table.add_column(name)
    for worker in workers:
        table.add_row(
            worker.worker_id,
            worker.host,
            str(worker.pid),
            ", ".join(worker.queues),
            f"{worker.running} of {worker.slots}",
            ago(worker.start_time),
            ago(worker.heartbeat_time),
            Text("draining", "yellow") if worker.draining else "",
        )
    return table


def _state(job: Job) -> Text:
    return Text(job.state.value.lower(), STYLES.get(job.state.value, ""))


def _crashes(job: Job) -> str:
    if not job.crashes:
        return ""
    return f", {job.crashes} ended with {'its' if job.crashes == 1 else 'their'} worker"


def _between(start: datetime | None, end: datetime | None) -> float | None:
    # A job that was handed back and waits again was queued after its last start.
    if start is None or end is None or end < start:
        return None
    return (end - start).total_seconds()


def _progress(progress: Progress | None) -> str:
    if progress is None:
        return ""
    share = f"{progress.fraction:.0%}" if progress.fraction is not None else f"{progress.current:g}"
    return f"{share} {progress.message}".rstrip()


def _moment(time: datetime | None) -> str:
    return "-" if time is None else f"{time.astimezone():%Y-%m-%d %H:%M:%S}"


def _when(time: datetime | None) -> str:
    return "" if time is None else f"{_moment(time)} ({ago(time)})"
