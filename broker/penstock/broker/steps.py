"""What is to be done about an occurrence that has come due: the next step of a schedule.

An occurrence is *missed* if it is later than the tolerance after its time, or after the time at
which the schedule was last attended to, if that is later. So neither a backlog that is being worked
off nor one that waited for a job is taken for an outage.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from penstock.broker.schedule import CatchUp, Overlap, SchedulePolicy

if TYPE_CHECKING:
    from penstock.broker.timing import Timing

#: Occurrences that were left out are counted up to it, so that no outage takes long to count.
MOST_COUNTED: Final = 1_000
#: With Overlap.QUEUE, a schedule that lags by more leaves its oldest occurrences out (ms).
LONGEST_LAG_MS: Final = 86_400_000
#: How soon and how late a schedule that is held up is looked at again (ms), and as a part of the
#: time that it has been.
SOONEST_LOOK_MS: Final = 250
LATEST_LOOK_MS: Final = 5_000
LOOK_SHARE: Final = 0.1


@dataclass(frozen=True, slots=True)
class Waiting:
    """A schedule whose next occurrence may be due.

    Attributes:
        schedule_id: that jitter is drawn from.
        timing: when it fires.
        policy: of collisions and outages.
        next_ms: the occurrence that it waits for.
        attended_ms: when it was last attended to; 0 if never.
    """

    schedule_id: str
    timing: Timing
    policy: SchedulePolicy
    next_ms: int
    attended_ms: int

    def due_ms(self, occurrence_ms: int) -> int:
        """When an occurrence fires."""
        return occurrence_ms + self.timing.delay_ms(self.schedule_id, occurrence_ms)


@dataclass(frozen=True, slots=True)
class Step:
    """What to do.

    Attributes:
        fire_ms: the occurrence to fire; None: none.
        next_ms: the occurrence to wait for after that; None: there is none any more.
        missed: occurrences that the catch-up policy leaves out.
        skipped: occurrences that the overlap policy leaves out.
    """

    fire_ms: int | None
    next_ms: int | None
    missed: int = 0
    skipped: int = 0


def next_step(waiting: Waiting, now_ms: int) -> Step:
    """The step to take at that time; the schedule's next occurrence is due."""
    timing, policy, first = waiting.timing, waiting.policy, waiting.next_ms
    late_ms = now_ms - max(waiting.due_ms(first), waiting.attended_ms)
    if late_ms <= policy.tolerance_ms:
        return _lagging(waiting, now_ms) or Step(first, timing.after(first))
    if policy.catch_up is CatchUp.NONE:
        following = _first_in_time(waiting, now_ms)
        return Step(None, following, missed=_between(timing, first, following))
    most = 1 if policy.catch_up is CatchUp.LAST else policy.limit
    chosen = _newest_due(waiting, most, now_ms)[0]
    return Step(chosen, timing.after(chosen), missed=_between(timing, first, chosen))


def look_again_ms(waiting: Waiting, now_ms: int) -> int:
    """When to look again at a schedule whose last job is still alive."""
    held_ms = now_ms - waiting.due_ms(waiting.next_ms)
    return now_ms + round(min(max(held_ms * LOOK_SHARE, SOONEST_LOOK_MS), LATEST_LOOK_MS))


def _first_in_time(waiting: Waiting, now_ms: int) -> int | None:
    """The first occurrence that is not missed; jitter may hold it back."""
    timing, since_ms = waiting.timing, now_ms - waiting.policy.tolerance_ms
    candidates = timing.all_after(max(waiting.next_ms, since_ms - timing.jitter_ms - 1))
    return next((each for each in candidates if waiting.due_ms(each) >= since_ms), None)


def _newest_due(waiting: Waiting, most: int, now_ms: int) -> list[int]:
    """The newest occurrences that fire by now, of those from the next one on, which does.

    What jitter still holds back is none of an outage, and may be more than what is wanted.
    """
    reach, before = most, 0
    while True:
        found = waiting.timing.latest(reach, now_ms, waiting.next_ms)
        due = [occurrence for occurrence in found if waiting.due_ms(occurrence) <= now_ms]
        if len(due) >= most or len(found) == before:
            return due[-most:] or [waiting.next_ms]
        reach, before = 2 * reach, len(found)


def _lagging(waiting: Waiting, now_ms: int) -> Step | None:
    """The step of a schedule that queues, and lags too much."""
    timing, first = waiting.timing, waiting.next_ms
    if waiting.policy.overlap is not Overlap.QUEUE or now_ms - first <= LONGEST_LAG_MS:
        return None
    oldest = timing.after(now_ms - LONGEST_LAG_MS)
    if oldest is None or oldest > now_ms:
        return None  # What waits is the newest.
    return Step(None, oldest, skipped=_between(timing, first, oldest))


def _between(timing: Timing, first_ms: int, before_ms: int | None) -> int:
    """How many occurrences there are from the first to just before another; None is the end."""
    end_ms = before_ms if before_ms is not None else (timing.end_ms or 0) + 1
    return timing.count(first_ms, end_ms, MOST_COUNTED)
