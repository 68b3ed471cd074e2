"""What was asked for of schedules: told from the requests alone.

Here schedules are on a grid that anybody can work out: an interval with a start, or a cron
expression of every so many seconds. Each definition that is sent has a name of its own, which is in
the payload of its jobs: "s0 2 3" is the third definition of the second schedule of that id.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Final

from penstock.broker import Content, NewJob
from penstock.broker.schedule import CatchUp, NewSchedule, Overlap, SchedulePolicy
from penstock.broker.timing import Timing

__all__ = ["MOST_COUNTED", "Plans", "Spec"]

#: So many occurrences that are left out are counted at a time, and no more.
MOST_COUNTED: Final = 1_000


@dataclass(frozen=True)
class Spec:
    """A definition.

    Attributes:
        schedule_id: of the schedule.
        life: how many of that id there have been.
        number: of the definition, within that life.
        every_ms: between two occurrences.
        start_ms: the first; None: the grid is that of the minute.
        end_ms: none is after it; None: there is no end.
        overlap: with the last job.
        catch_up: after an outage.
        tolerance_ms: how late an occurrence may be.
        brief: its jobs take no time.
    """

    schedule_id: str
    life: int
    number: int
    every_ms: int
    start_ms: int | None
    end_ms: int | None
    overlap: Overlap
    catch_up: CatchUp
    tolerance_ms: int
    brief: bool

    @property
    def name(self) -> str:
        """As it is in the payloads of its jobs."""
        return f"{self.schedule_id} {self.life} {self.number}"

    def names(self, time_ms: int) -> bool:
        """Whether it is the time of an occurrence."""
        within = (self.start_ms or 0) <= time_ms <= (self.end_ms or time_ms)
        return within and (time_ms - (self.start_ms or 0)) % self.every_ms == 0

    def count(self, first_ms: int, before_ms: int | None) -> int:
        """How many there are from one of them on to just before another; None: to the end."""
        if before_ms is None:
            before_ms = (self.end_ms or first_ms) + 1
        return max(0, -((first_ms - before_ms) // self.every_ms))

    def as_new(self) -> NewSchedule:
        """As a gateway would hand it to the broker."""
        timing = Timing(interval_ms=self.every_ms, start_ms=self.start_ms, end_ms=self.end_ms)
        if self.start_ms is None:
            timing = Timing(cron=f"*/{self.every_ms // 1000} * * * * *", end_ms=self.end_ms)
        return NewSchedule(
            self.schedule_id,
            timing,
            NewJob(
                "work",
                "q",
                "",
                payload=Content(json.dumps({"of": self.name, "brief": self.brief}).encode()),
            ),
            SchedulePolicy(self.overlap, self.catch_up, 3, self.tolerance_ms),
            repr(self).encode(),
        )


@dataclass
class Plans:
    """All that was ever asked for, as far as answers tell.

    Attributes:
        specs: by name.
        current: names of the definitions that may be in force, by schedule id and life.
        silent: those that were told to be paused.
        ended: those that were told to be deleted.
        by_hand: how many jobs were asked for by hand.
    """

    specs: dict[str, Spec] = field(default_factory=dict)
    current: dict[tuple[str, int], set[str]] = field(default_factory=dict)
    silent: set[tuple[str, int]] = field(default_factory=set)
    ended: set[tuple[str, int]] = field(default_factory=set)
    by_hand: dict[tuple[str, int], int] = field(default_factory=dict)
