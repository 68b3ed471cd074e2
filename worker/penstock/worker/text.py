"""Text of any origin, made fit to be stored."""

from __future__ import annotations

__all__ = ["cut", "describe"]


def cut(text: str, longest: int) -> str:
    """The text in at most so many bytes of UTF-8; what it cannot hold becomes ``?``."""
    return text.encode("utf-8", "replace")[:longest].decode("utf-8", "ignore")


def describe(said: object) -> str:
    """What str() makes of an error or a reason, or a phrase where its own ``__str__`` fails."""
    try:
        return str(said)
    except BaseException:  # noqa: BLE001 - code of a handler's own, which may raise anything.
        return f"(the text of this {type(said).__name__} cannot be had: its __str__ fails)"
