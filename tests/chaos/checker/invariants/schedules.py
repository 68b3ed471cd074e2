"""Schedules: each occurrence is dealt with once, by the policies, and by nobody after the end.

Faults hold up what fires: how late an occurrence is says nothing. That the job of an occurrence has
the schedule's work, is there at the end, and did not run before its time is judged as of any
submit. What is left out is judged where the schedule was certainly the same all the while.
"""

from __future__ import annotations

from collections import defaultdict
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from tests.chaos.history.register import LATE_NS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.chaos.checker.scene import Scene
    from tests.chaos.history.job import JobHistory
    from tests.chaos.history.register import Write
    from tests.chaos.history.schedules import Definition, Look, ScheduleHistory
    from tests.chaos.history.view import Record
    from tests.chaos.result import Violation

__all__ = [
    "occurrences_are_accounted_for",
    "occurrences_are_one_job",
    "only_what_stands_fires",
    "overlaps_are_kept",
    "schedules_are_as_told",
]

#: Whoever fires asks for the server's date, and goes on by its own clock: some ms askew, and for
#: so long not knowing that the date was turned meanwhile.
_ASKEW_MS: Final = 100
_STALE_NS: Final = LATE_NS
_ALONE: Final = frozenset({"SKIP", "QUEUE"})


def occurrences_are_one_job(scene: Scene) -> Iterator[Violation]:
    """Schedules: an occurrence is one job."""
    first: dict[tuple[str, int], JobHistory] = {}
    for job in scene.history.jobs.values():
        if job.occurrence_ms is None:
            continue
        one = first.setdefault((job.schedule, job.occurrence_ms), job)
        if one is not job:
            text = f"occurrence {job.occurrence_ms} of {job.schedule} is two jobs"
            yield scene.violation("schedules", f"{text}, {one.id} and {job.id}", *_shown(one, job))


def only_what_stands_fires(scene: Scene) -> Iterator[Violation]:
    """Schedules: nothing fires early, while paused, as it was before, or once it is deleted."""
    for schedule, jobs in _with_jobs(scene):
        for job in jobs:
            # Where the date was turned back there may be two times at which it was made.
            faults = [_fault_of(scene, schedule, job, at) for at in scene.made(job)]
            if faults and all(faults):
                yield next(each for each in faults if each is not None)


def _fault_of(
    scene: Scene, schedule: ScheduleHistory, job: JobHistory, at: int
) -> Violation | None:
    """What is wrong with a job that was made then."""
    since, until = at - scene.slack_ns, at + scene.slack_ns
    definitions = schedule.definitions.possible(since, until)
    if not any(each.value and each.value.fits(job.occurrence_ms, job.work) for each in definitions):
        text = f"{schedule.id} made job {job.id} although it was another then, or gone"
        return scene.violation("schedules", text, *_asked(definitions), *_shown(job))
    if job.occurrence_ms is None:
        return None
    early_ms = job.occurrence_ms - (job.made_ms or 0)
    if early_ms > scene.history.dates.lost_ms(since - _STALE_NS, until, until):
        text = f"{schedule.id} made job {job.id} {early_ms} ms early"
        return scene.violation("schedules", text, *_shown(job))
    # A pause forgets what waits, and it goes on with what is due later.
    pauses = [(since, until)] + [
        (each.began - 1, each.began - 1)
        for each in schedule.paused.writes
        if not each.value
        and each.began < since
        and job.occurrence_ms < scene.history.calendar.span(each.began - 1, until)[0] - _ASKEW_MS
    ]
    for begin, end in pauses:
        paused = schedule.paused.possible(begin, end)
        if all(each.value for each in paused):
            text = f"{schedule.id} made job {job.id} although it was paused"
            return scene.violation("schedules", text, *_asked(paused), *_shown(job))
    return None


def overlaps_are_kept(scene: Scene) -> Iterator[Violation]:
    """Schedules: with SKIP and QUEUE, none fires before the last job has ended."""
    for schedule, all_jobs in _with_jobs(scene):
        overlaps = {each.spec["overlap"] for each in schedule.may_be(0, scene.history.ended)}
        if not overlaps <= _ALONE:
            continue
        moments = {job.id: scene.made(job) for job in all_jobs}
        jobs = [job for job in all_jobs if len(moments[job.id]) == 1]
        jobs.sort(key=lambda job: moments[job.id])
        last: JobHistory | None = None
        last_fired: JobHistory | None = None
        for job in jobs:
            if job.occurrence_ms is not None:
                # Where the last one was made by hand, the last occurrence counts as well.
                known = (last, last_fired) if len(jobs) == len(all_jobs) else (last_fired,)
                for other in filter(None, known):
                    (since,), (until,) = moments[other.id], moments[job.id]
                    if since < until - scene.slack_ns and _is_alive(scene, other, until):
                        text = f"{schedule.id} made job {job.id}, and {other.id} had not ended"
                        yield scene.violation("schedules", text, *_shown(other, job))
                        break
                last_fired = job
            last = job


def _is_alive(scene: Scene, job: JobHistory, at: int) -> bool:
    """Whether a job that was made before had not ended by then, for certain."""
    ends = scene.over(job)
    if job.ended_ms is None:
        return True
    return bool(ends) and min(ends) > at + scene.slack_ns


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
    for schedule, jobs in _with_jobs(scene):
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
        evidence = next(_shown(job), None)
        yield _Point(job.occurrence_ms, moments[0], attended=True, evidence=evidence)


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
    dates, since = scene.history.dates, start.at - _STALE_NS
    earliest -= dates.gained_ms(since, point.at, point.at)
    latest += dates.lost_ms(since, point.at, point.at) + _ASKEW_MS
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
        due = max(scene.history.calendar.moments(newest_ms, 0), default=due)
    return any(
        any(at < point.at for at in scene.made(job))
        and (
            job.ended_ms is None
            or any(end >= due - _ASKEW_MS * 1_000_000 for end in scene.over(job))
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


def schedules_are_as_told(scene: Scene) -> Iterator[Violation]:
    """Schedules: one that was created is found, as it was left, until it is deleted."""
    for schedule in scene.history.schedules.by_id.values():
        for look in schedule.looks:
            # A call that changes it answers with what it made of it.
            definitions = schedule.definitions.possible(look.began, look.at)
            if all(each.value is None for each in definitions):
                text = f"{schedule.id} was deleted, and is shown"
                yield scene.violation("schedules", text, *_asked(definitions), look)
            paused = schedule.paused.possible(look.began, look.at)
            if look.paused not in {each.value for each in paused}:
                text = f"{schedule.id} is shown {'paused' if look.paused else 'going on'}"
                yield scene.violation("schedules", text, *_asked(paused), look)
        for absent in schedule.absent:
            definitions = schedule.definitions.possible(absent.began, absent.at)
            if all(each.value is not None for each in definitions):
                text = f"{schedule.id} was created, and then not found"
                yield scene.violation("schedules", text, *_asked(definitions), absent)


def _with_jobs(scene: Scene) -> Iterator[tuple[ScheduleHistory, list[JobHistory]]]:
    """Each schedule with its jobs, in the order in which they were made."""
    jobs: defaultdict[str, list[JobHistory]] = defaultdict(list)
    for job in scene.judged():
        if job.schedule and job.made_ms is not None:
            jobs[job.schedule].append(job)
    for schedule in scene.history.schedules.by_id.values():
        yield schedule, sorted(jobs[schedule.id], key=attrgetter("made_ms"))


def _asked(writes: list[Write[Any]]) -> Iterator[Write[Any]]:
    """Those that somebody asked for."""
    return (write for write in writes if write.op)


def _shown(*jobs: JobHistory) -> Iterator[Record]:
    """The lines that show that there are these jobs."""
    for job in jobs:
        evidence: list[Record] = [*job.starts[:1], *job.views[-1:]]
        yield from evidence[:1]
