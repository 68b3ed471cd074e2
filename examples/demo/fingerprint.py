"""A fingerprint of many files that can be taken in stages: plain functions, no Penstock."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

__all__ = ["extended", "fingerprint"]


def extended(link: str, path: Path) -> str:
    """Return the fingerprint after one more file: SHA-256 of the one before it and the content.

    Args:
        link: The fingerprint so far, in hex; empty at the start. It is all that a later attempt
            needs to go on, which a running hash object could not be.
        path: The file to add.
    """
    return hashlib.sha256(link.encode() + path.read_bytes()).hexdigest()


def fingerprint(paths: Iterable[Path]) -> str:
    """Return the fingerprint of all files, in their order."""
    link = ""
    for path in paths:
        link = extended(link, path)
    return link
