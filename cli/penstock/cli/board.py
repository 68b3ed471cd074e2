"""How running jobs are shown: bars where there is a terminal, lines where there is none."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Final, Self

from penstock.cli.states import STYLES

if TYPE_CHECKING:
    from types import TracebackType

    from rich.console import Console

__all__ = ["Board", "PlainBoard", "attempt_text", "board_on"]

_EVERY_S: Final = 2.0


class Board(ABC):
    """A place where jobs are shown, by keys of the caller's choice. A context manager.

    Attributes:
        line_open: Somebody else's line stands incomplete where this board prints, and is ended
            before the next line of its own.
    """

    line_open = False

    @abstractmethod
    def add(self, key: str, label: str) -> None:
        """Show a job from now on, under this label."""

    @abstractmethod
    def state(self, key: str, state: str, detail: str = "", *, attempt: int = 0) -> None:
        """Show the state it is in now; ``detail`` is why. An attempt of 0 is not shown."""

    def setback(self, key: str, state: str, why: str) -> None:
        """Show that an attempt came to nothing, which stays to be read, and the state since."""
        self.state(key, state, why)

    @abstractmethod
    def progress(self, key: str, current: float, total: float, message: str) -> None:
        """Show how far it is; a total of 0 is unknown."""

    @abstractmethod
    def chunk(self, key: str, text: str) -> None:
        """Show a part of its output."""

    @abstractmethod
    def log(self, key: str, level: str, message: str) -> None:
        """Show a line of its log."""

    @abstractmethod
    def done(self, key: str, state: str, detail: str) -> None:
        """Show its end; it is not changed after that."""

    @abstractmethod
    def say(self, text: str) -> None:
        """Show a line of the caller's own, in rich's markup."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """End the display; what it showed stays."""
        return  # Where lines are printed, there is nothing to end.


class PlainBoard(Board):
    """Lines: one for each change of state, and at intervals how far a job is.

    Args:
        console: Where to.
        every_s: The least time between two lines of progress of a job, in seconds.
    """

    def __init__(self, console: Console, *, every_s: float = _EVERY_S) -> None:
        self._console = console
        self._every_s = every_s
        self._labels: dict[str, str] = {}
        self._told: dict[str, float] = {}
        self._output: dict[str, str] = {}

    def add(self, key: str, label: str) -> None:
        """Note the label; nothing is shown yet."""
        self._labels[key] = label
        self._told[key] = time.monotonic()

    def state(self, key: str, state: str, detail: str = "", *, attempt: int = 0) -> None:
        """Show a line; output of an attempt that ended is dropped, as a later one begins anew."""
        self._output.pop(key, None)
        self._told[key] = time.monotonic()
        if detail or state != "QUEUED":  # Which every job is at first.
            self._line(key, state.lower(), " ".join(filter(None, (attempt_text(attempt), detail))))

    def progress(self, key: str, current: float, total: float, message: str) -> None:
        """Show a line, unless there was one just now."""
        now = time.monotonic()
        if now - self._told[key] >= self._every_s:
            self._told[key] = now
            far = f"{100 * current / total:.0f} %" if total else f"{current:g}"
            self._line(key, far, message)

    def chunk(self, key: str, text: str) -> None:
        """Show whole lines; the rest waits for its end."""
        *lines, rest = (self._output.get(key, "") + text).split("\n")
        self._output[key] = rest
        for line in lines:
            self._line(key, "output", line)

    def log(self, key: str, level: str, message: str) -> None:
        """Show the line."""
        self._line(key, level, message)

    def done(self, key: str, state: str, detail: str) -> None:
        """Show what is left of its output, then its end."""
        rest = self._output.pop(key, "")
        if rest:
            self._line(key, "output", rest)
        self._line(key, state.lower(), detail, style=STYLES.get(state, ""))

    def say(self, text: str) -> None:
        """Show the line."""
        self._begin_line()
        self._console.print(text, soft_wrap=True)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._begin_line()

    def _line(self, key: str, what: str, detail: str, style: str = "") -> None:
        from rich.text import Text

        self._begin_line()
        line = Text(f"{self._labels[key]}: ").append(what, style)
        self._console.print(line.append(f" {detail}" if detail else ""), soft_wrap=True)

    def _begin_line(self) -> None:
        if self.line_open:
            self._console.print()
            self.line_open = False


def attempt_text(attempt: int) -> str:
    """Return which attempt it is; nothing for 0."""
    return f"attempt {attempt}" if attempt else ""


def board_on(console: Console) -> Board:
    """Return the board that suits a console."""
    if console.is_terminal and not console.is_dumb_terminal:
        from penstock.cli.board_live import LiveBoard

        return LiveBoard(console)
    return PlainBoard(console)
