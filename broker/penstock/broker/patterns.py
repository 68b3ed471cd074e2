"""Names of topics, and patterns of them: what is sound, what matches, and which is more specific.

A pattern is a topic in which a segment may be ``*``, any one segment, and the last one ``**``, any
one or more.
"""

from __future__ import annotations

import re
from typing import Final

MAX_TOPIC: Final = 128
MAX_SEGMENTS: Final = 16

_SEGMENT = re.compile(r"[A-Za-z0-9_-]+")
_ONE: Final = "*"
_MORE: Final = "**"


def fault_of_topic(topic: str) -> str | None:
    """What keeps a text from being a topic; None if nothing does."""
    fault = _fault_of_whole(topic)
    if fault is None and "*" in topic:
        return "a message has one topic: wildcards are for subscriptions and rules"
    return fault or _fault_of_segments(topic.split("."))


def fault_of_pattern(pattern: str) -> str | None:
    """What keeps a text from being a pattern; None if nothing does."""
    fault = _fault_of_whole(pattern)
    if fault is not None:
        return fault
    *before, last = pattern.split(".")
    if _MORE in before:
        return "** stands for all that follows, so it must be the last segment"
    wildcards = {_ONE, _MORE}
    names = [segment for segment in (*before, last) if segment not in wildcards]
    if any("*" in segment for segment in names):
        return "a wildcard stands for whole segments: it is * or, as the last one, **"
    return _fault_of_segments(names)


def matches(pattern: str, topic: str) -> bool:
    """Whether a topic is one of those that a pattern stands for."""
    wanted, given = pattern.split("."), topic.split(".")
    if wanted[-1] == _MORE:
        wanted.pop()
        if len(given) <= len(wanted):
            return False
        given = given[: len(wanted)]
    return len(wanted) == len(given) and all(
        one in {_ONE, other} for one, other in zip(wanted, given, strict=True)
    )


def specificity(pattern: str) -> tuple[int, ...]:
    """Orders the patterns that match a topic: the most specific comes first, and none are equal.

    Segment by segment from the left, a name comes before ``*``, and that before ``**``. Two that
    are of one kind in each segment, and match the same topic, are the same pattern.
    """
    kinds = {_ONE: 1, _MORE: 2}
    return tuple(kinds.get(segment, 0) for segment in pattern.split("."))


def _fault_of_whole(text: str) -> str | None:
    if not text:
        return "it must not be empty"
    if len(text) > MAX_TOPIC:
        return f"it is longer than {MAX_TOPIC} characters"
    if text.count(".") >= MAX_SEGMENTS:
        return f"it has more than {MAX_SEGMENTS} segments"
    if text[0] in "._-" or text[-1] in "._-":
        return "it must begin and end with a letter or a digit"
    return None


def _fault_of_segments(segments: list[str]) -> str | None:
    if all(map(_SEGMENT.fullmatch, segments)):
        return None
    return "it may hold segments of letters, digits, _ and -, with single dots between them"
