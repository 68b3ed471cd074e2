"""I7: whoever looks at a job sees it as it stands at some moment while they look.

A record changes by events, which are numbered: its last sequence is its version. So a history of
views is linearizable if views under one sequence are equal, and no view is older than what
somebody had seen before it was asked for.
"""

from __future__ import annotations

from itertools import pairwise
from operator import attrgetter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.chaos.checker.scene import Scene
    from tests.chaos.history.job import JobHistory
    from tests.chaos.history.view import Event, Record, View
    from tests.chaos.result import Violation

__all__ = ["cancels_hold", "versions_agree", "views_are_current"]


def versions_agree(scene: Scene, job: JobHistory) -> Iterator[Violation]:
    """I7: a sequence stands for one state, attempt and token; a higher one for no lower token."""
    views = [view for view in job.views if not view.terminal]
    views.sort(key=attrgetter("sequence", "ended"))
    for before, after in pairwise(views):
        if before.sequence == after.sequence:
            for name in ("state", "attempt", "token", "crashes"):
                one, two = getattr(before, name), getattr(after, name)
                if one != two:
                    text = f"sequence {after.sequence} of job {job.id} has {name} {one} and {two}"
                    yield scene.violation("I7", text, before, after)
                    return
        elif after.token < before.token or after.crashes < before.crashes:
            text = f"job {job.id} went back: its token or crashes fell as its sequence rose"
            yield scene.violation("I7", text, before, after)
            return
    yield from _states_are_those_told(scene, job, views)
    yield from _attempts_are_those_started(scene, job, job.views)


def _states_are_those_told(scene: Scene, job: JobHistory, views: list[View]) -> Iterator[Violation]:
    """A view under a sequence has the state that the last event up to it told."""
    told: dict[int, Event] = {}
    for watch in job.watches:
        state: Event | None = None
        for event in watch.events:
            if event.gap:
                state = None
                continue
            if event.state is not None:
                state = event
            if state is not None:
                told[event.last] = state
    for view in views:
        event_told = told.get(view.sequence)
        if event_told is not None and event_told.state != view.state:
            text = f"job {job.id} is shown {view.state}; its events say {event_told.state}"
            yield scene.violation("I7", text, event_told, view)
            return


def _attempts_are_those_started(
    scene: Scene, job: JobHistory, views: list[View]
) -> Iterator[Violation]:
    starts = {start.token: start for start in job.starts}
    for view in views:
        start = starts.get(view.token)
        if start is None:
            continue
        # An attempt that was handed back does not count: the job waits then, or ends waiting.
        handed_back = not (view.terminal or view.state == "RUNNING") or (
            view.state in {"CANCELLED", "EXPIRED"} and view.attempt == start.attempt - 1
        )
        if start.attempt != view.attempt and not handed_back:
            text = f"token {view.token} of job {job.id} has two attempts"
            yield scene.violation("I7", text, start, view)
            return


def views_are_current(scene: Scene, job: JobHistory) -> Iterator[Violation]:
    """I7: no view is older than what was known before it was asked for."""
    known: list[tuple[int, int, int, Record]] = [
        (view.ended, view.sequence, view.token, view) for view in job.views if not view.terminal
    ]
    known += [(start.at, 0, start.token, start) for start in job.starts]
    for watch in job.watches:
        known += [(each.at, each.last, 0, each) for each in watch.events if not each.terminal]
    known.sort(key=lambda each: each[0])
    newest = newest_token = 0
    seen: Record | None = None
    seen_token: Record | None = None
    position = 0
    for view in sorted(job.views, key=attrgetter("began")):
        while position < len(known) and known[position][0] < view.began:
            _, sequence, token, record = known[position]
            if sequence > newest:
                newest, seen = sequence, record
            if token > newest_token:
                newest_token, seen_token = token, record
            position += 1
        if view.sequence < newest:
            text = f"job {job.id} is shown as of sequence {view.sequence}, after {newest} was seen"
            yield scene.violation("I7", text, seen, view)
            return
        if view.token < newest_token and not view.terminal:  # An outcome is judged by I5.
            text = f"job {job.id} is shown with token {view.token}, after {newest_token} was seen"
            yield scene.violation("I7", text, seen_token, view)
            return


def cancels_hold(scene: Scene, job: JobHistory) -> Iterator[Violation]:
    """I7: a cancel ends a waiting job; a running one is never granted again, nor fails."""
    for view in job.views:
        if view.source != "cancel" or view.terminal:
            continue
        if view.state != "RUNNING" or not view.cancel:
            text = f"job {job.id} was cancelled, and is {view.state} without a request to stop"
            yield scene.violation("I7", text, view)
            return
        again = next((start for start in job.starts if start.token > view.token), None)
        if again is not None:
            text = f"job {job.id} was granted again although it was to stop"
            yield scene.violation("I7", text, view, again)
            return
        if job.final is not None and job.final.state == "FAILED":
            text = f"job {job.id} was to stop, and ended {job.final.label}"
            yield scene.violation("I7", text, view, job.final)
            return
