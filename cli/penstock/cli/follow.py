"""From the events of a job to what is shown of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from penstock.cli.asjson import job_json, progress_json
from penstock.cli.tables import content_text, outcome
from penstock.cli.times import isoformat, short
from penstock.client import (
    ChunkEvent,
    Event,
    GapEvent,
    LogEvent,
    ProgressEvent,
    SnapshotEvent,
    StateEvent,
)

if TYPE_CHECKING:
    from penstock.cli.board import Board
    from penstock.client import Job

__all__ = ["event_json", "label_of", "show"]

_RESULT_CHARS: Final = 100


def label_of(job: Job) -> str:
    """Return what a job is called where several are shown."""
    return f"{job.type} {job.job_id[-6:]}"


def show(board: Board, event: Event) -> None:
    """Show an event on the board, under its job's id, which must have been added."""
    key = event.job_id
    match event:
        case SnapshotEvent():
            pass  # What it tells is told once more, event by event.
        case StateEvent(state=state, job=job) if state.terminal:
            board.done(key, state.value, _end(job, event.reason))
        case StateEvent(state=state, attempt=attempt, reason=reason):
            again = f"attempt {attempt}" if attempt > 1 and state == "RUNNING" else ""
            board.state(key, state.value, reason or again)
        case ProgressEvent(progress=progress):
            board.progress(key, progress.current, progress.total, progress.message)
        case ChunkEvent(text=text):
            board.chunk(key, text)
        case LogEvent(level=level, message=message):
            board.log(key, level, message)
        case GapEvent(lost=lost):
            board.log(key, "warning", f"{lost} earlier events are no longer kept")


def event_json(event: Event) -> dict[str, Any]:
    """Return an event for ``--json``; its kind is in ``event``."""
    common = {
        "job_id": event.job_id,
        "first_sequence": event.first_sequence,
        "last_sequence": event.last_sequence,
        "time": isoformat(event.time),
    }
    kind, own = _kind_and_own(event)
    return {"event": kind, **common, **own}


def _kind_and_own(event: Event) -> tuple[str, dict[str, Any]]:
    """Return what the event is called, and what only its kind has."""
    kind, own = "unknown", dict[str, Any]()
    match event:
        case SnapshotEvent(job=job):
            kind, own = "snapshot", {"job": job_json(job)}
        case StateEvent(state=state, attempt=attempt, reason=reason, job=job):
            ended = None if job is None else job_json(job)
            own = {"state": state.value, "attempt": attempt, "reason": reason or None, "job": ended}
            kind = "state"
        case ProgressEvent(progress=progress):
            kind, own = "progress", {"progress": progress_json(progress)}
        case ChunkEvent(text=text, attempt=attempt):
            kind, own = "chunk", {"text": text, "attempt": attempt}
        case LogEvent(level=level, message=message, attempt=attempt):
            kind, own = "log", {"level": level, "message": message, "attempt": attempt}
        case GapEvent(lost=lost):
            kind, own = "gap", {"lost": lost}
    return kind, own


def _end(job: Job | None, reason: str) -> str:
    """Return how long a job ran, at which attempt it ended, and with what."""
    if job is None:
        return reason
    parts = []
    if job.start_time and job.finish_time:
        parts.append(f"in {short(job.finish_time - job.start_time)}")
    if job.attempt > 1:
        parts.append(f"attempt {job.attempt}")
    parts.append(content_text(job.result_content, longest=_RESULT_CHARS) or outcome(job) or reason)
    return ", ".join(filter(None, parts))
