"""How calls may fail: by an outage or a limit, or where they contradict an earlier one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.chaos.checker.scene import PROBER

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.chaos.checker.scene import Scene
    from tests.chaos.history.view import Failure, Submit
    from tests.chaos.result import Violation

__all__ = [
    "calls_fail_as_documented",
    "calls_fail_in_outages",
    "stray_failures",
    "waits_end",
    "what_was_acknowledged_is_found",
]

#: Judged by I3, or as a message, where it may have contradicted another.
_CONFLICT = "ALREADY_EXISTS"
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
        if failure.code not in codes and not conflict and failure.code != "NOT_FOUND":
            yield scene.violation("errors", f"a {failure.rpc} ended {failure.code}", failure)
    for submit in _refused(scene):
        if submit.code not in codes and submit.code != _CONFLICT:
            yield scene.violation("errors", f"a job of a batch was refused: {submit.code}", submit)


def calls_fail_in_outages(scene: Scene) -> Iterator[Violation]:
    """Outages: calls fail by an outage while a fault strikes that brings one, or soon after."""
    strays = stray_failures(scene)
    if len(strays) <= _strays_allowed(scene):
        return
    first = strays[0]
    before = [strike for strike in scene.history.strikes if strike.at <= first.at]
    text = f"{len(strays)} of {scene.history.calls:,} calls failed, and there was no outage"
    yield scene.violation("outages", text, *before[-1:], first)


def waits_end(scene: Scene) -> Iterator[Violation]:
    """Liveness: who waits for a job for long sees it end, unless the server's date went back."""
    patience_s = scene.expectations.patience_s
    if patience_s is None:
        return
    in_vain = [
        failure
        for failure in _judged(scene)
        if failure.code == _WAITED
        and failure.at - failure.began >= patience_s * 1e9
        and not _was_put_off(scene, failure)
    ]
    if len(in_vain) > _strays_allowed(scene):
        text = f"{len(in_vain)} waits were in vain, the first for job {in_vain[0].job}"
        job = scene.history.job(in_vain[0].job)
        yield scene.violation("liveness", text, *job.submits[:1], *job.starts[-1:], in_vain[0])


def _was_put_off(scene: Scene, failure: Failure) -> bool:
    """Whether what the job waited for may have moved away from it."""
    job = scene.history.job(failure.job)
    since = min((submit.began for submit in job.submits), default=failure.began)
    return scene.history.dates.lost_ms(since, failure.at, failure.at) > 0


def _strays_allowed(scene: Scene) -> float:
    return scene.history.calls * scene.expectations.strays / 10_000


def stray_failures(scene: Scene) -> list[Failure | Submit]:
    """The calls and jobs of batches that failed by an outage when there was none, by time."""
    outages, codes = scene.outages, scene.expectations.codes
    if outages is None:
        return []
    failed: list[Failure | Submit] = [*scene.history.failures, *_refused(scene)]
    strays = [
        each
        for each in failed
        if each.code in codes - {_WAITED}
        and each.by != PROBER
        and not outages.excuse(each.began, each.at)
    ]
    return sorted(strays, key=lambda each: each.at)


def _refused(scene: Scene) -> Iterator[Submit]:
    """Jobs of batches that were answered otherwise."""
    whole = {(failure.by, failure.op) for failure in scene.history.failures}
    for submit in scene.history.submits:
        if submit.code and (submit.by, submit.op) not in whole:
            yield submit


def _judged(scene: Scene) -> Iterator[Failure]:
    judged = {job.id for job in scene.judged()}
    return (each for each in scene.history.failures if not each.job or each.job in judged)
