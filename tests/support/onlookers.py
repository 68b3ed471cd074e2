"""Whoever looks on while something long runs."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING, Final, Self

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["Onlookers"]

#: Between two lines that differ by their figures alone, where there is no terminal (s).
_TELL_S: Final = 10.0
_FIGURE: Final = re.compile(r"\d[\d.,]*")


class Onlookers:
    """At a terminal they see a line that changes; elsewhere, such as in a pipe, one now and then.

    Args:
        console: that they look at.
        name: of what runs; it begins each line.
    """

    def __init__(self, console: Console, name: str) -> None:
        self._console = console
        self._name = name
        self._status = console.status(name)
        self._told = ""
        self._told_at = time.monotonic()

    def tell(self, text: str) -> None:
        """Tells them. What says something new is told at once, figures that grow now and then."""
        line = f"{self._name}: {text}"
        if self._console.is_terminal:
            self._status.update(line)
            return
        gist, now = _FIGURE.sub("", text), time.monotonic()
        if gist != self._told or now - self._told_at >= _TELL_S:
            self._told, self._told_at = gist, now
            self._console.print(line, markup=False, soft_wrap=True)

    def __enter__(self) -> Self:
        self._status.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._status.stop()
