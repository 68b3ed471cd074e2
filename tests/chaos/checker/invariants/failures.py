"""How calls may fail: by an outage or a limit, or where they contradict an earlier one."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.chaos.checker.scene import Scene
    from tests.chaos.history.view import Failure
    from tests.chaos.result import Violation

__all__ = ["calls_fail_as_documented", "what_was_acknowledged_is_found"]

#: Judged by I3, where the submit may have contradicted another.
_CONFLICT = "ALREADY_EXISTS"


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
        conflict = failure.rpc in ("submit", "retry") and failure.code == _CONFLICT
        if failure.code not in codes and not conflict and failure.code != "NOT_FOUND":
            yield scene.violation("errors", f"a {failure.rpc} ended {failure.code}", failure)
    whole = {(failure.by, failure.op) for failure in scene.history.failures}
    for submit in scene.history.submits:
        refused = bool(submit.code) and (submit.by, submit.op) not in whole
        if refused and submit.code not in codes and submit.code != _CONFLICT:
            yield scene.violation("errors", f"a job of a batch was refused: {submit.code}", submit)


def _judged(scene: Scene) -> Iterator[Failure]:
    judged = {job.id for job in scene.judged()}
    return (each for each in scene.history.failures if not each.job or each.job in judged)
