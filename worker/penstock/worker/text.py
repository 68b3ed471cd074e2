"""Text of any origin, made fit to be stored."""

from __future__ import annotations

__all__ = ["cut"]


def cut(text: str, longest: int) -> str:
    """The text in at most so many bytes of UTF-8; what it cannot hold becomes ``?``."""
    return text.encode("utf-8", "replace")[:longest].decode("utf-8", "ignore")
