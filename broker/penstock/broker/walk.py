"""Walks over the jobs of a queue, in pages: through which structures, and how far one has come."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from penstock.broker.errors import InvalidArgument
from penstock.broker.job import JobState, Priority

if TYPE_CHECKING:
    from collections.abc import Sequence

    from penstock.broker.keys import Slot

#: A page token: which structure, and where in it; '' is its beginning.
_TOKEN: Final = re.compile(r"([0-9]{1,6}):(.*)")
#: Positions: a stream id, or a score and a tail. No longer than Redis can read.
_STREAM_POSITION: Final = re.compile(r"[0-9]{1,19}-[0-9]{1,19}")
_SET_POSITION: Final = re.compile(r"[0-9]{1,17} [0-9a-z]{26}")

#: The structures that ListJobs walks for each state, in this order. Waiting jobs come in the order
#: in which they will run, ended ones from the end of their retention set: the newest first.
STRUCTURES: Final[dict[JobState, tuple[str, ...]]] = {
    JobState.RUNNING: ("lease",),
    JobState.QUEUED: ("h", "d", "l", "held"),
    JobState.SCHEDULED: ("due",),
    JobState.FAILED: ("F",),
    JobState.SUCCEEDED: ("D",),
    JobState.CANCELLED: ("C",),
    JobState.EXPIRED: ("E",),
}
#: Those that hold ended jobs.
ENDED: Final = frozenset(
    structure for state in JobState if state.terminal for structure in STRUCTURES[state]
)
_STREAMS: Final = frozenset(priority.value for priority in Priority)


class Walk:
    """Goes through structures of slots, one after the other.

    Args:
        places: a slot and a structure of it each.
        token: of the page before; '' to begin.

    Attributes:
        position: within the place where the walk is, as its script told; '' is the beginning.

    Raises:
        InvalidArgument: the token is not one of ours.
    """

    def __init__(self, places: Sequence[tuple[Slot, str]], token: str) -> None:
        self._places = places
        self._index, self.position = _read(token, places) if token else (0, "")

    @property
    def place(self) -> tuple[Slot, str] | None:
        """Where it is; None at the end."""
        return self._places[self._index] if self._index < len(self._places) else None

    @property
    def token(self) -> str:
        """Of the next page; '' at the end."""
        return "" if self.place is None else f"{self._index}:{self.position}"

    def go_on(self, position: bytes) -> None:
        """To a position in this place; b'' is the beginning of the next."""
        self.position = position.decode()
        if not position:
            self._index += 1


def _read(token: str, places: Sequence[tuple[Slot, str]]) -> tuple[int, str]:
    """Index into the places to walk, and the position within that place."""
    parts = _TOKEN.fullmatch(token)
    if parts and int(parts[1]) < len(places):
        index, position = int(parts[1]), parts[2]
        _, structure = places[index]
        pattern = _STREAM_POSITION if structure in _STREAMS else _SET_POSITION
        if not position or pattern.fullmatch(position):
            return index, position
    raise InvalidArgument([("page_token", "it is not a token that an earlier page gave")])
