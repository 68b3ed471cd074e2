"""What a watch yields: the events of a job, in order, each with the sequence numbers it covers.

The ranges ``first_sequence..last_sequence`` tile: each event begins right after the one before. A
range of more than one number means that reports of progress were merged (the newest is shown), or
a `GapEvent`. A `SnapshotEvent` covers nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime

    from penstock.client.job import Job, JobState, Progress


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened to a job. The class itself is of a kind newer than this client.

    Attributes:
        job_id: of the job.
        first_sequence: first number that it covers.
        last_sequence: last number that it covers: the cursor to go on from.
        time: when the (newest) event was stored; None for a snapshot.
    """

    job_id: str
    first_sequence: int
    last_sequence: int
    time: datetime | None


@dataclass(frozen=True, slots=True)
class SnapshotEvent(Event):
    """The job as it stood when the watch began. Always the first, and the only one of its kind."""

    job: Job


@dataclass(frozen=True, slots=True)
class StateEvent(Event):
    """The job entered a state.

    Attributes:
        state: that it entered.
        attempt: that it belongs to; 0 before the first.
        reason: for people: the error of a failed attempt, why it was cancelled, and so on.
        job: with its result; only with a terminal state, else None.
        run_at: when it is due; only with SCHEDULED, else None.
    """

    state: JobState
    attempt: int
    reason: str
    job: Job | None
    run_at: datetime | None = None

    @property
    def terminal(self) -> bool:
        """Whether this is the last event of the job."""
        return self.state.terminal


@dataclass(frozen=True, slots=True)
class ProgressEvent(Event):
    """The handler reported how far it is."""

    progress: Progress


@dataclass(frozen=True, slots=True)
class ChunkEvent(Event):
    """The handler sent a part of its output. A later attempt begins its output anew."""

    data: bytes
    attempt: int

    @property
    def text(self) -> str:
        """The data as UTF-8; what is none is replaced."""
        return self.data.decode("utf-8", "replace")


@dataclass(frozen=True, slots=True)
class LogEvent(Event):
    """The handler wrote a log line."""

    level: str
    message: str
    attempt: int


@dataclass(frozen=True, slots=True)
class GapEvent(Event):
    """These events are no longer kept."""

    lost: int
