"""Histories written by hand, for the tests of the checker."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

from tests.chaos.checker.checker import check
from tests.chaos.checker.scene import Expectations
from tests.chaos.history.journal import Line

if TYPE_CHECKING:
    from tests.chaos.result import Violation

__all__ = [
    "Tale",
    "chunk",
    "envelope",
    "found",
    "gap",
    "progress",
    "refuted",
    "shown",
    "spec",
    "state",
    "view",
]

_MS = 1_000_000


@dataclass
class Tale:
    """Puts lines after one another, a millisecond apart. Clients, workers and the end in turn."""

    lines: list[Line] = field(default_factory=list)
    now_ms: int = 0
    ahead_ms: int = 0
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

    def at(self, ms: int) -> Self:
        """It is so late now."""
        self.now_ms = ms
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

    def start(
        self,
        token: int,
        attempt: int = 1,
        *,
        job: str = "j",
        work: str = "w",
        type_: str = "chaos.async",
        **more: object,
    ) -> Self:
        """A handler begins."""
        return self.line(
            f"worker-{token}",
            "start",
            job=job,
            type=type_,
            token=token,
            attempt=attempt,
            payload={"work": work},
            **more,
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

    def struck(self, number: int = 1, *, outage: bool = True, displaces: bool = False) -> Self:
        """A fault begins."""
        touches = {"outage": outage, "displaces": displaces}
        return self.line("harness", "strike", fault="it", strike=number, target="it", **touches)

    def healed(self, number: int = 1) -> Self:
        """It is over."""
        return self.line("harness", "heal", fault="it", strike=number)

    def turned(self, ahead_ms: int) -> Self:
        """The server's date jumps."""
        self.ahead_ms = ahead_ms
        self.line("harness", "clock", ahead_ms=ahead_ms)
        return self.line("harness", "clock", ahead_ms=ahead_ms, turned=True)

    def final(self, *, work: str = "w", type_: str = "chaos.async", **told: Any) -> Self:  # noqa: ANN401
        """What is left of a job."""
        stored = {"type": type_, "payload": {"work": work}}
        return self.line("end", "final", **view(**told), **stored)

    # Topics and schedules. The server's date is the time, unless it is turned.

    def asked(self, rpc: str, *, told: dict[str, Any] | None = None, **asked: Any) -> Self:  # noqa: ANN401
        """A client calls, and is answered."""
        return self.answer(self.call(rpc, **asked), **(told or {}))

    def publish(self, message: str, topic: str, work: str = "w") -> int:
        """A client begins to publish a message."""
        asked: dict[str, Any] = {"payload": {"work": work}, "ends": ["SUCCEEDED"]}
        return self.call("publish", message=envelope(message, topic), **asked)

    def delivered(
        self, op: int, outcome: str = "CREATED", state: str = "QUEUED", **jobs: str
    ) -> Self:
        """It is acknowledged, with these jobs by the subscription (``a`` of ``a=job``)."""
        receipt = {"state": state, "outcome": outcome, "durability": "ALWAYS"}
        told = [{"subscription": name, "job": job, **receipt} for name, job in jobs.items()]
        return self.answer(op, jobs=told)

    def heard(self, token: int, subscription: str, job: str, origin: dict[str, Any]) -> Self:
        """The job of a subscription runs."""
        told: dict[str, Any] = {"job": job, "type_": subscription, "origin": origin}
        return self.start(token, **told).end(token, job=job).final(token=token, **told)

    def fired(
        self,
        occurrence_ms: int | None,
        *,
        job: str = "",
        work: str = "w",
        token: int = 0,
        takes_ms: int = 1,
        made_ms: int | None = None,
    ) -> Self:
        """The job of an occurrence of the schedule ``s`` is made now, and runs."""
        job, token = job or f"s-{occurrence_ms}", token or self.now_ms
        made_ms = self.now_ms if made_ms is None else made_ms
        told: dict[str, Any] = {
            "job": job,
            "work": work,
            "origin": {"schedule": "s", "occurrence": occurrence_ms},
        }
        self.start(token, **told).later(takes_ms).end(token, job=job)
        told |= {"made_ms": made_ms + self.ahead_ms, "ended_ms": self.now_ms + self.ahead_ms}
        return self.final(token=token, result={"work": work, "token": token}, **told)


def envelope(message: str, topic: str) -> dict[str, Any]:
    """What the jobs of a message know of it."""
    return {"id": message, "topic": topic, "source": "us", "time_ms": 7}


def spec(work: str = "w", **others: object) -> dict[str, Any]:
    """The definition of a schedule that fires each second."""
    plan = {"type": "chaos.async", "payload": {"work": work}, "ends": ["SUCCEEDED"]}
    when = {"step_ms": 1000, "first_ms": 0, "start_ms": 0, "end_ms": 60_000}
    policy = {"overlap": "ALLOW", "catch_up": "ALL", "limit": 1000, "tolerance_ms": 60_000}
    return {**plan, "max_attempts": 30, **when, **policy, **others}


def shown(next_ms: int | None, fired: int, **others: object) -> dict[str, Any]:
    """What is shown of a schedule."""
    counts = {"fired": fired, "triggered": 0, "skipped": 0, "missed": 0}
    return {"paused": next_ms is None, "next_ms": next_ms, **counts, **others}


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
