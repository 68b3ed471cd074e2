"""Schedules as a caller defines them and as a gateway tells them. Times are aware, in UTC."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from penstock.client.errors import InvalidRequest, Status, Violation

if TYPE_CHECKING:
    from datetime import datetime

    from penstock.client.new_job import NewJob
    from penstock.client.spans import Span


class _Name(StrEnum):
    """An enum of the contract; its values are the contract's names, accepted in any case."""

    @classmethod
    def _missing_(cls, value: object) -> _Name | None:
        return cls.__members__.get(value.upper()) if isinstance(value, str) else None


class Overlap(_Name):
    """What happens to an occurrence while the job that the schedule made last has not ended."""

    SKIP = "SKIP"
    QUEUE = "QUEUE"
    CANCEL_RUNNING = "CANCEL_RUNNING"
    ALLOW = "ALLOW"


class CatchUp(_Name):
    """What happens to occurrences that nobody could fire in time."""

    NONE = "NONE"
    LAST = "LAST"
    ALL = "ALL"


@dataclass(frozen=True, slots=True)
class Schedule:
    """The definition of a schedule: a job, and when it recurs. Give either cron or every.

    ::

        Schedule(NewJob("report.make"), cron="0 6 * * MON-FRI", time_zone="Europe/Berlin")
        Schedule(NewJob("inbox.poll"), every=30, overlap=Overlap.SKIP)

    Attributes:
        job: that each occurrence submits; without request id, delay, run_at, deadline and
            idempotency key. It goes by its queue for good.
        cron: an expression of five fields, or six with seconds first; '' is none.
        time_zone: that the expression is read in, an IANA name.
        every: an interval from 1 s to 366 days, counted from start_time, else from the creation.
        start_time: nothing occurs before it; None is from now on.
        end_time: nothing occurs after it; None is no end.
        jitter: bound of the delay by which occurrences are spread; None is none.
        overlap: what happens while the last job has not ended.
        catch_up: what happens to what was missed.
        catch_up_limit: how many of the newest are caught up on with ALL, 1 to 1,000; None is
            1,000.
        tolerance: how late an occurrence may fire without being missed; None is 60 s.
        note: for people, up to 1 KiB.
    """

    job: NewJob
    _: KW_ONLY
    cron: str = ""
    time_zone: str = "UTC"
    every: Span | None = None
    start_time: datetime | None = None
    end_time: datetime | None = None
    jitter: Span | None = None
    overlap: Overlap | str = Overlap.SKIP
    catch_up: CatchUp | str = CatchUp.LAST
    catch_up_limit: int | None = None
    tolerance: Span | None = None
    note: str = ""

    def check(self) -> None:
        """Finds what the wire cannot express; all other rules are the gateway's.

        Raises:
            InvalidRequest: with every violation.
        """
        broken = []
        if bool(self.cron) == (self.every is not None):
            broken.append(Violation("spec.timing", "give either cron or every"))
        for name, time in {"start_time": self.start_time, "end_time": self.end_time}.items():
            if time is not None and time.utcoffset() is None:
                text = "it has no time zone; use datetime.now(UTC) or the like"
                broken.append(Violation(f"spec.timing.{name}", text))
        for name, kind, value in (
            ("overlap", Overlap, self.overlap),
            ("catch_up.policy", CatchUp, self.catch_up),
        ):
            try:
                kind(value)
            except ValueError:
                names = ", ".join(kind)
                broken.append(Violation(f"spec.{name}", f"{value!r} is none of {names}"))
        if broken:
            text = "; ".join(map(str, broken))
            raise InvalidRequest(Status("INVALID_ARGUMENT", text, violations=tuple(broken)))


@dataclass(frozen=True, slots=True)
class ScheduleInfo:
    """A schedule as it stood when the gateway answered.

    Attributes:
        schedule_id: its name.
        schedule: its definition; in a list, without the payload of its job.
        paused: nothing is fired.
        version: raised by every change of definition and pause.
        next_run_times: when it fires next, jitter included; none while it is paused.
        unreadable: the gateway does not know what the timing means: a newer version stored it.
        last_job_id: the job that was made last; '' if none was.
        last_run_time: when that was.
        fired: occurrences that became jobs.
        triggered: jobs made by hand.
        skipped: occurrences left out by the overlap policy.
        missed: occurrences left out by the catch-up policy.
        create_time: of the schedule.
        update_time: of its last change.
        created: whether the call that is answered made it; False for all other calls.
    """

    schedule_id: str
    schedule: Schedule
    paused: bool
    version: int
    next_run_times: tuple[datetime, ...] = ()
    last_job_id: str = ""
    last_run_time: datetime | None = None
    fired: int = 0
    triggered: int = 0
    skipped: int = 0
    missed: int = 0
    create_time: datetime | None = None
    update_time: datetime | None = None
    created: bool = False
    unreadable: bool = False

    @property
    def queue(self) -> str:
        """Queue of its jobs."""
        return self.schedule.job.queue
