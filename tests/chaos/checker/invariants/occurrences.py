"""Schedules: what an occurrence that did not fire was left out for.

Faults hold up what fires: how late an occurrence is says nothing. What is left out is judged where
the schedule was certainly the same all the while.
"""

from __future__ import annotations

from operator import attrgetter
from typing import TYPE_CHECKING, Any, NamedTuple

from tests.chaos.checker.scene import ASKEW_MS, STALE_NS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.chaos.checker.scene import Scene
    from tests.chaos.history.job import JobHistory
    from tests.chaos.history.register import Write
    from tests.chaos.history.schedules import Definition, Look, ScheduleHistory
    from tests.chaos.history.view import Record
    from tests.chaos.result import Violation

__all__ = ["occurrences_are_accounted_for"]


class _Point(NamedTuple):
    """How far a schedule was.

    Attributes:
        ms: it had dealt with all occurrences up to this one, or just before it.
        at: when (ns), at the latest.
        attended: whether it did something then.
        evidence: shows it.
    """

    ms: int
    at: int
    attended: bool
    evidence: Record | None


def occurrences_are_accounted_for(scene: Scene) -> Iterator[Violation]:
    """Schedules: what is left out was missed, or skipped for a job that lived, and is counted."""
    if scene.expectations.losses:
        return
    for schedule, jobs in scene.scheduled:
        fired = [point for job in jobs for point in _fired(scene, job)]
        starts = fired + [_begun(scene, write) for write in _writes(schedule) if write.done]
        starts.sort(key=attrgetter("ms"), reverse=True)
        seen = [
            _Point(look.next_ms, look.at, attended=True, evidence=look)
            for look in schedule.looks
            if look.next_ms is not None
        ]
        for point in fired + seen:
            before = [each for each in starts if each.ms < point.ms and each.at <= point.at]
            yield from _left_out(scene, schedule, jobs, before, point)
        for look in schedule.looks:
            yield from _miscounted(scene, schedule, jobs, look)


def _writes(schedule: ScheduleHistory) -> Iterator[Write[Any]]:
    """Calls after which a schedule may begin to wait anew."""
    yield from schedule.definitions.writes
    yield from schedule.paused.writes


def _fired(scene: Scene, job: JobHistory) -> Iterator[_Point]:
    moments = scene.made(job)
    if job.occurrence_ms is not None and len(moments) == 1:
        yield _Point(job.occurrence_ms, moments[0], attended=True, evidence=job.evidence)


def _begun(scene: Scene, write: Write[Any]) -> _Point:
    """What is due after the call is dealt with."""
    latest = write.at + scene.slack_ns + 1
    date_ms = scene.history.calendar.span(write.began, latest)[1] + 1
    return _Point(date_ms, latest, attended=False, evidence=write)


def _left_out(
    scene: Scene,
    schedule: ScheduleHistory,
    jobs: list[JobHistory],
    before: list[_Point],
    point: _Point,
) -> Iterator[Violation]:
    """What was named since the last of some points, and did not fire, has a reason."""
    known = ((each, _going_on(scene, schedule, each.at, point.at)) for each in before)
    start, definition = next(((one, what) for one, what in known if what), (None, None))
    if start is None or definition is None:
        return
    fired = {job.occurrence_ms for job in jobs}
    left = [each for each in definition.between(start.ms, point.ms) if each not in fired]
    if left and not (
        _may_be_missed(scene, definition, left, start, point)
        or (definition.skips and _may_be_skipped(scene, left[-1], jobs, start, point))
    ):
        text = f"{schedule.id} left {len(left)} occurrences out, {left[0]} first, for no reason"
        yield scene.violation("schedules", text, start.evidence, point.evidence)


def _may_be_missed(
    scene: Scene, definition: Definition, left: list[int], start: _Point, point: _Point
) -> bool:
    """Whether nobody can have attended to it in time, and it need not be made up for."""
    earliest, latest = scene.history.calendar.span(start.at, point.at)
    dates, since = scene.history.dates, start.at - STALE_NS
    earliest -= dates.gained_ms(since, point.at, point.at)
    latest += dates.lost_ms(since, point.at, point.at) + ASKEW_MS
    late_ms = latest - max(left[0], earliest if start.attended else 0)
    if late_ms <= definition.spec["tolerance_ms"]:
        return False
    due = definition.between(left[-1], latest)
    return definition.spec["catch_up"] != "ALL" or bool(due[definition.spec["limit"] - 1 :])


def _may_be_skipped(
    scene: Scene, newest_ms: int, jobs: list[JobHistory], start: _Point, point: _Point
) -> bool:
    """Whether a job lived for which an occurrence, and those before it, can have been skipped."""
    due = start.at
    if not scene.history.calendar.turned(start.at, point.at):
        # Not those to come: a date that is turned back later comes round once more.
        moments = scene.history.calendar.moments(newest_ms, 0)
        due = max((each for each in moments if each <= point.at), default=due)
    return any(
        any(at < point.at for at in scene.made(job))
        and (
            job.ended_ms is None
            or any(end >= due - ASKEW_MS * 1_000_000 for end in scene.over(job))
        )
        for job in jobs
    )


def _going_on(scene: Scene, schedule: ScheduleHistory, since: int, until: int) -> Definition | None:
    """What it was all the while, without a pause; None if it may have been otherwise."""
    since, until = since - scene.slack_ns, until + scene.slack_ns
    definitions = schedule.definitions.values(since, until)
    if any(schedule.paused.values(since, until)) or None in definitions:
        return None
    found = [each for each in definitions if each is not None]
    return found[0] if len({each.terms for each in found}) == 1 else None


def _miscounted(
    scene: Scene, schedule: ScheduleHistory, jobs: list[JobHistory], look: Look
) -> Iterator[Violation]:
    """The counts that are shown are those of the jobs, and of what was left out."""
    began, ended = look.began - scene.slack_ns, look.at + scene.slack_ns
    for name, by_hand in (("fired", False), ("triggered", True)):
        made = [scene.made(job) for job in jobs if (job.occurrence_ms is None) is by_hand]
        least = sum(all(at < began for at in moments) for moments in made if moments)
        most = sum(not moments or any(at <= ended for at in moments) for moments in made)
        told = getattr(look, name)
        if not least <= told <= most:
            text = f"{schedule.id} is shown with {told} {name}, and there are {least} to {most}"
            yield scene.violation("schedules", text, look)
    creates = [each for each in schedule.definitions.writes if each.rpc == "create"]
    made_at = min((each.done for each in creates if each.done is not None), default=None)
    if made_at is None or look.next_ms is None:
        return
    definition = _going_on(scene, schedule, made_at + 1 + scene.slack_ns, look.at)
    if definition is None:
        return
    created = scene.history.calendar.span(
        creates[0].began - scene.slack_ns, made_at + scene.slack_ns
    )
    most, least = (len(definition.between(each, look.next_ms)) for each in created)
    told = look.fired + look.skipped + look.missed
    if not least <= told <= most:
        text = f"{schedule.id} is shown with {told} occurrences, and there were {least} to {most}"
        yield scene.violation("schedules", text, look)
