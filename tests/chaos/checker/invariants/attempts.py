"""I9, checkpoints and times: what is counted, what is carried on, and when."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.chaos.checker.scene import Scene
    from tests.chaos.history.entries import Effect
    from tests.chaos.history.job import JobHistory
    from tests.chaos.history.view import Record, Submit, View
    from tests.chaos.result import Violation

__all__ = ["attempts_are_bounded", "checkpoints_are_kept", "times_are_kept"]

#: Ways in which a handler ends that are always counted as an attempt.
_COUNTED = frozenset({"return", "raise", "retry", "cancel"})
#: Ends of a job that crashed as often as is allowed.
_OF_POISON = frozenset({"FAILED:QUARANTINED", "CANCELLED", "EXPIRED"})


def attempts_are_bounded(scene: Scene, job: JobHistory) -> Iterator[Violation]:
    """I9: failures and crashes are counted, apart, and both have their limits."""
    most = scene.expectations.max_crashes
    plans = scene.plans_of(job)
    allowed = [plan.max_attempts or scene.expectations.max_attempts for plan in plans]
    for view in job.views:
        if allowed and view.attempt - view.crashes > max(allowed):
            text = f"job {job.id} had {view.attempt - view.crashes} attempts besides crashes"
            yield scene.violation("I9", f"{text}; {max(allowed)} are allowed", plans[0], view)
            return
        if view.crashes > most or (view.crashes == most and view.label not in _OF_POISON):
            text = f"job {job.id} crashed {view.crashes} times, and went on"
            yield scene.violation("I9", f"{text}; it is quarantined after {most}", view)
            return
    if job.final is not None and job.final.terminal:
        yield from _counts_at_the_end(scene, job, job.final, min(allowed, default=0))
        if job.starts and all(each.type in scene.expectations.coroutines for each in job.starts):
            yield from _counts_of_coroutines(scene, job, job.final)


def _counts_at_the_end(
    scene: Scene, job: JobHistory, final: View, allowed: int
) -> Iterator[Violation]:
    counted = {ending.token for ending in job.endings if ending.how in _COUNTED}
    if final.attempt < len(counted):
        text = f"job {job.id} ended {len(counted)} attempts, and {final.attempt} are counted"
        endings = [ending for ending in job.endings if ending.token in counted]
        yield scene.violation("I9", text, *endings, final)
    elif final.label == "FAILED:EXHAUSTED" and final.attempt - final.crashes < allowed:
        text = f"job {job.id} was given up after {final.attempt - final.crashes} failures"
        yield scene.violation("I9", f"{text}; {allowed} are allowed", *job.starts, final)
    elif final.label == "FAILED:QUARANTINED" and final.crashes < scene.expectations.max_crashes:
        text = f"job {job.id} ended {final.label} after {final.crashes} crashes"
        yield scene.violation("I9", text, final)


def _counts_of_coroutines(scene: Scene, job: JobHistory, final: View) -> Iterator[Violation]:
    """What is counted is what happened, where it is known of every attempt how it ended."""
    killed = scene.history.killed
    ended = {ending.token for ending in job.endings}
    crashed = [
        start
        for start in job.starts
        if start.token not in ended and killed.get(start.by, 0) > start.at
    ]
    if final.crashes < len(crashed):
        text = f"workers of job {job.id} were killed {len(crashed)} times"
        yield scene.violation("I9", f"{text}; {final.crashes} are counted", *crashed, final)
    whole = [ending for ending in job.endings if not ending.handed_back]
    returned = final.state == "SUCCEEDED" and final.token in ended
    if returned and final.attempt - final.crashes > len(whole):
        text = f"{final.attempt - final.crashes} attempts of job {job.id} are counted as whole"
        told: list[Record] = [*job.starts, *job.endings, final]
        yield scene.violation("I9", f"{text}; {len(whole)} were", *told)


def checkpoints_are_kept(scene: Scene, job: JobHistory) -> Iterator[Violation]:
    """Checkpoints: an attempt finds what was saved last before it was granted."""
    known = [each for each in job.effects if each.what in ("checkpoint", "saved")]
    for found in job.effects:
        if found.what != "resumed":
            continue
        earlier = [each for each in known if each.token < found.token]
        newest = max((each for each in earlier if each.what == "saved"), key=_version, default=None)
        if found.value is None:
            if newest is not None:
                text = f"job {job.id} found no checkpoint, and one was saved"
                yield scene.violation("checkpoint", text, newest, found)
                return
            continue
        source = next((each for each in earlier if each.value == found.value), None)
        if source is None:
            text = f"job {job.id} resumed what no earlier attempt saved"
            yield scene.violation("checkpoint", text, found)
            return
        if newest is not None and _version(source) < _version(newest):
            text = f"job {job.id} resumed an old checkpoint"
            yield scene.violation("checkpoint", text, newest, found)
            return


def _version(saved: Effect) -> tuple[int, int]:
    return saved.token, saved.value["step"]


def times_are_kept(scene: Scene, job: JobHistory) -> Iterator[Violation]:
    """Times: by the server's date, no job starts before it is due, nor expires early."""
    makers = scene.makers_of(job)
    if makers and job.starts:
        early_ms = min(
            _early_ms(scene, maker, maker.delay_ms, job.starts[0].at) for maker in makers
        )
        if early_ms > 0:
            text = f"job {job.id} started {early_ms:.0f} ms before it was due"
            yield scene.violation("time", text, makers[0], job.starts[0])
    expired = next((view for view in job.terminal_views if view.state == "EXPIRED"), None)
    deadlines = [(maker, maker.deadline_ms) for maker in makers if maker.deadline_ms is not None]
    if expired is None or not deadlines or _may_have_failed(job):
        return
    early_ms = min(_early_ms(scene, maker, ms, expired.ended) for maker, ms in deadlines)
    if early_ms > 0:
        text = f"job {job.id} expired {early_ms:.0f} ms early"
        yield scene.violation("time", text, deadlines[0][0], expired)


def _early_ms(scene: Scene, maker: Submit, wait_ms: float, at: int) -> float:
    """How much too early it is for what was to happen so long after a submit; 0 if it may be."""
    early_ms = wait_ms - (at - maker.began) / 1e6 - scene.expectations.clock_slack_ms
    if early_ms <= 0:
        return 0.0
    # Reckoned from the date at which it was stored; without an answer that may have been late.
    stored_by = maker.done if maker.job and maker.done is not None else at
    return max(0.0, early_ms - scene.history.dates.gained_ms(maker.began, stored_by, at))


def _may_have_failed(job: JobHistory) -> bool:
    """Whether an attempt may have failed: a retry that would come too late is not waited for."""
    stopped = {ending.token for ending in job.endings if ending.how == "stopped"}
    return any(start.token not in stopped for start in job.starts)
