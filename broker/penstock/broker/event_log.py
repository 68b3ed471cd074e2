"""Lines of a job's event log, as `scripts/lib/events.lua` writes them, turned into events.

A line is ``time_ms kind attempt data``; its sequence is its place in the log.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from penstock.broker.event import Chunk, Event, EventPage, Gap, LogLine, StateChange
from penstock.broker.job import JobState, Progress

if TYPE_CHECKING:
    from collections.abc import Sequence

_STATES = {state.value.encode(): state for state in JobState}


def _text(data: bytes) -> str:
    return data.decode("utf-8", "replace")


def decode_line(sequence: int, line: bytes) -> Event:
    """One event from its line."""
    time, kind, attempt_digits, data = line.split(b" ", 3)
    attempt = int(attempt_digits)
    body: StateChange | Progress | Chunk | LogLine
    if kind == b"p":
        current, total, message = data.split(b" ", 2)
        body = Progress(float(current), float(total), _text(message))
    elif kind == b"c":
        body = Chunk(data, attempt)
    elif kind == b"l":
        level, _, message = data.partition(b" ")
        body = LogLine(_text(level), _text(message), attempt)
    elif kind == b"S":
        due, _, why = data.partition(b" ")
        body = StateChange(JobState.SCHEDULED, attempt, _text(why), int(due))
    else:
        body = StateChange(_STATES[kind], attempt, _text(data))
    return Event(sequence, sequence, int(time), body)


def decode_page(after: int, reply: Sequence[bytes | int]) -> EventPage:
    """A page of events from the reply of events.lua, for the cursor that was asked for.

    Events trimmed from the log are told as one Gap.
    """
    state, newest, first, *lines = reply
    first_sequence = int(first)
    events = [decode_line(first_sequence + i, bytes(line)) for i, line in enumerate(lines)]
    if first_sequence > after + 1:
        time_ms = events[0].time_ms if events else 0
        gap = Gap(lost=first_sequence - 1 - after)
        events.insert(0, Event(after + 1, first_sequence - 1, time_ms, gap))
    return EventPage(tuple(events), int(newest), _STATES[bytes(state)])
