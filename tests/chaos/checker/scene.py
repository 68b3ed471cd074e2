"""What a checker looks at: a history, and what may be expected of the run that it tells of."""

from __future__ import annotations

import json
import sys
from collections import defaultdict
from dataclasses import asdict, dataclass, field
from functools import cached_property
from operator import attrgetter
from typing import TYPE_CHECKING, Final, Self

from tests.chaos.checker.outages import Outages
from tests.chaos.history.view import witness
from tests.chaos.result import Violation

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from tests.chaos.history.history import History
    from tests.chaos.history.job import JobHistory
    from tests.chaos.history.schedules import ScheduleHistory
    from tests.chaos.history.view import Record, Submit

__all__ = [
    "ASKEW_MS",
    "OUTSIDE",
    "PROBER",
    "STALE_NS",
    "WORKED",
    "Expectations",
    "Loss",
    "Scene",
]

#: What every run does, however short it is. One in which these are missing shows nothing.
WORKED: Mapping[str, int] = {
    "job acknowledged": 1,
    "start": 1,
    "end": 1,
    "final": 1,
}

#: Codes that say nothing against the service, whatever was asked. The last is the client's own.
OUTAGE: Final = frozenset({"UNAVAILABLE", "DEADLINE_EXCEEDED", "RESOURCE_EXHAUSTED", "WaitTimeout"})


#: In the folder of a run.
_FILE: Final = "expectations.json"

#: Jobs that were asked for, from question to answer, while there was no outage.
OUTSIDE: Final = "submit outside of outages"

#: The harness asks whether the service works, also where it does not, and with little patience.
PROBER: Final = "harness"

#: Whoever fires a schedule asks for the server's date, and goes on by its own clock: some ms askew,
#: and for so long (ns) not knowing that the date was turned meanwhile.
ASKEW_MS: Final = 100
#: Longer than a process is suspended, or its link is frozen, and what it sent then takes to arrive.
STALE_NS: Final = 20 * 1_000_000_000


@dataclass(frozen=True)
class Loss:
    """What the server stored in a span of time may be gone, as it is documented.

    Such as all before a FLUSHALL, or the last seconds before a power cut at everysec.

    Attributes:
        since, until: by the clock of the history (ns).
    """

    since: int
    until: int


@dataclass(frozen=True)
class Expectations:
    """What may be expected of a run.

    Attributes:
        max_attempts: of a job whose submit does not say.
        max_crashes: after so many a job is quarantined.
        losses: jobs that changed in one of them are not judged.
        clock_slack_ms: by how much the clock of the server may have run ahead, for jobs that wait.
            It counts whole milliseconds, and is slewed; where it jumps, by more.
        settled: the run waited until all jobs had ended.
        log_events: so many of a job's events are kept; only older ones may be missing.
        codes: with which any sound call may fail: there is an outage, or a limit was reached.
        recovery_s: calls fail by that only while a fault strikes by which they can, or for so long
            after it. None where strikes are not written down: then they may at any time.
        patience_s: a job that was waited for so long has ended, whatever struck; None is any time.
        strays: of 10,000 calls, so many may fail by it outside of that, and once in any run: a
            machine that has much else to do may be late. 0 is never.
        coroutines: job types whose handlers always note their end, unless their process is killed.
        durability: that every acknowledgement must promise; "" is any.
        least: how many operations of a kind there must be; see `History.operations`.
    """

    max_attempts: int = 3
    max_crashes: int = 3
    losses: tuple[Loss, ...] = ()
    clock_slack_ms: float = 5.0
    settled: bool = True
    log_events: int = 10_000
    codes: frozenset[str] = OUTAGE
    recovery_s: float | None = None
    patience_s: float | None = None
    strays: float = 0.0
    coroutines: frozenset[str] = frozenset({"chaos.async"})
    durability: str = ""
    least: Mapping[str, int] = field(default_factory=lambda: WORKED)

    def save(self, folder: Path) -> None:
        """Puts them beside a history, for whoever judges it again."""
        told = {name: _plain(value) for name, value in asdict(self).items()}
        (folder / _FILE).write_text(json.dumps(told, indent=1, sort_keys=True) + "\n")

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Reads what `save` wrote. Raises FileNotFoundError if it never did."""
        told = json.loads((folder / _FILE).read_text())
        told["losses"] = tuple(Loss(**loss) for loss in told["losses"])
        sets = {name: frozenset(told[name]) for name in ("codes", "coroutines")}
        return cls(**{**told, **sets})


def _plain(value: object) -> object:
    return sorted(value) if isinstance(value, frozenset) else value


@dataclass
class Scene:
    """A history under its expectations."""

    history: History
    expectations: Expectations

    def violation(self, invariant: str, text: str, *records: Record | None) -> Violation:
        """A refuted promise; of the records, those that exist bear witness."""
        seen = [record for record in records if record is not None]
        return Violation(invariant, text, witness(self.history.began, seen))

    @cached_property
    def outages(self) -> Outages | None:
        """When calls might fail; None if at any time."""
        recovery_s = self.expectations.recovery_s
        return None if recovery_s is None else Outages(self.history.strikes, recovery_s)

    def count(self, kind: str) -> int:
        """How many operations of a kind there were, see `History.operations`; or `OUTSIDE`."""
        return self._submits_outside if kind == OUTSIDE else self.history.operations[kind]

    @cached_property
    def _submits_outside(self) -> int:
        outages = self.outages
        if outages is None:
            return 0
        asked = (each for each in self.history.submits if each.by != PROBER)
        return sum(not outages.meet(each.began, each.at) for each in asked if each.done is not None)

    def judged(self) -> Iterator[JobHistory]:
        """The jobs that no documented loss excuses."""
        losses = self.expectations.losses
        for job in self.history.jobs.values():
            if not any(job.changed_within(loss.since, loss.until) for loss in losses):
                yield job

    def work_of(self, job: JobHistory) -> tuple[str, str]:
        """Type and payload of a job; ("", "") if nobody told."""
        for each in self._line_of(job):
            for submit in each.submits:
                if not submit.retried:
                    return submit.type, submit.payload
            if each.work != ("", ""):
                return each.work
        return "", ""

    def makers_of(self, job: JobHistory) -> list[Submit]:
        """Submits, retries and occurrences that were answered with it, or may have stored it."""
        work = self.work_of(job)
        found = [*job.submits, *self._open_by_work.get(work, ())]
        if job.occurrence_ms is not None and job.schedule in self.history.schedules.by_id:
            definitions = self.history.schedules.by_id[job.schedule].may_be(0, sys.maxsize)
            # That it is not early is judged with the schedule, by the server's own date.
            found += [
                each.submit(self.history.began, job.occurrence_ms)
                for each in definitions
                if each.fits(job.occurrence_ms, work)
            ]
        return found

    @property
    def slack_ns(self) -> int:
        """By how much the server's clock may be off the history's (ns)."""
        return int(self.expectations.clock_slack_ms * 1e6) + self.history.calendar.error_ns

    @cached_property
    def scheduled(self) -> list[tuple[ScheduleHistory, list[JobHistory]]]:
        """Each schedule with its jobs, by the server's date of their making."""
        jobs: defaultdict[str, list[JobHistory]] = defaultdict(list)
        for job in self.judged():
            if job.schedule and job.made_ms is not None:
                jobs[job.schedule].append(job)
        return [
            (schedule, sorted(jobs[schedule.id], key=attrgetter("made_ms")))
            for schedule in self.history.schedules.by_id.values()
        ]

    def made(self, job: JobHistory) -> list[int]:
        """The times at which a job may have been made (ns), by the server's date of that."""
        known = min((start.at for start in job.starts), default=self.history.ended) + self.slack_ns
        moments = self.history.calendar.moments(job.made_ms or 0, self.slack_ns)
        return [each for each in moments if each <= known]

    def over(self, job: JobHistory) -> list[int]:
        """The times at which a job may have ended (ns); none if it never did."""
        if job.ended_ms is None:
            return []
        known = max((start.at for start in job.starts), default=0) - self.slack_ns
        moments = self.history.calendar.moments(job.ended_ms, self.slack_ns)
        return [each for each in moments if known <= each <= self.history.ended + self.slack_ns]

    def plans_of(self, job: JobHistory) -> list[Submit]:
        """The submits that say what is to become of it: a retry has its payload from another."""
        found: dict[int, Submit] = {}
        for each in self._line_of(job):
            found |= {id(submit): submit for submit in self.makers_of(each) if not submit.retried}
        return list(found.values())

    def _line_of(self, job: JobHistory) -> Iterator[JobHistory]:
        """A job, the one that it was retried from, and so on."""
        seen = set()
        next_one: JobHistory | None = job
        while next_one is not None and next_one.id not in seen:
            yield next_one
            seen.add(next_one.id)
            origins = [submit.retried for submit in next_one.submits if submit.retried]
            next_one = self.history.jobs.get(origins[0]) if origins else None

    @cached_property
    def _open_by_work(self) -> dict[tuple[str, str], list[Submit]]:
        """Calls of which nobody knows whether they stored a job, by what it would be."""
        found: dict[tuple[str, str], list[Submit]] = {}
        for submit in self.history.submits:
            if submit.open:
                work = submit.type, submit.payload
                if submit.retried:
                    work = self.work_of(self.history.job(submit.retried))
                found.setdefault(work, []).append(submit)
        return found
