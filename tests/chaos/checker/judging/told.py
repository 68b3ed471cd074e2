"""Histories written by hand, for the tests of the checker."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

from tests.chaos.checker.checker import check
from tests.chaos.checker.scene import Expectations
from tests.chaos.history.journal import Line

if TYPE_CHECKING:
    from tests.chaos.result import Violation

__all__ = ["Tale", "chunk", "found", "gap", "progress", "refuted", "state", "view"]

_MS = 1_000_000


@dataclass
class Tale:
    """Puts lines after one another, a millisecond apart. Clients, workers and the end in turn."""

    lines: list[Line] = field(default_factory=list)
    now_ms: int = 0
    _ops: int = 0

    def line(self, by: str, kind: str, **fields: object) -> Self:
        """Any line."""
        self.now_ms += 1
        self.lines.append(Line(self.now_ms * _MS, by, kind, fields))
        return self

    def later(self, ms: int) -> Self:
        """Time passes."""
        self.now_ms += ms
        return self

    def call(self, rpc: str, *, by: str = "client-1", **asked: object) -> int:
        """A client begins a call. Returns its number."""
        self._ops += 1
        self.line(by, "call", op=self._ops, rpc=rpc, **asked)
        return self._ops

    def answer(self, op: int, *, by: str = "client-1", **told: object) -> Self:
        """It is answered."""
        return self.line(by, "answer", op=op, **told)

    def error(self, op: int, code: str, *, sure: bool = False, by: str = "client-1") -> Self:
        """It fails."""
        return self.line(by, "error", op=op, code=code, sure=sure)

    def submit(self, work: str = "w", *, request: str = "", **options: Any) -> int:  # noqa: ANN401
        """A client asks for a job that is to succeed."""
        item = {
            "request": request or f"r-{work}",
            "type": "chaos.async",
            "payload": {"work": work},
            "ends": ["SUCCEEDED"],
        }
        return self.call("submit", jobs=[item | options])

    def receipt(
        self, op: int, job: str = "j", *, outcome: str = "CREATED", state: str = "QUEUED"
    ) -> Self:
        """It is acknowledged."""
        receipt = {"job": job, "state": state, "outcome": outcome, "durability": "ALWAYS"}
        return self.answer(op, jobs=[receipt])

    def submitted(self, work: str = "w", job: str = "j", **options: Any) -> Self:  # noqa: ANN401
        """Both."""
        return self.receipt(self.submit(work, **options), job)

    def start(self, token: int, attempt: int = 1, *, job: str = "j", work: str = "w") -> Self:
        """A handler begins."""
        return self.line(
            f"worker-{token}",
            "start",
            job=job,
            type="chaos.async",
            token=token,
            attempt=attempt,
            payload={"work": work},
        )

    def effect(self, token: int, what: str, value: object, *, job: str = "j") -> Self:
        """It does something."""
        return self.line(f"worker-{token}", "effect", job=job, token=token, what=what, value=value)

    def end(self, token: int, how: str = "return", *, job: str = "j", why: str = "") -> Self:
        """It ends."""
        return self.line(f"worker-{token}", "end", job=job, token=token, how=how, why=why)

    def seen(self, rpc: str = "status", **told: Any) -> Self:  # noqa: ANN401
        """A client looks, and is shown a view."""
        shown = view(**told)
        return self.answer(self.call(rpc, job=shown["job"]), **shown)

    def watch(self, *events: dict[str, Any], job: str = "j", after: int = 0) -> Self:
        """A client watches a job to its end."""
        op = self.call("watch", job=job, after=after)
        for event in events:
            self.line("client-1", "event", op=op, job=job, **event)
        return self.answer(op, complete=True)

    def struck(self, number: int = 1, *, outage: bool = True, fault: str = "it") -> Self:
        """A fault begins."""
        told = {"fault": fault, "strike": number, "target": "it", "outage": outage}
        return self.line("harness", "strike", **told)

    def healed(self, number: int = 1) -> Self:
        """It is over."""
        return self.line("harness", "heal", fault="it", strike=number)

    def turned(self, ahead_ms: int) -> Self:
        """The server's date jumps."""
        self.line("harness", "clock", ahead_ms=ahead_ms)
        return self.line("harness", "clock", ahead_ms=ahead_ms, turned=True)

    def final(self, *, work: str = "w", **told: Any) -> Self:  # noqa: ANN401
        """What is left of a job."""
        stored = {"type": "chaos.async", "payload": {"work": work}}
        return self.line("end", "final", **view(**told), **stored)


def refuted(tale: Tale, **expected: Any) -> set[str]:  # noqa: ANN401
    """The promises that a tale breaks, under what may be expected."""
    return {violation.invariant for violation in found(tale, **expected)}


def found(tale: Tale, **expected: Any) -> list[Violation]:  # noqa: ANN401
    """What the checker says of it."""
    return check(tale.lines, expectations=Expectations(**{"least": {}, **expected}))


def view(
    state: str = "SUCCEEDED", *, token: int = 1, sequence: int = 3, job: str = "j", **told: object
) -> dict[str, Any]:
    """What is shown of a job."""
    shown: dict[str, Any] = {
        "job": job,
        "state": state,
        "reason": None,
        "attempt": 1,
        "crashes": 0,
        "token": token,
        "sequence": sequence,
        "cancel": False,
    }
    if state == "SUCCEEDED":
        shown["result"] = {"work": "w", "token": token}
    return shown | told


def state(sequence: int, name: str, attempt: int = 0) -> dict[str, Any]:
    """An event: another state."""
    return {"first": sequence, "last": sequence, "state": name, "attempt": attempt}


def chunk(sequence: int, text: str, attempt: int = 1) -> dict[str, Any]:
    """An event: a chunk."""
    return {"first": sequence, "last": sequence, "chunk": text, "attempt": attempt}


def progress(first: int, last: int) -> dict[str, Any]:
    """An event: reports of progress, merged."""
    return {"first": first, "last": last}


def gap(first: int, last: int) -> dict[str, Any]:
    """An event: history that is gone."""
    return {"first": first, "last": last, "gap": True}
