"""What handlers, the nemesis and the end of a run left in the history; see `view` for the rest."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

__all__ = ["Effect", "Ending", "Problem", "Start", "Strike"]

#: Reasons to stop a handler that end the attempt for good.
_OF_THE_JOB: Final = frozenset({"CANCELLED", "TIMED_OUT", "EXPIRED"})


@dataclass(slots=True, eq=False)
class Start:
    """A handler began."""

    at: int
    by: str
    type: str
    token: int
    attempt: int
    payload: str

    def __str__(self) -> str:
        return (
            f"start of {self.type}, token {self.token}, attempt {self.attempt}, "
            f"payload {self.payload}"
        )


@dataclass(slots=True, eq=False)
class Effect:
    """A handler did, or was about to do, what others can see."""

    at: int
    by: str
    token: int
    what: str
    value: Any

    def __str__(self) -> str:
        return f"{self.what} {self.value!r}, token {self.token}"


@dataclass(slots=True, eq=False)
class Ending:
    """A handler ended. why: the error, or why it was stopped."""

    at: int
    by: str
    token: int
    how: str
    why: str

    @property
    def handed_back(self) -> bool:
        """Whether it was stopped for its worker's sake: then the attempt does not count."""
        return self.how == "stopped" and self.why not in _OF_THE_JOB

    def __str__(self) -> str:
        return f"end by {self.how}{f' ({self.why})' if self.why else ''}, token {self.token}"


@dataclass(slots=True, eq=False)
class Strike:
    """A fault, for as long as it lasted.

    Attributes:
        outage: calls may fail by it.
        displaces: jobs may be taken from their places by it, and stand nowhere for a while.
        healed: when what was broken was whole again (ns); None if it never was.
        recovered: when the service was seen to work after it (ns); None if it was not.
    """

    at: int
    by: str
    fault: str
    number: int
    target: str
    outage: bool = True
    displaces: bool = False
    healed: int | None = None
    recovered: int | None = None

    def __str__(self) -> str:
        until = "" if self.healed is None else f", for {(self.healed - self.at) / 1e9:.3f} s"
        return f"strike {self.number}: {self.fault}, {self.target}{until}"


@dataclass(slots=True, eq=False)
class Problem:
    """A line that is a fault by itself: of the audit, or a bound that was passed."""

    at: int
    by: str
    text: str

    def __str__(self) -> str:
        return self.text
