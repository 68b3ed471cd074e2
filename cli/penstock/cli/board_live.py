"""Bars that move: one for each job under way; a line above them for each that has ended."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Self

from rich.progress import BarColumn, Progress, Task, TaskID, TextColumn, TimeElapsedColumn
from rich.text import Text

from penstock.cli.board import Board
from penstock.cli.states import STYLES

if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import TracebackType

    from rich.console import Console, RenderableType

__all__ = ["LiveBoard"]

_TAIL_LINES: Final = 3
_MESSAGE_WIDTH: Final = 44


class LiveBoard(Board):
    """Bars on a terminal.

    What a job prints is shown below the bars while its line is not complete; complete lines move
    up, above the bars, and stay.

    Args:
        console: The terminal.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._bars = _Bars(console)
        self._tasks: dict[str, TaskID] = {}
        self._labels: dict[str, str] = {}

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._bars.stop()

    def add(self, key: str, label: str) -> None:
        """Add a bar that pulses until something is known."""
        self._labels[key] = label
        self._tasks[key] = self._bars.add_task(label, total=None, state="", message="")

    def state(self, key: str, state: str, detail: str = "") -> None:
        """Show the state; a bar starts anew with each attempt, and so does its output."""
        style = STYLES.get(state, "")
        self._bars.tails.pop(key, None)
        self._bars.update(
            self._tasks[key],
            completed=0,
            total=None,
            state=f"[{style}]{state.lower()}[/]" if style else state.lower(),
            message=_shortened(detail),
        )

    def progress(self, key: str, current: float, total: float, message: str) -> None:
        """Move the bar."""
        self._bars.update(
            self._tasks[key], completed=current, total=total or None, message=_shortened(message)
        )

    def chunk(self, key: str, text: str) -> None:
        """Show the text; whole lines move up."""
        *lines, rest = (self._bars.tails.get(key, "") + text).split("\n")
        self._bars.tails[key] = rest
        for line in lines:
            self._console.print(Text(line))

    def log(self, key: str, level: str, message: str) -> None:
        """Show the line above the bars."""
        self._console.print(Text(f"{level:<9} {self._labels[key]}  {message}", "dim"))

    def done(self, key: str, state: str, detail: str) -> None:
        """Replace the bar by a line."""
        rest = self._bars.tails.pop(key, "")
        if rest:
            self._console.print(Text(rest))
        self._bars.remove_task(self._tasks.pop(key))
        line = Text("").append(f"{state.lower():<9}", STYLES.get(state, ""))
        self._console.print(line.append(f" {self._labels[key]}  ").append(detail, "dim"))

    def say(self, text: str) -> None:
        """Show the line above the bars."""
        self._console.print(text)


class _Bars(Progress):
    """The bars, and under them the last lines of what is being printed."""

    def __init__(self, console: Console) -> None:
        self.tails: dict[str, str] = {}
        super().__init__(
            TextColumn("{task.description}", markup=False),
            TextColumn("{task.fields[state]}"),
            BarColumn(bar_width=24),
            _Share(),
            TimeElapsedColumn(),
            TextColumn("{task.fields[message]}", style="dim", markup=False),
            console=console,
            transient=True,
        )

    def get_renderables(self) -> Iterable[RenderableType]:
        """Return the table of the bars, then the tails."""
        yield from super().get_renderables()
        width = max(self.console.width - 2, 20)
        for text in list(self.tails.values()):
            if text:
                yield Text(text[-_TAIL_LINES * width :], style="italic")


class _Share(TextColumn):
    """How far a job is, in per cent; the plain count where the total is unknown."""

    def __init__(self) -> None:
        super().__init__("", justify="right")

    def render(self, task: Task) -> Text:
        if task.total:
            return Text(f"{task.percentage:>3.0f} %")
        return Text(f"{task.completed:g}" if task.completed else "")


def _shortened(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _MESSAGE_WIDTH else f"{line[: _MESSAGE_WIDTH - 1]}…"
