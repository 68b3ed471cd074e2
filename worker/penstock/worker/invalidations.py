"""What a handler says that results count no more, as the broker takes it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from pydantic_core import to_json

from penstock.broker import CacheTarget, Content, caller_key, payload_key
from penstock.worker.codec import RAW

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["targets_of"]

MAX_TARGETS: Final = 1_000
MAX_KEY: Final = 256
MAX_TAG: Final = 128

_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f]")


def targets_of(job_type: str, payload: object, key: str, tags: Iterable[str]) -> list[CacheTarget]:
    """The targets of an `invalidate`; see `Context.invalidate` for the arguments.

    Raises:
        ValueError: nothing is given, too much, or a name that no submit can have.
        TypeError: tags is a string.
    """
    if isinstance(tags, str):
        raise TypeError(f"tags takes strings in a list or the like, not {tags!r}")
    targets = [CacheTarget(tag=_checked("a tag", tag, MAX_TAG)) for tag in tags]
    if job_type:
        targets.append(CacheTarget(job_type, _key_of(payload, key)))
    elif key or payload is not ...:
        raise ValueError("a key or a payload is that of a job type, which must be given, too")
    if not 1 <= len(targets) <= MAX_TARGETS:
        raise ValueError(f"1 to {MAX_TARGETS:,} results or tags are invalidated at once")
    return targets


def _key_of(payload: object, key: str) -> str:
    if payload is ...:
        return caller_key(_checked("a key", key, MAX_KEY)) if key else ""
    if key:
        raise ValueError("a key and a payload both name the work: give one of them")
    if isinstance(payload, bytes | bytearray | memoryview):
        return payload_key(Content(bytes(payload), RAW), is_json=False)
    # As the client writes it, so that both say the same by it.
    return payload_key(Content(to_json(payload, inf_nan_mode="constants")), is_json=True)


def _checked(what: str, name: str, limit: int) -> str:
    if not isinstance(name, str):
        raise TypeError(f"{what} is a string, not {name!r}")
    if not name or len(name) > limit or _CONTROL.search(name):
        raise ValueError(f"{what} has 1 to {limit} characters, and no control characters")
    return name
