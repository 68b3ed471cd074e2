"""The data of a job's log: what happened, and in which order."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from penstock.broker.job import JobState, Progress


@dataclass(frozen=True, slots=True)
class StateChange:
    """Event: the job entered a state; run_at_ms is when it is due, where that is SCHEDULED."""

    state: JobState
    attempt: int
    reason: str = ""
    run_at_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Chunk:
    """Event: a part of the output."""

    data: bytes
    attempt: int


@dataclass(frozen=True, slots=True)
class LogLine:
    """Event: a line of log from the handler."""

    level: str
    message: str
    attempt: int


@dataclass(frozen=True, slots=True)
class Gap:
    """Event: a range of events that was trimmed from the capped log."""

    lost: int


@dataclass(frozen=True, slots=True)
class Event:
    """What happened to a job, and the range of sequence numbers that tells it."""

    first_sequence: int
    last_sequence: int
    time_ms: int
    body: StateChange | Progress | Chunk | LogLine | Gap


@dataclass(frozen=True, slots=True)
class EventPage:
    """Events after a cursor. More are left if they do not reach last_sequence, the newest."""

    events: tuple[Event, ...]
    last_sequence: int
    state: JobState
