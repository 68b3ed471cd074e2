"""What waits to be sent to one watcher: bounded, and merged where that loses nothing that counts.

The ranges of what is taken from a mailbox tile: each begins right after the one before.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final

from penstock.broker import Chunk, Event, Gap, LogLine, Progress

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["Mailbox", "merge_progress"]

MAX_BYTES: Final = 4_194_304


class Mailbox:
    """Events for one watcher, in order, without a hole.

    It is either *live*: it holds all that was read after `cursor`; or *behind*: it holds nothing,
    and the watcher reads the log by itself until it has caught up.

    Attributes:
        cursor: the last sequence that was taken from it, or put into it.
        live: whether new events may be put.
    """

    def __init__(self, cursor: int, capacity: int, max_bytes: int = MAX_BYTES) -> None:
        """Begins behind, at a cursor.

        Args:
            cursor: the last sequence that the watcher has.
            capacity: events that are held; progress is merged from a quarter of it on.
            max_bytes: of output and log lines that are held.
        """
        self._events: deque[Event] = deque()
        self._bytes = 0
        self._capacity = capacity
        self._merge_from = max(1, capacity // 4)
        self._max_bytes = max_bytes
        self.cursor = cursor
        self.live = False

    def __len__(self) -> int:
        return len(self._events)

    def put(self, event: Event) -> None:
        """Adds the next event; one that the watcher has already is dropped.

        Where there is no room for it, everything is dropped, and the mailbox falls behind: the
        log has it all.
        """
        if event.last_sequence <= self.cursor:
            return
        if event.first_sequence <= self.cursor:
            event = _tail(event, self.cursor)
        if len(self._events) >= self._merge_from:
            merged = _merged(self._events[-1], event)
            if merged is not None:
                self._events[-1] = merged
                self.cursor = event.last_sequence
                return
        size = _size(event)
        if len(self._events) >= self._capacity or self._bytes + size > self._max_bytes:
            self.fall_behind()
            return
        self._events.append(event)
        self._bytes += size
        self.cursor = event.last_sequence

    def take(self) -> list[Event]:
        """All that waits, oldest first."""
        taken = list(self._events)
        self._events.clear()
        self._bytes = 0
        return taken

    def fall_behind(self) -> None:
        """Drops all that waits; the watcher goes on from what it took last."""
        if self._events:
            self.cursor = self._events[0].first_sequence - 1
        self._events.clear()
        self._bytes = 0
        self.live = False


def merge_progress(events: Iterable[Event]) -> list[Event]:
    """The events, with each run of progress merged into its newest."""
    result: list[Event] = []
    for event in events:
        merged = _merged(result[-1], event) if result else None
        if merged is None:
            result.append(event)
        else:
            result[-1] = merged
    return result


def _merged(older: Event, newer: Event) -> Event | None:
    """Both as one event, if nothing but an older progress is lost by it."""
    if isinstance(older.body, Progress) and isinstance(newer.body, Progress):
        return Event(older.first_sequence, newer.last_sequence, newer.time_ms, newer.body)
    return None


def _tail(event: Event, cursor: int) -> Event:
    """The part of a range after a cursor; of one-event ranges there is no such part."""
    body = event.body
    if isinstance(body, Gap):
        body = Gap(event.last_sequence - cursor)
    return Event(cursor + 1, event.last_sequence, event.time_ms, body)


def _size(event: Event) -> int:
    match event.body:
        case Chunk(data, _):
            return len(data)
        case LogLine(_, message, _):
            return len(message)
    return 0
