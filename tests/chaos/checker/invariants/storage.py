"""I1, I2, I3: what was acknowledged is there, nothing else is, and once."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.chaos.checker.scene import Scene
    from tests.chaos.history.job import JobHistory
    from tests.chaos.history.view import Submit
    from tests.chaos.result import Violation

__all__ = ["jobs_end", "jobs_end_as_planned", "no_job_is_lost", "no_phantoms", "one_job_a_request"]

_Work: TypeAlias = tuple[str, str]


def no_job_is_lost(scene: Scene, job: JobHistory) -> Iterator[Violation]:
    """I1: what was acknowledged, or seen, is there at the end."""
    if job.final is not None:
        return
    receipt = next(iter(job.submits), None)
    seen = job.views[-1] if job.views else None
    started = job.starts[-1] if job.starts else None
    if receipt is not None:
        text = f"job {job.id} was acknowledged, and is not there at the end"
        yield scene.violation("I1", text, receipt, seen, started)
    elif seen is not None or started is not None:
        text = f"job {job.id} was there, and is not at the end"
        yield scene.violation("I1", text, seen, started)


def jobs_end(scene: Scene, job: JobHistory) -> Iterator[Violation]:
    """Liveness: once all is quiet, no job is left that has not ended."""
    if scene.expectations.settled and job.final is not None and not job.final.terminal:
        text = f"job {job.id} never ended: it is {job.final.state}"
        yield scene.violation("liveness", text, job.submits[0] if job.submits else None, job.final)


def jobs_end_as_planned(scene: Scene, job: JobHistory) -> Iterator[Violation]:
    """I1: a job ends as its plan permits; by a cancel, a deadline or crashes only if there were."""
    final = job.final
    if final is None or not final.terminal:
        return
    plans = scene.plans_of(job)
    if not plans or final.label in {end for plan in plans for end in plan.ends}:
        return
    match final.label:
        case "CANCELLED":
            permitted = bool(job.cancels)
        case "EXPIRED":
            permitted = any(maker.deadline_ms is not None for maker in scene.makers_of(job))
        case "FAILED:QUARANTINED":
            permitted = final.crashes >= scene.expectations.max_crashes
        case _:
            permitted = False
    if not permitted:
        ends = sorted({end for plan in plans for end in plan.ends})
        text = f"job {job.id} ended {final.label}; its plan permits {', '.join(ends) or 'no end'}"
        yield scene.violation("I1", text, plans[0], final)


def no_phantoms(scene: Scene, job: JobHistory) -> Iterator[Violation]:
    """I2: what runs, or is stored, was submitted, as it was submitted."""
    makers = scene.makers_of(job)
    shown = [view for view in job.views if view.source != "watch"]
    if not makers:
        if job.starts or shown:
            evidence = job.starts[0] if job.starts else shown[0]
            text = f"nobody submitted job {job.id}"
            yield scene.violation("I2", text, evidence)
        return
    submitted = scene.work_of(job)
    for start in job.starts:
        if (start.type, start.payload) != submitted:
            text = f"job {job.id} was submitted with other work than its handler got"
            yield scene.violation("I2", text, makers[0], start)
            return
    if job.stored not in (("", ""), submitted):
        text = f"job {job.id} is stored with other work than was submitted"
        yield scene.violation("I2", text, makers[0], job.final)


def one_job_a_request(scene: Scene) -> Iterator[Violation]:
    """I3: equal requests are one job, and a request or key stands for one piece of work."""
    judged = {job.id for job in scene.judged()}
    yield from _one_answer_each(scene, judged)
    yield from _refusals_have_a_reason(scene)
    yield from _made_once(scene, judged)
    yield from _no_more_jobs_than_asked_for(scene, judged)


def _one_answer_each(scene: Scene, judged: set[str]) -> Iterator[Violation]:
    first_of: dict[tuple[str, str], Submit] = {}
    for submit in scene.history.submits:
        if submit.job not in judged or submit.cache_ms is not None:
            continue
        for identity in {("request", submit.request), submit.identity}:
            first = first_of.setdefault(identity, submit)
            named = " ".join(identity)
            if first.job != submit.job:
                text = f"{named} was answered with two jobs, {first.job} and {submit.job}"
                yield scene.violation("I3", text, first, submit)
                break
            if (first.type, first.payload) != (submit.type, submit.payload):
                text = f"{named} was acknowledged for two pieces of work"
                yield scene.violation("I3", text, first, submit)
                break


def _refusals_have_a_reason(scene: Scene) -> Iterator[Violation]:
    """ALREADY_EXISTS only where the request or the key was used for other work before."""
    refused = [each for each in scene.history.submits if each.code == "ALREADY_EXISTS"]
    if not refused:
        return
    users: defaultdict[tuple[str, str], list[Submit]] = defaultdict(list)
    for submit in scene.history.submits:
        if not submit.sure:
            for identity in {("request", submit.request), submit.identity}:
                users[identity].append(submit)
    for submit in refused:
        identities = {("request", submit.request), submit.identity}
        others = [other for identity in identities for other in users[identity]]
        if not any(
            (other.type, other.payload) != (submit.type, submit.payload)
            and other.began <= submit.at
            for other in others
        ):
            text = f"request {submit.request} was refused, and nobody used it for other work"
            yield scene.violation("I3", text, submit, *others[:1])


def _made_once(scene: Scene, judged: set[str]) -> Iterator[Violation]:
    for job in scene.history.jobs.values():
        made = [each for each in job.submits if each.outcome in ("CREATED", "CACHED")]
        if len(made) > 1 and job.id in judged:
            text = f"job {job.id} was made {len(made)} times"
            yield scene.violation("I3", text, *made[:2])


def _no_more_jobs_than_asked_for(scene: Scene, judged: set[str]) -> Iterator[Violation]:
    """Also those of calls that were never answered are one job for each request or key."""
    asked: defaultdict[_Work, set[tuple[str, str]]] = defaultdict(set)
    for submit in scene.history.submits:
        if not submit.sure:
            work = submit.type, submit.payload
            if submit.retried:
                work = scene.work_of(scene.history.job(submit.retried))
            asked[work].add(submit.identity)
    jobs: defaultdict[_Work, list[JobHistory]] = defaultdict(list)
    for job in scene.history.jobs.values():
        work = scene.work_of(job)
        if job.id in judged and work in asked:
            jobs[work].append(job)
    for work, made in jobs.items():
        if len(made) > len(asked[work]):
            text = (
                f"{len(asked[work])} requests for one piece of work are {len(made)} jobs: "
                f"{', '.join(job.id for job in made)}"
            )
            yield scene.violation("I3", text, *(job.evidence for job in made))
