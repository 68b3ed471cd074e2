"""What the lines of a history say, packed so that millions of them fit into memory.

Each class is a kind of line, or a call with its answer. As text it is a line of a witness.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = [
    "ARROWS",
    "TERMINAL",
    "Event",
    "Failure",
    "Record",
    "Request",
    "Submit",
    "View",
    "Watch",
    "packed",
    "witness",
]

TERMINAL: Final = frozenset({"SUCCEEDED", "FAILED", "CANCELLED", "EXPIRED"})

#: The arrows of the state machine (docs/state-machine.md).
ARROWS: Final = frozenset(
    {
        ("SCHEDULED", "QUEUED"),
        ("SCHEDULED", "CANCELLED"),
        ("SCHEDULED", "EXPIRED"),
        ("QUEUED", "RUNNING"),
        ("QUEUED", "CANCELLED"),
        ("QUEUED", "EXPIRED"),
        ("RUNNING", "SCHEDULED"),
        ("RUNNING", "QUEUED"),
        *(("RUNNING", state) for state in TERMINAL),
    }
)


class Record(Protocol):
    """Whatever can be shown in a witness."""

    by: str

    @property
    def at(self) -> int:
        """When it was written (ns)."""
        ...


def packed(value: Any) -> str:  # noqa: ANN401 - JSON.
    """JSON in its one canonical form; equal values share one string."""
    return sys.intern(json.dumps(value, sort_keys=True, separators=(",", ":")))


def witness(began: int, records: Iterable[Record]) -> tuple[str, ...]:
    """Records as lines to be read, in the order of their times."""
    distinct = {id(record): record for record in records}.values()
    return tuple(
        f"{(record.at - began) / 1e9:10.3f} s  {record.by:<12} {record}"
        for record in sorted(distinct, key=lambda record: record.at)
    )


@dataclass(slots=True, eq=False)
class Submit:
    """One job that a client asked for, and what it was told. Also a RetryJob.

    Attributes:
        cache_ms: how old a result may be that answers it; None if it does not go by the cache.
        retried: the job that it is to be made from; "" for a submit.
        done: when the answer or the error came (ns); None if neither did.
        code: of the error, of the call or of the item.
        sure: whether an error says that nothing was stored.
    """

    began: int
    by: str
    op: int
    request: str
    type: str = ""
    payload: str = ""
    work: str = ""
    ends: tuple[str, ...] = ()
    key: str = ""
    cache_ms: float | None = None
    delay_ms: float = 0.0
    deadline_ms: float | None = None
    max_attempts: int | None = None
    retried: str = ""
    done: int | None = None
    job: str = ""
    state: str = ""
    outcome: str = ""
    durability: str = ""
    code: str = ""
    sure: bool = False

    @property
    def at(self) -> int:
        """When it was last heard of."""
        return self.began if self.done is None else self.done

    @property
    def open(self) -> bool:
        """Whether it may have stored a job all the same."""
        return not self.job and not self.sure

    @property
    def identity(self) -> tuple[str, str]:
        """All that are asked for under it are one job."""
        if self.retried:
            return ("retry", self.request)
        return ("key", self.key) if self.key else ("request", self.request)

    def __str__(self) -> str:
        what = f"retry of {self.retried}" if self.retried else f"submit of {self.work or '?'}"
        named = f"request {self.request}" + (f", key {self.key}" if self.key else "")
        if self.job:
            told = f"job {self.job} {self.outcome} {self.state}".rstrip()
        elif self.code:
            told = f"{self.code}, {'nothing stored' if self.sure else 'indeterminate'}"
        else:
            told = "no answer"
        return f"call {self.op}, {what} ({named}): {told}"


@dataclass(slots=True, eq=False)
class View:
    """A job as somebody was shown it, at some moment between began and ended.

    Attributes:
        source: status, wait, cancel, list, watch or final.
        result: packed; None if it was not shown.
    """

    began: int
    ended: int
    by: str
    source: str
    op: int
    state: str
    reason: str | None
    attempt: int
    crashes: int
    token: int
    sequence: int
    cancel: bool
    result: str | None
    cached_from: str

    @property
    def at(self) -> int:
        """When it was shown."""
        return self.ended

    @property
    def terminal(self) -> bool:
        """Whether the job is shown as ended."""
        return self.state in TERMINAL

    @property
    def label(self) -> str:
        """The state, and of a FAILED one why."""
        return f"{self.state}:{self.reason}" if self.state == "FAILED" else self.state

    def __str__(self) -> str:
        asked = f"call {self.op}, {self.source}" if self.op >= 0 else self.source
        took = f", asked {(self.ended - self.began) / 1e6:.1f} ms before" if self.op >= 0 else ""
        cancel = ", cancel requested" if self.cancel else ""
        result = "" if self.result is None else f", result {self.result}"
        return (
            f"{asked}: {self.label}{cancel}, token {self.token}, attempt {self.attempt}, "
            f"crashes {self.crashes}, sequence {self.sequence}{result}{took}"
        )


@dataclass(slots=True, eq=False)
class Request:
    """A cancel, or another call that changes a job, whatever came of it."""

    at: int
    by: str
    op: int
    rpc: str

    def __str__(self) -> str:
        return f"call {self.op}, {self.rpc}: asked"


@dataclass(slots=True, eq=False)
class Failure:
    """A call that ended by an error. job: that it was about; "" for submits and lists."""

    began: int
    at: int
    by: str
    op: int
    rpc: str
    job: str
    code: str
    text: str

    def __str__(self) -> str:
        took = f"asked {(self.at - self.began) / 1e6:.1f} ms before"
        return f"call {self.op}, {self.rpc}: {self.code} {self.text}, {took}"


@dataclass(slots=True, eq=False)
class Event:
    """A message of a watch that covers sequences."""

    at: int
    by: str
    op: int
    first: int
    last: int
    state: str | None
    attempt: int
    gap: bool
    chunk: str | None

    @property
    def terminal(self) -> bool:
        """Whether it is the job's last."""
        return self.state in TERMINAL

    def __str__(self) -> str:
        if self.gap:
            what = "gap"
        elif self.state is not None:
            what = f"{self.state}, attempt {self.attempt}"
        else:
            what = "progress" if self.chunk is None else f"chunk {self.chunk!r}"
        covered = str(self.first) if self.first == self.last else f"{self.first}..{self.last}"
        return f"call {self.op}, watch: event {covered}, {what}"


@dataclass(slots=True, eq=False)
class Watch:
    """A watch, with all that it told.

    Attributes:
        after: the cursor that it began with.
        done: when it came to its end (ns); None if it did not, or its client left before.
        failed: whether it ended by an error.
        told_ended: whether its snapshot showed the job as ended, with nothing after the cursor.
    """

    at: int
    by: str
    op: int
    after: int
    done: int | None = None
    failed: bool = False
    told_ended: bool = False
    events: list[Event] = field(default_factory=list)

    def __str__(self) -> str:
        return f"call {self.op}, watch after {self.after}"
