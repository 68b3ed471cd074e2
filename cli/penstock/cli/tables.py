"""Jobs, queues and workers, as people read them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

from rich.table import Table
from rich.text import Text

from penstock.cli.asjson import content_json
from penstock.cli.columns import Column, fitted
from penstock.cli.durability import durability_text
from penstock.cli.policy_output import limits_text
from penstock.cli.states import STYLES
from penstock.cli.times import ago, short

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from penstock.client import Content, Job, MessageInfo, Progress, QueueStats, WorkerInfo

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
_TYPE_WIDTH: Final = 16
_WHY_WIDTH: Final = 24
_QUEUES_WIDTH: Final = 24

_COUNTS: Final = {
    "waiting": 1,
    "oldest": 6,
    "scheduled": 4,
    "running": 3,
    "succeeded": 7,
    "failed": 2,
    "cancelled": 8,
    "expired": 9,
    "done/s": 5,
}
"""The counts of a queue in the order they are shown; the highest gives way first."""


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
    return "held: as many of its type run as may" if job.hold_reason else ""


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
        ("cached from", job.cached_from),
        (
            "schedule",
            f"{job.schedule_id} {_moment(job.occurrence_time)}" if job.schedule_id else "",
        ),
        ("message", _message(job.message)),
        ("metadata", ", ".join(f"{key}={value}" for key, value in sorted(job.metadata.items()))),
        ("payload", content_text(job.payload_content)),
        ("result", content_text(job.result_content)),
    ]
    for name, value in lines:
        if value and value != "-":
            table.add_row(name, value)
    return table


def jobs_table(jobs: Iterable[Job], width: int) -> Table:
    """Return jobs, one a line, in so many characters: which, what, in what state, and why."""
    columns = (
        Column("job"),  # It is there to be copied.
        Column("type", wanted=_TYPE_WIDTH),
        Column("state"),
        Column("try", rank=1, justify="right"),
        Column("created", rank=2),
        Column("ran", rank=3, justify="right"),
        Column("", wanted=_WHY_WIDTH),
    )
    rows = [
        (
            Text(job.job_id),
            Text(job.type),
            _state(job),
            Text(str(job.attempt)),
            Text(ago(job.create_time)),
            Text(short(_between(job.start_time, job.finish_time))),
            Text(" ".join(outcome(job).split())),
        )
        for job in jobs
    ]
    return fitted(columns, rows, width)


def queues_table(queues: Iterable[QueueStats], width: int) -> Table:
    """Return queues with their counts, one a line, in so many characters."""
    columns = (
        Column("queue"),
        Column(""),
        *(Column(name, rank, "right") for name, rank in _COUNTS.items()),
    )
    rows = [
        (
            Text(stats.queue.name),
            Text("paused" if stats.queue.paused else "", "yellow"),
            Text(str(sum(stats.waiting.values()))),
            Text(short(stats.oldest_waiting_age)),
            Text(str(stats.scheduled)),
            Text(str(stats.running)),
            Text(str(stats.succeeded)),
            Text(str(stats.failed), "red" if stats.failed else ""),
            Text(str(stats.cancelled)),
            Text(str(stats.expired)),
            Text(f"{stats.throughput:.1f}"),
        )
        for stats in queues
    ]
    return fitted(columns, rows, width)


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
        ("released by workers", str(stats.released)),
        ("misrouted to workers", str(stats.misrouted)),
        ("run at once", limits_text(stats.limits)),
        ("may wait", str(stats.max_waiting or "any number")),
        ("durability", durability_text(stats.durability, stats.durability_reached)),
        ("cache", _cache(stats)),
        ("partitions", str(stats.queue.partitions)),
    ):
        table.add_row(count, value)
    return table


def workers_table(workers: Iterable[WorkerInfo], width: int) -> Table:
    """Return worker processes, one a line, in so many characters."""
    columns = (
        Column("worker"),
        Column("host", rank=4),
        Column("pid", rank=3),
        Column("queues", wanted=_QUEUES_WIDTH),
        Column("slots in use", rank=1),
        Column("up since", rank=5),
        Column("heard of", rank=2),
        Column(""),
    )
    rows = [
        (
            Text(worker.worker_id),
            Text(worker.host),
            Text(str(worker.pid)),
            Text(", ".join(worker.queues)),
            Text(f"{worker.running} of {worker.slots}"),
            Text(ago(worker.start_time)),
            Text(ago(worker.heartbeat_time)),
            Text("draining" if worker.draining else "", "yellow"),
        )
        for worker in workers
    ]
    return fitted(columns, rows, width)


def _cache(stats: QueueStats) -> str:
    hits, misses, joined = stats.cache_hits, stats.cache_misses, stats.cache_joined
    return f"{hits} hits, {misses} misses, {joined} joined" if hits + misses + joined else "unused"


def _message(message: MessageInfo | None) -> str:
    if message is None:
        return ""
    source = f" from {message.source}" if message.source else ""
    return f"{message.topic}, {message.message_id}{source}"


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
