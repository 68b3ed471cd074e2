"""I4, I5, I6: one outcome, which never changes, of the attempt that was granted last."""

from __future__ import annotations

import json
from itertools import pairwise
from operator import attrgetter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.chaos.checker.scene import Scene
    from tests.chaos.history.entries import Effect, Ending, Start
    from tests.chaos.history.job import JobHistory
    from tests.chaos.history.view import View
    from tests.chaos.result import Violation

__all__ = ["one_outcome", "outcome_of_the_last_grant", "tokens_rise"]


def one_outcome(scene: Scene, job: JobHistory) -> Iterator[Violation]:
    """I4: whoever is shown a job as ended is shown the same end, and nobody anything else later."""
    ends = list(job.terminal_views)
    if not ends:
        return
    first = min(ends, key=lambda view: view.ended)
    for view in ends:
        if difference := _difference(first, view):
            text = f"job {job.id} has two outcomes: {difference}"
            yield scene.violation("I4", text, first, view)
            return
    results = {view.result: view for view in reversed(ends) if view.result is not None}
    if len(results) > 1:
        text = f"job {job.id} has {len(results)} results"
        yield scene.violation("I4", text, *list(results.values())[:2])
        return
    yield from _nothing_after(scene, job, first)


def _difference(first: View, other: View) -> str:
    for name in ("label", "token", "attempt", "crashes", "sequence", "cached_from"):
        one, two = getattr(first, name), getattr(other, name)
        if one != two:
            return f"{name} {one} and {two}"
    return ""


def _nothing_after(scene: Scene, job: JobHistory, first: View) -> Iterator[Violation]:
    for view in job.views:
        if not view.terminal and view.began > first.ended:
            text = f"job {job.id} had ended {first.label}, and was {view.state} afterwards"
            yield scene.violation("I4", text, first, view)
            return
    for submit in job.submits:
        if submit.began > first.ended and submit.state not in ("", first.state):
            text = f"job {job.id} had ended {first.label}, and was {submit.state} afterwards"
            yield scene.violation("I4", text, first, submit)
            return


def outcome_of_the_last_grant(scene: Scene, job: JobHistory) -> Iterator[Violation]:
    """I5: the outcome is that of the attempt with the highest token, which really returned it."""
    end = job.final if job.final is not None and job.final.terminal else None
    end = end or next(job.terminal_views, None)
    if end is None:
        return
    later = next((start for start in job.starts if start.token > end.token), None)
    if later is not None:
        text = f"job {job.id} ended under token {end.token}, and {later.token} was granted"
        yield scene.violation("I5", text, end, later)
    if end.label == "FAILED:QUARANTINED":
        lost = next((start for start in job.starts if start.token == end.token), None)
        if lost is not None:
            text = f"job {job.id} was taken from its worker under the worker's own token"
            yield scene.violation("I5", text, lost, end)
    elif end.state == "SUCCEEDED" and not end.cached_from:
        yield from _result_was_returned(scene, job, end)
    elif end.cached_from:
        yield from _result_is_of_the_other(scene, job, end)


def _result_was_returned(scene: Scene, job: JobHistory, end: View) -> Iterator[Violation]:
    shown = end if end.result is not None else None
    shown = shown or next((view for view in job.terminal_views if view.result is not None), None)
    if shown is None or shown.result is None:
        if end.source == "final":
            yield scene.violation("I5", f"job {job.id} succeeded without a result", end)
        return
    result = json.loads(shown.result)
    token = result.get("token") if isinstance(result, dict) else None
    ending = next((each for each in job.endings if each.token == token), None)
    start = next((each for each in job.starts if each.token == token), None)
    if token != end.token:
        text = f"job {job.id} has the result of token {token}, and ended under token {end.token}"
        yield scene.violation("I5", text, start, ending, shown)
    elif start is None or ending is None or ending.how != "return":
        text = f"job {job.id} has a result of token {token}, which returned none"
        yield scene.violation("I5", text, start, ending, shown)
    elif result.get("work") != _work_of(start):
        text = f"job {job.id} has the result of other work"
        yield scene.violation("I5", text, start, shown)


def _result_is_of_the_other(scene: Scene, job: JobHistory, end: View) -> Iterator[Violation]:
    other = scene.history.jobs.get(end.cached_from)
    origin = other.final if other is not None else None
    if other is None or (origin is not None and origin.state != "SUCCEEDED"):
        text = f"job {job.id} was answered from job {end.cached_from}, which has no result"
        yield scene.violation("I5", text, origin, end)
        return
    if scene.work_of(other) != scene.work_of(job):
        text = f"job {job.id} was answered from job {other.id}, which is other work"
        yield scene.violation("I5", text, *other.submits[:1], *job.submits[:1], end)
        return
    if end.result is None:
        if end.source == "final":
            yield scene.violation("I5", f"job {job.id} succeeded without a result", end)
        return
    shown = next((view for view in other.terminal_views if view.result is not None), None)
    if shown is not None and shown.result != end.result:
        text = f"job {job.id} was answered from job {other.id}, with another result"
        yield scene.violation("I5", text, shown, end)
        return
    yield from _cached_too_long(scene, job, other)


def _cached_too_long(scene: Scene, job: JobHistory, other: JobHistory) -> Iterator[Violation]:
    """A result that was known for longer than a submit accepts is not its answer."""
    known = min(other.terminal_views, key=attrgetter("ended"), default=None)
    asked = next((each for each in job.submits if each.outcome == "CACHED"), None)
    if known is None or asked is None or asked.cache_ms is None:
        return
    age_ms = (asked.began - known.ended) / 1e6
    most_ms = asked.cache_ms + scene.expectations.clock_slack_ms
    # It ended at some moment since it was granted last, and grows old by the server's date.
    granted = max((start.at for start in other.starts if start.at < known.ended), default=0)
    if age_ms > most_ms + scene.history.dates.lost_ms(granted, known.ended, asked.at):
        text = f"job {job.id} was answered by a result that was {age_ms:.0f} ms old"
        yield scene.violation("time", f"{text}; {asked.cache_ms:.0f} are allowed", known, asked)


def _work_of(start: Start) -> object:
    payload = json.loads(start.payload)
    return payload.get("work") if isinstance(payload, dict) else None


def tokens_rise(scene: Scene, job: JobHistory) -> Iterator[Violation]:
    """I6: no two attempts have the same token, and later ones have higher ones.

    An attempt may begin late, after a newer one: its process was held up between the grant and
    the handler. That needs a fault.
    """
    by_token: dict[int, Start] = {}
    highest: Start | None = None
    for start in job.starts:
        if start.token in by_token:
            text = f"token {start.token} of job {job.id} was granted twice"
            yield scene.violation("I6", text, by_token[start.token], start)
            return
        by_token[start.token] = start
        if highest is not None and start.token < highest.token:
            if not _was_struck(scene, job, start):
                text = f"job {job.id} started under token {start.token} after {highest.token}"
                yield scene.violation("I6", text, highest, start)
                return
        else:
            highest = start
    in_order = [by_token[token] for token in sorted(by_token)]
    for before, after in pairwise(in_order):
        if after.attempt < before.attempt:
            text = f"job {job.id} had attempt {before.attempt} before attempt {after.attempt}"
            yield scene.violation("I6", text, before, after)
            return
    yield from _whole_attempts(scene, job, by_token)


def _whole_attempts(scene: Scene, job: JobHistory, starts: dict[int, Start]) -> Iterator[Violation]:
    """What is done under a token is done by the handler that began under it, which ends once."""
    done: list[Effect | Ending] = [*job.effects, *job.endings]
    orphan = next((each for each in done if each.token not in starts), None)
    if orphan is not None:
        text = f"something was done for job {job.id} under token {orphan.token}, which never began"
        yield scene.violation("I6", text, orphan)
    ended: dict[int, Ending] = {}
    for ending in job.endings:
        before = ended.setdefault(ending.token, ending)
        if before is not ending:
            text = f"the attempt of job {job.id} under token {ending.token} ended twice"
            yield scene.violation("I6", text, before, ending)
            return


def _was_struck(scene: Scene, job: JobHistory, late: Start) -> bool:
    since = job.submits[0].began if job.submits else scene.history.began
    return any(
        strike.at <= late.at and (strike.healed is None or strike.healed >= since)
        for strike in scene.history.strikes
    )
