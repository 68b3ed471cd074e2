"""Schedules: each occurrence is dealt with once, by the policies, and by nobody after the end.

That the job of an occurrence has the schedule's work, and is there at the end, is judged as of any
submit; what is left out, in `occurrences`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from tests.chaos.checker.scene import ASKEW_MS, STALE_NS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.chaos.checker.scene import Scene
    from tests.chaos.history.job import JobHistory
    from tests.chaos.history.register import Write
    from tests.chaos.history.schedules import ScheduleHistory
    from tests.chaos.result import Violation

__all__ = [
    "occurrences_are_one_job",
    "only_what_stands_fires",
    "overlaps_are_kept",
    "schedules_are_as_told",
]

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
            yield scene.violation(
                "schedules", f"{text}, {one.id} and {job.id}", one.evidence, job.evidence
            )


def only_what_stands_fires(scene: Scene) -> Iterator[Violation]:
    """Schedules: nothing fires early, while paused, as it was before, or once it is deleted."""
    for schedule, jobs in scene.scheduled:
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
        return scene.violation("schedules", text, *_asked(definitions), job.evidence)
    if job.occurrence_ms is None:
        return None
    early_ms = job.occurrence_ms - (job.made_ms or 0)
    if early_ms > scene.history.dates.lost_ms(since - STALE_NS, until, until):
        text = f"{schedule.id} made job {job.id} {early_ms} ms early"
        return scene.violation("schedules", text, job.evidence)
    # A pause forgets what waits, and it goes on with what is due later.
    pauses = [(since, until)] + [
        (each.began - 1, each.began - 1)
        for each in schedule.paused.writes
        if not each.value
        and each.began < since
        and job.occurrence_ms < scene.history.calendar.span(each.began - 1, until)[0] - ASKEW_MS
    ]
    for begin, end in pauses:
        paused = schedule.paused.possible(begin, end)
        if all(each.value for each in paused):
            text = f"{schedule.id} made job {job.id} although it was paused"
            return scene.violation("schedules", text, *_asked(paused), job.evidence)
    return None


def overlaps_are_kept(scene: Scene) -> Iterator[Violation]:
    """Schedules: with SKIP and QUEUE, none fires before the last job has ended."""
    for schedule, all_jobs in scene.scheduled:
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
                        yield scene.violation("schedules", text, other.evidence, job.evidence)
                        break
                last_fired = job
            last = job


def _is_alive(scene: Scene, job: JobHistory, at: int) -> bool:
    """Whether a job that was made before had not ended by then, for certain."""
    ends = scene.over(job)
    if job.ended_ms is None:
        return True
    return bool(ends) and min(ends) > at + scene.slack_ns


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


def _asked(writes: list[Write[Any]]) -> Iterator[Write[Any]]:
    """Those that somebody asked for."""
    return (write for write in writes if write.op)
