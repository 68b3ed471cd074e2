"""Schedules as a history tells of them: what recurs, who changed it, and what was shown of it.

Dates are those of the server's clock, in ms since the epoch; all other times are the history's.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tests.chaos.history.register import LATE_NS, Register, Write
from tests.chaos.history.view import Submit, packed

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tests.chaos.history.job import JobHistory

__all__ = ["Definition", "Look", "ScheduleHistory", "Schedules"]


@dataclass(frozen=True)
class Definition:
    """What recurs, and when.

    Attributes:
        schedule: its id.
        spec: as the journal has it; see `journal`.
    """

    schedule: str
    spec: Mapping[str, Any]

    @property
    def timing(self) -> tuple[Any, ...]:
        """Tells whether two definitions name the same occurrences."""
        return tuple(self.spec[name] for name in ("step_ms", "first_ms", "start_ms", "end_ms"))

    @property
    def terms(self) -> tuple[Any, ...]:
        """Tells whether two definitions fire the same occurrences."""
        names = ("overlap", "catch_up", "limit", "tolerance_ms")
        return (*self.timing, *(self.spec[name] for name in names))

    @property
    def skips(self) -> bool:
        """Whether an occurrence is left out while a job of the schedule is alive."""
        return bool(self.spec["overlap"] == "SKIP")

    def fits(self, occurrence_ms: int | None, work: tuple[str, str]) -> bool:
        """Whether it makes such a job of an occurrence, or, with None, by hand."""
        named = occurrence_ms is None or self.names(occurrence_ms)
        return named and self.work(occurrence_ms) == work

    def names(self, date_ms: int) -> bool:
        """Whether it is a time at which the schedule recurs."""
        step_ms, first_ms, start_ms, end_ms = self.timing
        return bool(start_ms <= date_ms <= end_ms and (date_ms - first_ms) % step_ms == 0)

    def between(self, after_ms: int, before_ms: int) -> range:
        """The times at which it recurs, both ends left out."""
        step_ms, first_ms, start_ms, end_ms = self.timing
        since_ms = max(after_ms + 1, start_ms)
        since_ms += (first_ms - since_ms) % step_ms
        return range(since_ms, min(before_ms, end_ms + 1), step_ms)

    def work(self, occurrence_ms: int | None) -> tuple[str, str]:
        """Type and payload of the job of an occurrence, or, with None, of one made by hand."""
        origin = {"schedule": self.schedule, "occurrence": occurrence_ms}
        return self.spec["type"], packed({**self.spec["payload"], "origin": origin})

    def submit(self, began: int, occurrence_ms: int | None) -> Submit:
        """The submit that an occurrence, or a run by hand, stands for."""
        type_, payload = self.work(occurrence_ms)
        ends = tuple(self.spec["ends"])
        if self.spec["overlap"] == "CANCEL_RUNNING":
            ends += ("CANCELLED",)
        return Submit(
            began=began,
            by=self.schedule,
            op=-1,
            request=f"occurrence {occurrence_ms} of {self.schedule}",
            type=type_,
            payload=payload,
            work=str(self.spec["payload"]["work"]),
            ends=ends,
            max_attempts=self.spec.get("max_attempts"),
        )

    def __str__(self) -> str:
        step_ms, first_ms, _, end_ms = self.timing
        spec = self.spec
        return (
            f"{self.schedule} as {spec['payload']['work']}, every {step_ms} ms by {first_ms} until "
            f"{end_ms}, {spec['overlap']}, {spec['catch_up']}"
        )


@dataclass(slots=True, eq=False)
class Look:
    """A schedule as somebody was shown it, at some moment between began and at."""

    began: int
    at: int
    by: str
    op: int
    rpc: str
    paused: bool
    next_ms: int | None
    fired: int
    triggered: int
    skipped: int
    missed: int

    def __str__(self) -> str:
        return (
            f"call {self.op}, {self.rpc}: {'paused' if self.paused else 'waits'} for "
            f"{self.next_ms}, {self.fired} fired, {self.triggered} by hand, {self.skipped} "
            f"skipped, {self.missed} missed"
        )


@dataclass(slots=True, eq=False)
class Absence:
    """A call that was told that there is no such schedule."""

    began: int
    at: int
    by: str
    op: int
    rpc: str

    def __str__(self) -> str:
        return f"call {self.op}, {self.rpc}: NOT_FOUND"


@dataclass(slots=True, eq=False)
class _Call:
    """One that is under way: since when, which, and what it writes."""

    began: int
    rpc: str
    definition: Write[Definition | None] | None = None
    pause: Write[bool] | None = None
    submit: Submit | None = None


@dataclass(slots=True, eq=False)
class ScheduleHistory:
    """All that is known of one.

    Attributes:
        id: its name.
        definitions: what it is; None while there is none of that name.
        paused: whether it is.
        looks: at it.
        absent: calls that were told that it is not there.
        triggers: runs by hand, with type and payload left open.
    """

    id: str
    definitions: Register[Definition | None] = field(default_factory=lambda: Register(None))
    paused: Register[bool] = field(default_factory=lambda: Register(True))  # noqa: FBT003
    looks: list[Look] = field(default_factory=list)
    absent: list[Absence] = field(default_factory=list)
    triggers: list[Submit] = field(default_factory=list)

    def may_be(self, since: int, until: int) -> list[Definition]:
        """The definitions that it may have had in a span of time."""
        found = self.definitions.values(since, until)
        return [each for each in found if each is not None]


class Schedules:
    """All that is known of them.

    Attributes:
        by_id: each.
    """

    def __init__(self) -> None:
        self.by_id: dict[str, ScheduleHistory] = {}
        self._calls: dict[tuple[str, int], tuple[ScheduleHistory, _Call]] = {}

    def call(self, at: int, by: str, told: dict[str, Any]) -> None:
        """A call that begins."""
        rpc, op, name = told["rpc"], told["op"], told["schedule"]
        schedule = self.by_id.setdefault(name, ScheduleHistory(name))
        call = _Call(at, rpc)
        self._calls[by, op] = schedule, call
        if rpc in {"create", "update", "delete"}:
            definition = None if rpc == "delete" else Definition(name, told["spec"])
            call.definition = Write(at, by, op, rpc, definition)
            schedule.definitions.writes.append(call.definition)
        if rpc in {"create", "pause", "resume"}:
            paused = rpc == "pause" or bool(told.get("paused"))
            call.pause = Write(at, by, op, rpc, paused)
            schedule.paused.writes.append(call.pause)
        if rpc == "trigger":
            call.submit = Submit(at, by, op, f"{told['request']} of {name} by hand")
            schedule.triggers.append(call.submit)

    def answer(self, key: tuple[str, int], at: int, by: str, told: dict[str, Any]) -> None:
        """One that ended well."""
        schedule, call = self._calls.pop(key)
        for write in (call.definition, call.pause):
            if write is not None:
                write.done = at
        if call.submit is not None:
            call.submit.done, call.submit.job = at, sys.intern(told["job"])
            for name in ("state", "outcome", "durability"):
                setattr(call.submit, name, sys.intern(told.get(name) or ""))
        if "fired" in told:
            counts = {name: told[name] for name in ("fired", "triggered", "skipped", "missed")}
            shown = {"paused": bool(told["paused"]), "next_ms": told["next_ms"], **counts}
            schedule.looks.append(Look(call.began, at, by, key[1], call.rpc, **shown))

    def error(self, key: tuple[str, int], at: int, code: str, *, sure: bool) -> None:
        """One that failed."""
        schedule, call = self._calls.pop(key)
        if code == "NOT_FOUND":
            schedule.absent.append(Absence(call.began, at, key[0], key[1], call.rpc))
        if call.submit is not None:
            call.submit.done, call.submit.code, call.submit.sure = at, code, sure
        if sure:
            if call.definition is not None:
                schedule.definitions.drop(call.definition)
            if call.pause is not None:
                schedule.paused.drop(call.pause)

    def submits(self, jobs: Mapping[str, JobHistory]) -> Iterator[Submit]:
        """Runs by hand, each of the definition that its job is of, or may be."""
        for schedule in self.by_id.values():
            first: dict[str, int] = {}
            for each in schedule.triggers:
                since = first.setdefault(each.request, each.began)
                until = each.at if each.job else each.began + LATE_NS
                found = [one.submit(each.began, None) for one in schedule.may_be(since, until)]
                if each.job and each.job in jobs:
                    work = jobs[each.job].work
                    found.sort(key=lambda one: (one.type, one.payload) != work)
                for one in found[:1] if each.job else found:
                    yield _told(one, each)


def _told(made: Submit, call: Submit) -> Submit:
    """A submit with what the call was told."""
    for name in ("by", "op", "request", "done", "job", "state", "outcome", "durability"):
        setattr(made, name, getattr(call, name))
    made.code, made.sure = call.code, call.sure
    return made
