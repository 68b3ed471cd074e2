"""From events to what is shown: which attempt it is, and what became of those before."""

from __future__ import annotations

import io
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Final

import pytest
from rich.console import Console

from penstock.cli.board import PlainBoard
from penstock.cli.follow import Narrator
from penstock.client import Event, Job, JobState, Priority, SnapshotEvent, StateEvent

NOW: Final = datetime.now(UTC)
JOB: Final = Job("1", "t", "q", JobState.QUEUED, Priority.DEFAULT, 0, 3, 0, 0, 0)


def entered(state: str, attempt: int, reason: str = "", *, due_s: float | None = None) -> Event:
    """The job entered a state, now."""
    due = None if due_s is None else NOW + timedelta(seconds=due_s)
    return StateEvent("1", 1, 1, NOW, JobState(state), attempt, reason, None, due)


def told(*events: Event, max_attempts: int = 3) -> list[str]:
    """The lines that are printed of a job's events."""
    stream = io.StringIO()
    board = PlainBoard(Console(file=stream, width=100, highlight=False))
    board.add("1", "job")
    narrator = Narrator(board)
    narrator.tell(SnapshotEvent("1", 1, 0, None, replace(JOB, max_attempts=max_attempts)))
    for event in events:
        narrator.tell(event)
    return stream.getvalue().splitlines()


@pytest.mark.parametrize(
    ("event", "line"),
    [
        (
            entered("SCHEDULED", 2, "OSError: disk full", due_s=2.4),
            "job: scheduled attempt 2 failed: OSError: disk full; again in 2.4 s",
        ),
        (
            entered("QUEUED", 2, "lease lost by ada"),
            "job: queued attempt 2 lost: lease lost by ada",
        ),
        (
            entered("QUEUED", 1, "the worker is draining"),
            "job: queued handed back: the worker is draining",
        ),
        (
            entered("SCHEDULED", 1, "no handler for t here", due_s=90),
            "job: scheduled handed back: no handler for t here; again in 1m30s",
        ),
    ],
)
def test_an_attempt_that_came_to_nothing_is_told_with_its_reason(event: Event, line: str) -> None:
    assert told(entered("RUNNING", 2), event) == ["job: running attempt 2", line]


def test_a_return_to_the_queue_after_a_pause_is_no_setback() -> None:
    failed = entered("SCHEDULED", 1, "OSError: disk full", due_s=1)
    lines = told(entered("RUNNING", 1), failed, entered("QUEUED", 1), entered("RUNNING", 2))
    assert [line.split()[1] for line in lines] == ["running", "scheduled", "running"]


def test_a_delayed_job_is_told_with_its_time() -> None:
    (line,) = told(entered("SCHEDULED", 0, due_s=3600))
    assert line.startswith("job: scheduled due in ")


@pytest.mark.parametrize(
    ("max_attempts", "attempt", "line"),
    [(3, 1, "job: running attempt 1"), (1, 1, "job: running"), (1, 2, "job: running attempt 2")],
)
def test_the_attempt_is_told_where_there_may_be_several(
    max_attempts: int, attempt: int, line: str
) -> None:
    assert told(entered("RUNNING", attempt), max_attempts=max_attempts) == [line]
