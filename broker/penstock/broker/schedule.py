"""The data of schedules: what recurs, what happens when occurrences collide or are late.

Times are ms since the epoch by the server's clock. Nothing here talks to Redis.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from itertools import islice
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from penstock.broker.new_job import NewJob
    from penstock.broker.timing import Timing


class Overlap(StrEnum):
    """What happens to an occurrence while the schedule's last job is alive."""

    SKIP = "skip"
    QUEUE = "queue"
    CANCEL_RUNNING = "cancel"
    ALLOW = "allow"


class CatchUp(StrEnum):
    """What happens to occurrences that nobody could fire in time."""

    NONE = "none"
    LAST = "last"
    ALL = "all"


@dataclass(frozen=True, slots=True)
class SchedulePolicy:
    """How a schedule deals with collisions and outages.

    Attributes:
        overlap: with the last job.
        catch_up: after an outage.
        limit: of catching up with ALL: so many of the newest.
        tolerance_ms: later than that an occurrence is missed.
    """

    overlap: Overlap = Overlap.SKIP
    catch_up: CatchUp = CatchUp.LAST
    limit: int = 1_000
    tolerance_ms: int = 60_000


@dataclass(frozen=True, slots=True)
class NewSchedule:
    """A validated definition.

    Attributes:
        schedule_id: the caller's name for it.
        timing: when; the anchor of an interval without a start is set when it is stored.
        job: template of its jobs, without request id, times or idempotency key (but expires_in_ms).
        policy: of collisions and outages.
        definition: all of it but the payload, as whoever stores it wants to read it back.
    """

    schedule_id: str
    timing: Timing
    job: NewJob
    policy: SchedulePolicy = SchedulePolicy()
    definition: bytes = b""


@dataclass(frozen=True, slots=True)
class Schedule:
    """A schedule as it stands.

    Attributes:
        schedule_id: the caller's name for it.
        queue: of its jobs.
        timing: when it fires; of one that is not readable, one that never does.
        definition: as it was stored, without the payload.
        payload: of its jobs.
        paused: nothing is fired.
        version: raised by every change of definition and pause.
        created_ms: when it was stored.
        updated_ms: when definition or pause last changed.
        now_ms: when this was read.
        next_ms: the occurrence that it waits for; None if there is none.
        last_job_id: the job that was made last; '' if none was.
        last_run_ms: when that was.
        fired: occurrences that became jobs.
        triggered: jobs made by hand.
        skipped: occurrences left out by the overlap policy.
        missed: occurrences left out by the catch-up policy.
        readable: whether this process knows what its timing means; others may, and fire it.
    """

    schedule_id: str
    queue: str
    timing: Timing
    definition: bytes
    payload: bytes
    paused: bool
    version: int
    created_ms: int
    updated_ms: int
    now_ms: int
    next_ms: int | None = None
    last_job_id: str = ""
    last_run_ms: int | None = None
    fired: int = 0
    triggered: int = 0
    skipped: int = 0
    missed: int = 0
    readable: bool = True

    def run_times(self, most: int) -> list[int]:
        """The next times at which it fires, jitter included; none if it is not readable here."""
        if self.next_ms is None or not self.readable:
            return []
        occurrences = islice(self.timing.all_after(self.next_ms - 1), most)
        return [each + self.timing.delay_ms(self.schedule_id, each) for each in occurrences]
