"""How a submit uses the result cache."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from penstock.client.spans import Span


@dataclass(frozen=True, slots=True)
class CachePolicy:
    """Lets a submit be answered by an earlier, equal one: of the same queue, type and key.

    While that job is under way, it is the answer (JOINED); for ttl after it succeeded, the answer
    is a job that is SUCCEEDED from the start, with a copy of the result (CACHED). Else a job runs.

    Attributes:
        ttl: how long a result stands for equal submits; from 1 s to 366 days.
        key: names the work within its type, up to 256 characters. '' is its payload: of JSON, the
            order of keys and the space between tokens make no difference.
        tags: by which results are invalidated; up to 16, of up to 128 characters. Give equal
            submits equal tags.
        skip_cache: look nothing up, run, and replace what is cached.
        do_not_cache: take what is there, but do not keep the result for others.
    """

    ttl: Span
    key: str = ""
    tags: Iterable[str] = ()
    skip_cache: bool = False
    do_not_cache: bool = False

    def __post_init__(self) -> None:
        """Takes any iterable of tags, and lets it be read more than once."""
        object.__setattr__(self, "tags", tags_of(self.tags))


def tags_of(tags: Iterable[str]) -> tuple[str, ...]:
    """Tags as they were given. Raises TypeError for what would not be taken for what is meant."""
    found = () if isinstance(tags, str) else tuple(tags)
    if isinstance(tags, str) or not all(isinstance(tag, str) for tag in found):
        raise TypeError(f"tags takes strings in a list or the like, not {tags!r}")
    return found
