"""Bars that move: one for each job under way; above them a line for each end and each setback."""

from __future__ import annotations

import threading
from collections import deque
from typing import TYPE_CHECKING, Final, Self

from rich.console import Group
from rich.progress import BarColumn, Progress, Task, TaskID, TextColumn, TimeElapsedColumn
from rich.text import Text

from penstock.cli.board import Board, attempt_text
from penstock.cli.states import STYLES

if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import TracebackType

    from rich.console import Console, RenderableType

__all__ = ["LiveBoard"]

_DRAW_EVERY_S: Final = 0.1
_TAIL_LINES: Final = 3
_MESSAGE_WIDTH: Final = 44


class LiveBoard(Board):
    """Bars on a terminal.

    What a job prints is shown below the bars while its line is not complete; complete lines move
    up, above the bars, and stay.

    A thread draws, ten times a second: drawing costs far more than an event does, and what is
    shown must not slow down what is watched.

    Args:
        console: The terminal.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._bars = _Bars(console)
        self._tasks: dict[str, TaskID] = {}
        self._labels: dict[str, str] = {}
        self._lines: deque[Text] = deque()
        self._ended = threading.Event()
        self._drawing = threading.Thread(target=self._keep_drawing, name="board", daemon=True)

    @property
    def renderable(self) -> RenderableType:
        """What is drawn, at this moment."""
        return self._bars.get_renderable()

    def __enter__(self) -> Self:
        self._bars.start()
        self._drawing.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._ended.set()
        self._drawing.join()
        self._draw()
        self._bars.stop()

    def add(self, key: str, label: str) -> None:
        """Add a bar that pulses until something is known."""
        self._labels[key] = label
        self._tasks[key] = self._bars.add_task(
            label, total=None, moving=False, state=Text(), message=""
        )

    def state(self, key: str, state: str, detail: str = "", *, attempt: int = 0) -> None:
        """Show the state; a bar starts anew with each attempt, and so does its output."""
        style = STYLES.get(state, "")
        self._bars.tails.pop(key, None)
        self._bars.update(
            self._tasks[key],
            completed=0,
            total=None,
            moving=state == "RUNNING",
            state=Text(state.lower(), style).append(f" {attempt_text(attempt)}".rstrip(), "dim"),
            message=_shortened(detail),
        )

    def setback(self, key: str, state: str, why: str) -> None:
        """Show it above the bars, whole; then the state."""
        self._add_line(key, state, why)
        self.state(key, state, why)

    def progress(self, key: str, current: float, total: float, message: str) -> None:
        """Move the bar."""
        self._bars.update(
            self._tasks[key], completed=current, total=total or None, message=_shortened(message)
        )

    def chunk(self, key: str, text: str) -> None:
        """Show the text; whole lines move up, marked where there are several jobs."""
        *lines, rest = (self._bars.tails.get(key, "") + text).split("\n")
        self._bars.tails[key] = rest
        for line in lines:
            self._add_output(key, line)

    def log(self, key: str, level: str, message: str) -> None:
        """Show the line above the bars."""
        self._lines.append(Text(f"{level:<9} {self._labels[key]}  {message}", "dim"))

    def done(self, key: str, state: str, detail: str) -> None:
        """Replace the bar by a line, or by as many as it takes to tell why it did not succeed."""
        rest = self._bars.tails.pop(key, "")
        if rest:
            self._add_output(key, rest)
        self._bars.remove_task(self._tasks.pop(key))
        self._add_line(key, state, detail, cut=state == "SUCCEEDED")

    def say(self, text: str) -> None:
        """Show the line above the bars."""
        self._lines.append(Text.from_markup(text))

    def _add_line(self, key: str, state: str, detail: str, *, cut: bool = False) -> None:
        line = Text(no_wrap=cut, overflow="ellipsis" if cut else "fold")
        line.append(f"{state.lower():<9}", STYLES.get(state, ""))
        line.append(f" {self._labels[key]}  ")
        self._lines.append(line.append(" ".join(detail.split()) if cut else detail, "dim"))

    def _add_output(self, key: str, line: str) -> None:
        mark = f"{self._labels[key]}  " if len(self._labels) > 1 else ""
        self._lines.append(Text().append(mark, "dim").append(line))

    def _keep_drawing(self) -> None:
        while not self._ended.wait(_DRAW_EVERY_S):
            self._draw()

    def _draw(self) -> None:
        lines = [self._lines.popleft() for _ in range(len(self._lines))]
        if lines:
            self._console.print(Group(*lines))  # Which draws the bars anew, too.
        else:
            self._bars.live.refresh()


class _Bars(Progress):
    """The bars, and under them the last lines of what is being printed."""

    def __init__(self, console: Console) -> None:
        self.tails: dict[str, str] = {}
        self._terminal = console
        super().__init__(
            TextColumn("{task.description}", markup=False),
            _State(),
            BarColumn(bar_width=24),
            _Share(),
            TimeElapsedColumn(),
            TextColumn("{task.fields[message]}", style="dim", markup=False),
            console=console,
            transient=True,
            auto_refresh=False,
            redirect_stdout=False,
            redirect_stderr=False,
        )

    def refresh(self) -> None:
        """Do nothing: rich calls this for each bar that is added; the board draws by itself."""

    def get_renderables(self) -> Iterable[RenderableType]:
        """Return the table of the bars, as many as there is room for, then the tails."""
        room = max(self._terminal.height - _TAIL_LINES - 2, 1)
        # Those that move come first; the others wait, and look the same.
        tasks = sorted(self.tasks, key=lambda task: not task.fields["moving"])
        yield self.make_tasks_table(tasks[:room])
        if len(tasks) > room:
            yield Text(f"and {len(tasks) - room} more", "dim")
        width = max(self._terminal.width - 2, 20)
        tails = [text for text in list(self.tails.values()) if text][:_TAIL_LINES]
        for text in tails:
            yield Text(text[-width * (_TAIL_LINES // len(tails)) :], style="italic")


class _State(TextColumn):
    """The state of a job, in its colour, and which attempt it is."""

    def __init__(self) -> None:
        super().__init__("")

    def render(self, task: Task) -> Text:
        """Return the text of one bar."""
        state: Text = task.fields["state"]
        return state


class _Share(TextColumn):
    """How far a job is, in per cent; the plain count where the total is unknown."""

    def __init__(self) -> None:
        super().__init__("", justify="right")

    def render(self, task: Task) -> Text:
        """Return the text of one bar."""
        if task.total:
            return Text(f"{task.percentage:>3.0f} %")
        return Text(f"{task.completed:g}" if task.completed else "")


def _shortened(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _MESSAGE_WIDTH else f"{line[: _MESSAGE_WIDTH - 1]}…"
