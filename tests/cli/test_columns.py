"""Tables on narrow terminals, and in pipes: what matters stays whole."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import pytest
from rich.console import Console
from rich.text import Text

from penstock.cli.columns import Column, fitted

if TYPE_CHECKING:
    from tests.cli.conftest import Command

ID = "j" * 36
JOBS = (
    Column("job"),
    Column("type", wanted=16),
    Column("state"),
    Column("try", 1, "right"),
    Column("created", 2),
    Column("", wanted=24),
)
WHY = "exhausted: ValueError: no such file, and then a lot more that nobody reads " * 3
ROWS = [[Text(cell) for cell in (ID, "image.resize", "failed", "3", "1m05s ago", WHY)]]


def lines(width: int) -> list[str]:
    """The table as it is drawn on a terminal of so many characters."""
    console = Console(file=io.StringIO(), width=width, highlight=False)
    with console.capture() as drawn:
        console.print(fitted(JOBS, ROWS, width))
    return drawn.get().splitlines()


@pytest.mark.parametrize("width", [80, 100, 120, 500])
def test_the_kept_columns_are_whole_and_the_last_one_is_there(width: int) -> None:
    head, row = lines(width)
    assert max(map(len, (head, row))) <= width
    for text in (ID, "image.resize", "failed", "exhausted:"):
        assert text in row
    assert ("created" in head) == (width >= 100)


def test_on_the_narrowest_terminal_the_id_can_still_be_copied() -> None:
    assert lines(50)[1].startswith(ID)


def test_an_empty_column_takes_no_room() -> None:
    ended = [[*ROWS[0][:-1], Text("")]]
    console = Console(file=io.StringIO(), width=80)
    with console.capture() as drawn:
        console.print(fitted(JOBS, ended, 80))
    assert "created" in drawn.get()


def test_a_pipe_gets_no_padding(run: Command) -> None:
    run("submit", "echo", "-q", "cli-narrow", "--delay", "1h")
    for command in (["queues"], ["list", "-q", "cli-narrow"], ["queues", "stats", "cli-narrow"]):
        assert all(line == line.rstrip() for line in run(*command).out.splitlines())
