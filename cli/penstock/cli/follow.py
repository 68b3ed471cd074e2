"""From the events of a job to what is shown of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from penstock.cli.asjson import job_json, progress_json
from penstock.cli.tables import content_text, outcome
from penstock.cli.times import ago, isoformat, short
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

__all__ = ["Narrator", "event_json", "label_of"]

_RESULT_CHARS: Final = 100


def label_of(job: Job) -> str:
    """Return what a job is called where several are shown."""
    return f"{job.type} {job.job_id[-6:]}"


class Narrator:
    """Tells the events of jobs to a board, which must know the jobs by their ids.

    Args:
        board: Where they are shown.
    """

    def __init__(self, board: Board) -> None:
        self._board = board
        self._retried: dict[str, bool] = {}
        self._running: dict[str, int] = {}

    def tell(self, event: Event) -> None:
        """Show an event; the events of a job must come in their order."""
        key = event.job_id
        match event:
            case SnapshotEvent(job=job):
                # All else that it tells is told once more, event by event.
                self._retried[key] = job.max_attempts > 1
            case StateEvent(state=state, job=job) if state.terminal:
                self._board.done(key, state.value, _end(job, event.reason))
            case StateEvent():
                self._tell_state(event)
            case ProgressEvent(progress=progress):
                self._board.progress(key, progress.current, progress.total, progress.message)
            case ChunkEvent(text=text):
                self._board.chunk(key, text)
            case LogEvent(level=level, message=message):
                self._board.log(key, level, message)
            case GapEvent(lost=lost):
                self._board.log(key, "warning", f"{lost} earlier events are no longer kept")

    def _tell_state(self, event: StateEvent) -> None:
        key, state = event.job_id, event.state.value
        ran = self._running.pop(key, 0)
        if state == "RUNNING":
            self._running[key] = event.attempt
            told = event.attempt if self._retried.get(key) or event.attempt > 1 else 0
            self._board.state(key, state, event.reason, attempt=told)
        elif ran:
            self._board.setback(key, state, _setback(event, ran))
        else:
            due = f"due {ago(event.run_at)}" if event.run_at else ""
            self._board.state(key, state, event.reason or due)


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
        case StateEvent(state=state, attempt=attempt, reason=reason, job=job, run_at=due):
            ended = None if job is None else job_json(job)
            kind = "state"
            own = {
                "state": state.value,
                "attempt": attempt,
                "reason": reason or None,
                "run_at": isoformat(due),
                "job": ended,
            }
        case ProgressEvent(progress=progress):
            kind, own = "progress", {"progress": progress_json(progress)}
        case ChunkEvent(text=text, attempt=attempt):
            kind, own = "chunk", {"text": text, "attempt": attempt}
        case LogEvent(level=level, message=message, attempt=attempt):
            kind, own = "log", {"level": level, "message": message, "attempt": attempt}
        case GapEvent(lost=lost):
            kind, own = "gap", {"lost": lost}
    return kind, own


def _setback(event: StateEvent, ran: int) -> str:
    """Return what became of the attempt that ran, why, and when there will be another one."""
    if event.attempt < ran:  # It is not counted.
        what = "handed back"
    else:
        what = f"attempt {ran} {'failed' if event.state == 'SCHEDULED' else 'lost'}"
    again = ""
    if event.run_at and event.time:
        again = f"; again in {short(event.run_at - event.time)}"
    return f"{what}: {event.reason}{again}"


def _end(job: Job | None, reason: str) -> str:
    """Return how long a job ran, at which attempt it ended, and with what."""
    if job is None:
        return reason
    parts = []
    if job.start_time and job.finish_time:
        parts.append(f"in {short(job.finish_time - job.start_time)}")
    if job.attempt > 1 or (job.attempt and job.max_attempts > 1 and job.state != "SUCCEEDED"):
        parts.append(f"attempt {job.attempt}")
    parts.append(content_text(job.result_content, longest=_RESULT_CHARS) or outcome(job) or reason)
    return ", ".join(filter(None, parts))
