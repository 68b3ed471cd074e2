"""The alphabets of names and patterns, as the contract states them."""

from __future__ import annotations

import re
from typing import Final

from penstock.broker.patterns import fault_of_pattern

__all__ = ["check_job_type", "check_pattern", "check_queue"]

MAX_QUEUE: Final = 64
MAX_JOB_TYPE: Final = 128
_NAME: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?")


def check_queue(name: str) -> None:
    """Raises ValueError if the name cannot be a queue's."""
    _check("queue", name, MAX_QUEUE)


def check_job_type(name: str) -> None:
    """Raises ValueError if the name cannot be a job type's."""
    _check("job type", name, MAX_JOB_TYPE)


def check_pattern(pattern: str) -> None:
    """Raises ValueError if it cannot be a pattern of topics."""
    fault = fault_of_pattern(pattern)
    if fault:
        raise ValueError(f"{pattern[:MAX_JOB_TYPE]!r} is no pattern of topics: {fault}")


def _check(kind: str, name: str, longest: int) -> None:
    if len(name) > longest or not _NAME.fullmatch(name):
        raise ValueError(
            f"{name[:longest]!r} is no name of a {kind}: it takes 1 to {longest} letters and "
            "digits, with . _ - between them"
        )
