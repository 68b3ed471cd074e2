"""I8: a watch tells every event of its job once, in order, and the end last."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tests.chaos.history.view import ARROWS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.chaos.checker.scene import Scene
    from tests.chaos.history.entries import Effect, Start
    from tests.chaos.history.job import JobHistory
    from tests.chaos.history.view import Event, Watch
    from tests.chaos.result import Violation

__all__ = ["chunks_are_the_handlers", "watches_agree", "watches_tell_all"]

_BEGINNINGS: Final = frozenset({"SCHEDULED", "QUEUED", "SUCCEEDED"})  # The last from the cache.


def watches_tell_all(scene: Scene, job: JobHistory) -> Iterator[Violation]:
    """I8: ranges tile without a gap, states follow arrows, the end is told once, and last."""
    for watch in job.watches:
        violation = (
            _needless_gap(scene, job, watch)
            or _untiled(scene, job, watch)
            or _no_arrow(scene, job, watch)
            or _wrong_end(scene, job, watch)
        )
        if violation is not None:
            yield violation
            return


def _needless_gap(scene: Scene, job: JobHistory, watch: Watch) -> Violation | None:
    """A gap where there never were so many events that the oldest had to go."""
    most = job.final.sequence if job.final is not None else None
    gap = next((event for event in watch.events if event.gap), None)
    if gap is None or most is None or most > scene.expectations.log_events:
        return None
    text = f"a watch of job {job.id} was told of a gap, and there are {most} events in all"
    return scene.violation("I8", text, gap, job.final)


def _untiled(scene: Scene, job: JobHistory, watch: Watch) -> Violation | None:
    before: Watch | Event = watch
    last = watch.after
    for event in watch.events:
        if event.first != last + 1 or event.last < event.first:
            text = f"a watch of job {job.id} went from {last} to {event.first}..{event.last}"
            return scene.violation("I8", text, before, event)
        merged = event.last > event.first and not event.gap
        if merged and (event.state is not None or event.chunk is not None):
            text = f"a watch of job {job.id} merged away a state or a chunk"
            return scene.violation("I8", text, event)
        before, last = event, event.last
    return None


def _no_arrow(scene: Scene, job: JobHistory, watch: Watch) -> Violation | None:
    before: Event | None = None
    for event in watch.events:
        if event.gap:
            before = None
        if event.state is None:
            continue
        if before is None:
            if event.first == 1 and event.state not in _BEGINNINGS:
                text = f"job {job.id} began as {event.state}"
                return scene.violation("I8", text, event)
        elif (before.state, event.state) not in ARROWS:
            text = f"a watch saw job {job.id} go from {before.state} to {event.state}"
            return scene.violation("I8", text, before, event)
        before = event
    return None


def _wrong_end(scene: Scene, job: JobHistory, watch: Watch) -> Violation | None:
    ends = [event for event in watch.events if event.terminal]
    if ends and watch.events[-1] is not ends[0]:
        text = f"a watch of job {job.id} went on after its end"
        after = watch.events[watch.events.index(ends[0]) + 1]
        return scene.violation("I8", text, ends[0], after)
    if watch.done is not None and not ends and not watch.told_ended:
        text = f"a watch of job {job.id} ended without its terminal event"
        return scene.violation("I8", text, watch, *watch.events[-1:])
    final = job.final
    if final is None or not watch.events:
        return None
    last = watch.events[-1]
    if ends and (last.state, last.last) != (final.state, final.sequence):
        text = f"a watch saw job {job.id} end {last.state} at sequence {last.last}"
        return scene.violation("I8", text, last, final)
    if last.last > final.sequence:
        text = f"a watch of job {job.id} told more events than there are"
        return scene.violation("I8", text, last, final)
    return None


def watches_agree(scene: Scene, job: JobHistory) -> Iterator[Violation]:
    """I8: a sequence is one event, whoever is told of it."""
    told: dict[int, Event] = {}
    for watch in job.watches:
        for event in watch.events:
            if event.gap or event.first != event.last:
                continue
            before = told.setdefault(event.last, event)
            if (before.state, before.chunk, before.attempt) != (
                event.state,
                event.chunk,
                event.attempt,
            ):
                text = f"event {event.last} of job {job.id} was told in two ways"
                yield scene.violation("I8", text, before, event)
                return


def chunks_are_the_handlers(scene: Scene, job: JobHistory) -> Iterator[Violation]:
    """I8: a watch tells the chunks of each attempt in order, and of the one that succeeded all."""
    emitted: dict[str, Effect] = {
        effect.value: effect for effect in job.effects if effect.what == "chunk"
    }
    starts = {start.token: start for start in job.starts}
    for watch in job.watches:
        if any(event.chunk is not None for event in watch.events):
            violation = _wrong_chunk(scene, job, watch, emitted, starts)
            if violation is not None:
                yield violation
                return
        violation = _chunk_missing(scene, job, watch)
        if violation is not None:
            yield violation
            return


def _wrong_chunk(
    scene: Scene,
    job: JobHistory,
    watch: Watch,
    emitted: dict[str, Effect],
    starts: dict[int, Start],
) -> Violation | None:
    """The first chunk that was not to be told where it is."""
    token, number, gap = 0, 0, watch.after > 0
    state: Event | None = None
    for event in watch.events:
        gap = gap or event.gap
        if event.state is not None:
            state = event
        if event.chunk is None:
            continue
        effect = emitted.get(event.chunk)
        if effect is None:
            text = f"a watch of job {job.id} told a chunk that no handler emitted"
            return scene.violation("I8", text, event)
        before = token, number
        expected = number + 1 if effect.token == token else 1
        token, number = effect.token, _number_of(event.chunk)
        if (token, number) <= before or (number > expected and not gap):
            text = f"a watch of job {job.id} told chunk {number} of token {token} after {before[1]}"
            return scene.violation("I8", f"{text} of token {before[0]}", effect, event)
        gap = False
        start = starts.get(token)
        overtaken = state is not None and (
            state.state != "RUNNING" or (start is not None and start.attempt != state.attempt)
        )
        if overtaken or (start is not None and start.attempt != event.attempt):
            text = f"a chunk of job {job.id} was accepted of an attempt that was over"
            return scene.violation("I8", text, state, effect, event)
    return None


def _chunk_missing(scene: Scene, job: JobHistory, watch: Watch) -> Violation | None:
    """A chunk of the attempt that succeeded, that a whole watch did not tell."""
    last = watch.events[-1] if watch.events else None
    final = job.final
    if last is None or last.state != "SUCCEEDED" or final is None or watch.after > 0:
        return None
    if any(event.gap for event in watch.events):
        return None
    seen = {event.chunk for event in watch.events}
    for effect in job.effects:
        if effect.what == "chunk" and effect.token == final.token and effect.value not in seen:
            text = f"a watch of job {job.id} did not tell a chunk of the attempt that succeeded"
            return scene.violation("I8", text, effect, last)
    return None


def _number_of(chunk: str) -> int:
    return int(chunk.split(maxsplit=1)[0].partition("/")[2])
