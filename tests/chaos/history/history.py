"""The history of a run, put together by jobs, calls and watches."""

from __future__ import annotations

import sys
from collections import Counter
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from tests.chaos.history.calendar import Calendar
from tests.chaos.history.dates import Dates, Turn
from tests.chaos.history.entries import Effect, Ending, Problem, Strike
from tests.chaos.history.job import JobHistory
from tests.chaos.history.reading import Look, event_of, start_of, submit_of, view_of, work_of
from tests.chaos.history.schedules import Schedules
from tests.chaos.history.topics import Topics
from tests.chaos.history.view import Failure, Request, Submit, Watch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from tests.chaos.history.journal import Line
    from tests.chaos.history.view import View

__all__ = ["History"]

_Op: TypeAlias = tuple[str, int]

_OF_TOPICS: Final = frozenset({"publish", "subscribe", "unsubscribe"})
_OF_SCHEDULES: Final = frozenset(
    {"create", "update", "pause", "resume", "trigger", "get", "delete"}
)


class History:
    """Takes in lines, those of one process in order, and puts them together.

    Attributes:
        jobs: by id.
        submits: all of them, retries, messages and runs of schedules by hand, whatever they were
            told.
        topics: what was published, and who wanted it.
        schedules: all of them.
        failures: calls that ended by an error.
        strikes: all of them.
        killed: processes that were killed (kill -9), and when (ns).
        stray: lines of the audit.
        bounds: those that were passed.
        dates: how the server's date was turned.
        calls: how many were begun.
        operations: how many there are of each kind: "submit", "start", "watch event" ...
        began, ended: times of the first and the last line (ns).
        calendar: what date of the server was when.
    """

    def __init__(self, lines: Iterable[Line] = ()) -> None:
        self.jobs: dict[str, JobHistory] = {}
        self.submits: list[Submit] = []
        self.failures: list[Failure] = []
        self.strikes: list[Strike] = []
        self.killed: dict[str, int] = {}
        self.stray: list[Problem] = []
        self.bounds: list[Problem] = []
        self.dates = Dates()
        self.calls = 0
        self.operations: Counter[str] = Counter()
        self.began, self.ended = sys.maxsize, 0
        self.calendar = Calendar(self.dates)
        self.topics = Topics()
        self.schedules = Schedules()
        self._submits: dict[_Op, list[Submit]] = {}
        self._watches: dict[_Op, Watch] = {}
        self._asked: dict[_Op, Look] = {}
        self._struck: dict[int, Strike] = {}
        for line in lines:
            self.add(line)
        self._sort()

    def add(self, line: Line) -> None:
        """Takes in one line. A kind that is unknown here is counted, and no more."""
        self.began, self.ended = min(self.began, line.at), max(self.ended, line.at)
        take = _TAKERS.get(line.kind)
        if take is None:
            self.operations[line.kind] += 1
        else:
            take(self, line, line.fields, sys.intern(line.by))

    def job(self, job_id: str) -> JobHistory:
        """What is known of a job, begun if nothing is."""
        found = self.jobs.get(job_id)
        if found is None:
            found = self.jobs[job_id] = JobHistory(job_id)
        return found

    def _sort(self) -> None:
        self.submits += self.topics.submits()
        self.submits += self.schedules.submits(self.jobs)
        for submit in self.submits:
            if submit.job:
                self.job(submit.job).submits.append(submit)
        for job in self.jobs.values():
            job.sort()
        self.submits.sort(key=lambda submit: submit.began)
        self.strikes.sort(key=lambda strike: strike.at)

    # Calls and what came of them.

    def _call(self, line: Line, told: dict[str, Any], by: str) -> None:
        rpc, op = sys.intern(told["rpc"]), (by, told["op"])
        self.operations[rpc] += 1
        self.calls += 1
        self._asked[op] = Look(line.at, by, rpc, told["op"], told.get("job") or "")
        match rpc:
            case "submit":
                asked = [submit_of(line.at, by, told["op"], item) for item in told["jobs"]]
                self.operations["job asked for"] += len(asked)
                self._submits[op] = asked
                self.submits += asked
            case "retry":
                origin = self.job(told["job"])
                again = Submit(line.at, by, told["op"], told["request"], retried=origin.id)
                self._submits[op] = [again]
                self.submits.append(again)
            case "watch":
                watch = Watch(line.at, by, told["op"], told.get("after", 0))
                self.job(told["job"]).watches.append(watch)
                self._watches[op] = watch
            case "cancel":
                self.job(told["job"]).cancels.append(Request(line.at, by, told["op"], rpc))
            case _ if rpc in _OF_TOPICS:
                self.topics.call(line.at, by, told)
            case _ if rpc in _OF_SCHEDULES:
                self.schedules.call(line.at, by, told)

    def _answer(self, line: Line, told: dict[str, Any], by: str) -> None:
        op = by, told["op"]
        look = self._asked.pop(op, None)
        if look is None:
            return
        if op in self._submits:
            asked = self._submits.pop(op)
            receipts = told.get("jobs", [told])
            for submit, receipt in zip(asked, receipts, strict=True):
                self._take_receipt(submit, line.at, receipt)
            return
        if op in self._watches:
            if told.get("complete"):
                self._watches[op].done = line.at
            return
        self.operations[f"{look.source} answered"] += 1
        if look.source in _OF_TOPICS:
            self.operations["message delivered"] += len(told.get("jobs", ()))
            self.topics.answer(op, line.at, told)
        elif look.source in _OF_SCHEDULES:
            self.schedules.answer(op, line.at, by, told)
        else:
            for view in told["jobs"] if look.source == "list" else [told]:
                self._take_view(view, look, line.at)

    def _error(self, line: Line, told: dict[str, Any], by: str) -> None:
        op, code, sure = (by, told["op"]), sys.intern(told["code"]), bool(told.get("sure"))
        self.operations["error" if sure else "indeterminate"] += 1
        look = self._asked.pop(op, None)
        if look is None:
            return
        for submit in self._submits.pop(op, ()):
            submit.done, submit.code, submit.sure = line.at, code, sure
        if op in self._watches:
            self._watches[op].failed = True
        if look.source in _OF_TOPICS:
            self.topics.error(op, line.at, code, sure=sure)
        elif look.source in _OF_SCHEDULES:
            self.schedules.error(op, line.at, code, sure=sure)
        self.failures.append(
            Failure(
                began=look.began,
                at=line.at,
                by=by,
                op=look.op,
                rpc=look.source,
                job=look.job,
                code=code,
                text=told.get("text") or "",
            )
        )

    def _take_receipt(self, submit: Submit, at: int, receipt: dict[str, Any]) -> None:
        submit.done = at
        if receipt.get("job"):
            self.operations["job acknowledged"] += 1
            submit.job = sys.intern(receipt["job"])
            submit.state = sys.intern(receipt.get("state") or "")
            submit.outcome = sys.intern(receipt.get("outcome") or "")
            submit.durability = sys.intern(receipt.get("durability") or "")
        else:
            self.operations["job refused"] += 1
            submit.code, submit.sure = receipt["code"], bool(receipt.get("sure"))

    def _take_view(self, told: dict[str, Any], look: Look, ended: int) -> View:
        view = view_of(told, look, ended)
        self.job(told["job"]).views.append(view)
        return view

    # Watches.

    def _event(self, line: Line, told: dict[str, Any], by: str) -> None:
        self.operations["watch event"] += 1
        watch = self._watches.get((by, told["op"]))
        if watch is None:
            return
        look = Look(watch.at, by, "watch", watch.op)
        if snapshot := told.get("snapshot"):
            view = self._take_view(snapshot, look, line.at)
            watch.told_ended = view.terminal and view.sequence <= watch.after
            return
        event = event_of(line.at, by, told)
        watch.events.append(event)
        if event.terminal and told.get("view"):
            self._take_view(told["view"], look, line.at)

    # Workers.

    def _start(self, line: Line, told: dict[str, Any], by: str) -> None:
        self.operations["start"] += 1
        origin = told.get("origin") or {}
        if "id" in origin:
            self.operations["start of a message"] += 1
        elif origin.get("occurrence") is not None:
            self.operations["start of an occurrence"] += 1
        job = self.job(told["job"])
        _take_origin(job, origin)
        job.starts.append(start_of(line.at, by, told))

    def _effect(self, line: Line, told: dict[str, Any], by: str) -> None:
        what = sys.intern(told["what"])
        self.operations[what] += 1
        if what != "progress":  # It is merged at will: there is nothing to hold it against.
            effect = Effect(line.at, by, told["token"], what, told["value"])
            self.job(told["job"]).effects.append(effect)

    def _end(self, line: Line, told: dict[str, Any], by: str) -> None:
        self.operations["end"] += 1
        how, why = sys.intern(told["how"]), sys.intern(told.get("why") or "")
        ending = Ending(line.at, by, told["token"], how, why)
        self.job(told["job"]).endings.append(ending)

    # The harness.

    def _strike(self, line: Line, told: dict[str, Any], by: str) -> None:
        self.operations["strike"] += 1
        target, outage = str(told.get("target", "")), bool(told.get("outage", True))
        strike = Strike(line.at, by, told["fault"], told["strike"], target, outage)
        strike.displaces = bool(told.get("displaces"))
        self._struck[strike.number] = strike
        self.strikes.append(strike)

    def _heal(self, line: Line, told: dict[str, Any], _by: str) -> None:
        if told["strike"] in self._struck:
            self._struck[told["strike"]].healed = line.at

    def _recovered(self, line: Line, told: dict[str, Any], _by: str) -> None:
        self.operations["recovered"] += 1
        if told["strike"] in self._struck:
            self._struck[told["strike"]].recovered = line.at

    def _clock(self, line: Line, told: dict[str, Any], by: str) -> None:
        if told.get("turned"):
            self.dates.turned(line.at)
        else:
            self.operations["clock"] += 1
            self.dates.add(Turn(line.at, by, told["ahead_ms"]))

    def _killed(self, line: Line, told: dict[str, Any], _by: str) -> None:
        self.operations["killed"] += 1
        self.killed[told["target"]] = line.at

    def _final(self, line: Line, told: dict[str, Any], by: str) -> None:
        self.operations["final"] += 1
        job = self.job(told["job"])
        job.final = self._take_view(told, Look(line.at, by, "final"), line.at)
        job.made_ms, job.ended_ms = told.get("made_ms"), told.get("ended_ms")
        _take_origin(job, told.get("origin") or {})
        if "payload" in told:
            job.stored = sys.intern(told["type"]), work_of(told)

    def _date(self, line: Line, told: dict[str, Any], _by: str) -> None:
        self.calendar.compare(line.at, told["date_ns"])

    def _audit(self, line: Line, told: dict[str, Any], by: str) -> None:
        self.operations["audit"] += 1
        self.stray.append(Problem(line.at, by, told["fault"]))

    def _bound(self, line: Line, told: dict[str, Any], by: str) -> None:
        self.operations["bound"] += 1
        if told["value"] > told["most"]:
            text = f"{told['name']}: {told['value']}, at most {told['most']}"
            self.bounds.append(Problem(line.at, by, text))


def _take_origin(job: JobHistory, origin: dict[str, Any]) -> None:
    if "schedule" in origin:
        job.schedule, job.occurrence_ms = sys.intern(origin["schedule"]), origin["occurrence"]


_TAKERS: Final[dict[str, Callable[[History, Line, dict[str, Any], str], None]]] = {
    kind: getattr(History, f"_{kind}")
    for kind in (
        "call",
        "answer",
        "error",
        "event",
        "start",
        "effect",
        "end",
        "strike",
        "heal",
        "recovered",
        "clock",
        "killed",
        "final",
        "date",
        "audit",
        "bound",
    )
}
