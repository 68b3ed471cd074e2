"""The server's date, as far as a run has turned it: what goes by it comes early then, or late."""

from __future__ import annotations

import sys
from bisect import bisect_left, bisect_right
from dataclasses import dataclass, field

__all__ = ["Dates", "Turn"]

_MS = 1_000_000


@dataclass(slots=True, eq=False)
class Turn:
    """The server's date jumps, at some moment between two.

    Attributes:
        at: the date was as before until then (ns of the history).
        by: who turned it.
        to_ms: how far ahead of the true date it is afterwards; negative is behind.
        done: it is so from then on (ns); None if that is not known.
    """

    at: int
    by: str
    to_ms: int
    done: int | None = None

    def __str__(self) -> str:
        return f"the server's date is turned to {self.to_ms / 1000:+.1f} s"


@dataclass
class Dates:
    """All turns of a run, in order. Before the first one the date is true.

    Between two turns it goes on as the monotonic clock does. So all that it makes come early or
    late is told by the turns between the moment that a time was reckoned from and that at which it
    was acted upon.
    """

    turns: list[Turn] = field(default_factory=list)

    def add(self, turn: Turn) -> None:
        """Takes in the next one."""
        self.turns.append(turn)

    def turned(self, at: int) -> None:
        """The last one is done."""
        if self.turns:
            self.turns[-1].done = at

    def gained_ms(self, since: int, known: int, until: int) -> int:
        """By how much the date may have outrun the monotonic clock.

        Args:
            since: the earliest moment from which a time was reckoned (ns).
            known: the latest such moment.
            until: when it was acted upon, at the latest.

        Returns:
            The largest gain from a moment in ``since .. known`` to a later one up to ``until``, in
            ms; 0 if it never gained.
        """
        return self._most(since, known, until, sign=1)

    def lost_ms(self, since: int, known: int, until: int) -> int:
        """As `gained_ms`: by how much it may have fallen behind."""
        return self._most(since, known, until, sign=-1)

    def _most(self, since: int, known: int, until: int, sign: int) -> int:
        first, last = self._span(since, until)
        if first == last:
            return 0
        most = 0
        # The lowest that the date stood at a moment from which a time may have been reckoned.
        low = sign * self.turns[first - 1].to_ms if first else 0
        for turn in self.turns[first:last]:
            most = max(most, sign * turn.to_ms - low)
            if turn.at <= known:
                low = min(low, sign * turn.to_ms)
        return most

    def _span(self, since: int, until: int) -> tuple[int, int]:
        """The turns that may have been made within a span of time, as a range of their numbers."""
        first = bisect_left(self.turns, since, key=_done)
        return first, max(first, bisect_right(self.turns, until, key=_at))


def _at(turn: Turn) -> int:
    return turn.at


def _done(turn: Turn) -> int:
    return sys.maxsize if turn.done is None else turn.done
