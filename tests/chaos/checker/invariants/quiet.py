"""I10, I11, and whether there is a history at all: what is looked at once all is quiet."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.chaos.checker.scene import Scene
    from tests.chaos.result import Violation

__all__ = ["data_are_sound", "durability_was_promised", "enough_was_done", "nothing_is_left"]


def data_are_sound(scene: Scene) -> Iterator[Violation]:
    """I10: every key is one of ours, and records and structures agree."""
    for problem in scene.history.stray:
        yield scene.violation("I10", problem.text, problem)


def nothing_is_left(scene: Scene) -> Iterator[Violation]:
    """I11: processes and the server hold no more than they should once there is nothing to do."""
    for problem in scene.history.bounds:
        yield scene.violation("I11", problem.text, problem)


def durability_was_promised(scene: Scene) -> Iterator[Violation]:
    """I1: every acknowledgement names the durability of the run."""
    expected = scene.expectations.durability
    for submit in scene.history.submits:
        if expected and submit.job and submit.durability != expected:
            text = f"a submit was acknowledged at {submit.durability or 'no level'}, not {expected}"
            yield scene.violation("I1", text, submit)
            return


def enough_was_done(scene: Scene) -> Iterator[Violation]:
    """Work: a history in which little happened shows little."""
    for kind, least in scene.expectations.least.items():
        found = scene.count(kind)
        if found < least:
            text = f"the history shows nothing: {found} of kind {kind!r}, at least {least}"
            yield scene.violation("work", text)
