"""The alphabet of names, as the contract states it: letters, digits, and . _ - between them."""

from __future__ import annotations

import re
from typing import Final

__all__ = ["check_job_type", "check_queue"]

MAX_QUEUE: Final = 64
MAX_JOB_TYPE: Final = 128
_NAME: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?")


def check_queue(name: str) -> None:
    """Raises ValueError if the name cannot be a queue's."""
    _check("queue", name, MAX_QUEUE)


def check_job_type(name: str) -> None:
    """Raises ValueError if the name cannot be a job type's."""
    _check("job type", name, MAX_JOB_TYPE)


def _check(kind: str, name: str, longest: int) -> None:
    if len(name) > longest or not _NAME.fullmatch(name):
        raise ValueError(
            f"{name[:longest]!r} is no name of a {kind}: it takes 1 to {longest} letters and "
            "digits, with . _ - between them"
        )
