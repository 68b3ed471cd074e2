"""What ends a run."""

from __future__ import annotations

__all__ = ["StackError"]


class StackError(Exception):
    """A run cannot go on; the message says why, and where to look."""
