"""How calls may fail: by an outage or a limit, or where they contradict an earlier one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.chaos.checker.scene import PROBER
from tests.chaos.history.view import Failure

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tests.chaos.checker.outages import Outages
    from tests.chaos.checker.scene import Scene
    from tests.chaos.history.job import JobHistory
    from tests.chaos.history.view import Submit
    from tests.chaos.result import Violation

__all__ = [
    "calls_fail_as_documented",
    "calls_fail_in_outages",
    "stray_failures",
    "waits_end",
    "waits_in_vain",
    "what_was_acknowledged_is_found",
]

#: Judged by I3, or as a message, where it may have contradicted another.
_CONFLICT = "ALREADY_EXISTS"
#: Calls that name nothing which might not be there.
_MAKING = frozenset({"submit", "publish", "create", "subscribe", "list"})
#: Calls that last, and are begun anew where they break off: they fail by what strikes at the end.
_LASTING = frozenset({"wait", "watch"})
_END_NS = 4_000_000_000
#: A wait came to its own end before its job did.
_WAITED = "WaitTimeout"


def what_was_acknowledged_is_found(scene: Scene) -> Iterator[Violation]:
    """I1: nobody is told that a job is not there once it was acknowledged."""
    for failure in _judged(scene):
        job = scene.history.jobs.get(failure.job)
        if failure.code != "NOT_FOUND" or job is None:
            continue
        before = next((each for each in job.submits if each.at < failure.began), None)
        if before is not None:
            text = f"job {job.id} was acknowledged, and then not found"
            yield scene.violation("I1", text, before, failure)


def calls_fail_as_documented(scene: Scene) -> Iterator[Violation]:
    """Errors: a sound call fails by an outage or a limit, or contradicts an earlier submit."""
    codes = scene.expectations.codes
    for failure in _judged(scene):
        conflict = failure.rpc in ("submit", "retry", "publish") and failure.code == _CONFLICT
        absent = failure.code == "NOT_FOUND" and failure.rpc not in _MAKING
        if failure.code not in codes and not conflict and not absent:
            yield scene.violation("errors", f"a {failure.rpc} ended {failure.code}", failure)
    for submit in _refused(scene):
        if submit.code not in codes and submit.code != _CONFLICT:
            yield scene.violation("errors", f"a job of a batch was refused: {submit.code}", submit)


def calls_fail_in_outages(scene: Scene) -> Iterator[Violation]:
    """Outages: calls fail by an outage while a fault strikes that brings one, or soon after."""
    strays = stray_failures(scene)
    if _stalls(strays) <= _strays_allowed(scene):
        return
    first = strays[0]
    before = [strike for strike in scene.history.strikes if strike.at <= first.at]
    text = f"{len(strays)} of {scene.history.calls:,} calls failed, and there was no outage"
    yield scene.violation("outages", text, *before[-1:], first)


def waits_end(scene: Scene) -> Iterator[Violation]:
    """Liveness: who waits for a job for long sees it end, unless what it waits for was moved."""
    patience_s = scene.expectations.patience_s
    if patience_s is None:
        return
    for failure in waits_in_vain(scene):
        job = scene.history.job(failure.job)
        waited_ms = (failure.at - failure.began) / 1e6 - _put_off_ms(scene, job, failure)
        if waited_ms >= patience_s * 1000 and not _was_displaced(scene, job, failure):
            text = f"job {job.id} was waited for in vain"
            yield scene.violation("liveness", text, *job.submits[:1], *job.starts[-1:], failure)


def waits_in_vain(scene: Scene) -> list[Failure]:
    """The waits that lasted for as long as a job may take, and longer."""
    patience_ns = (scene.expectations.patience_s or 0.0) * 1e9
    return [
        failure
        for failure in _judged(scene)
        if failure.code == _WAITED and failure.at - failure.began >= patience_ns
    ]


def _put_off_ms(scene: Scene, job: JobHistory, failure: Failure) -> int:
    """By how much the date may have gone back while the job waited for one."""
    failed = any(ending.how in {"raise", "retry"} for ending in job.endings)
    if not failed and not any(submit.delay_ms for submit in scene.makers_of(job)):
        return 0
    since = min((submit.began for submit in job.submits), default=failure.began)
    return scene.history.dates.lost_ms(since, failure.at, failure.at)


def _was_displaced(scene: Scene, job: JobHistory, failure: Failure) -> bool:
    """Whether a strike may have taken it from its place: a walk puts it back, in its time."""
    since = min((submit.began for submit in job.submits), default=failure.began)
    return any(
        strike.displaces and strike.at <= failure.at and (strike.healed or since) >= since
        for strike in scene.history.strikes
    )


def _strays_allowed(scene: Scene) -> float:
    strays = scene.expectations.strays
    # One stall of the machine is no matter of how many calls a short run makes.
    return max(1.0, scene.history.calls * strays / 10_000) if strays else 0.0


def stray_failures(scene: Scene) -> list[Failure | Submit]:
    """The calls and jobs of batches that failed by an outage when there was none, by time."""
    outages, codes = scene.outages, scene.expectations.codes
    if outages is None:
        return []
    failed: list[Failure | Submit] = [*scene.history.failures, *_refused(scene)]
    strays = [
        each
        for each in failed
        if each.code in codes - {_WAITED} and each.by != PROBER and not _is_excused(outages, each)
    ]
    return sorted(strays, key=lambda each: each.at)


def _is_excused(outages: Outages, each: Failure | Submit) -> bool:
    if isinstance(each, Failure) and each.rpc in _LASTING:
        return outages.meet(max(each.began, each.at - _END_NS), each.at)
    return outages.excuse(each.began, each.at)


def _stalls(strays: Sequence[Failure | Submit]) -> int:
    """How many there are apart from each other: one stall of the machine fails many calls."""
    stalls, until = 0, -1
    for each in sorted(strays, key=lambda each: each.began):
        stalls += each.began > until
        until = max(until, each.at)
    return stalls


def _refused(scene: Scene) -> Iterator[Submit]:
    """Jobs of batches that were answered otherwise."""
    whole = {(failure.by, failure.op) for failure in scene.history.failures}
    for submit in scene.history.submits:
        if submit.code and (submit.by, submit.op) not in whole:
            yield submit


def _judged(scene: Scene) -> Iterator[Failure]:
    judged = {job.id for job in scene.judged()}
    return (each for each in scene.history.failures if not each.job or each.job in judged)
