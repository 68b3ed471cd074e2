"""What is shown of jobs: lines in a log, bars on a terminal."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from penstock.cli.board import Board, PlainBoard, board_on
from penstock.cli.board_live import LiveBoard

SETBACK = "attempt 1 failed: OSError: disk full; again in 2.4 s"


def play(board: Board) -> None:
    """One job's life, with a failed attempt, output that does not end with a line, and a log."""
    with board:
        board.add("1", "resize a1b2c3")
        board.state("1", "QUEUED")
        board.state("1", "RUNNING", attempt=1)
        board.chunk("1", "lost with its attempt")
        board.setback("1", "SCHEDULED", SETBACK)
        board.state("1", "RUNNING", attempt=2)
        board.progress("1", 1, 4, "first [of] four")
        board.log("1", "info", "resuming")
        board.chunk("1", "one\ntw")
        board.chunk("1", "o")
        board.say("[bold]a word[/] in between")
        board.done("1", "SUCCEEDED", "in 2.4 s")


def test_lines_tell_each_change_once() -> None:
    stream = io.StringIO()
    play(PlainBoard(Console(file=stream, width=100, highlight=False), every_s=0))
    assert stream.getvalue().splitlines() == [
        "resize a1b2c3: running attempt 1",
        f"resize a1b2c3: scheduled {SETBACK}",
        "resize a1b2c3: running attempt 2",
        "resize a1b2c3: 25 % first [of] four",
        "resize a1b2c3: info resuming",
        "resize a1b2c3: output one",
        "a word in between",
        "resize a1b2c3: output two",
        "resize a1b2c3: succeeded in 2.4 s",
    ]


def test_lines_of_progress_come_at_intervals() -> None:
    stream = io.StringIO()
    board = PlainBoard(Console(file=stream, width=100), every_s=3600)
    board.add("1", "resize")
    for step in range(1000):
        board.progress("1", step, 1000, "")
    assert stream.getvalue() == ""


def test_a_terminal_gets_bars_and_keeps_what_was_said() -> None:
    stream = io.StringIO()
    console = Console(file=stream, force_terminal=True, width=100, height=20, color_system=None)
    board = board_on(console)
    assert isinstance(board, LiveBoard)
    play(board)
    shown = stream.getvalue()
    kept = ("resuming", "one\n", "two\n", "a word in between", "succeeded resize a1b2c3")
    for text in (*kept, f"scheduled resize a1b2c3  {SETBACK}\n"):
        assert text in shown


def test_a_terminal_shows_what_is_under_way() -> None:
    console = Console(file=io.StringIO(), force_terminal=True, width=100, color_system=None)
    with LiveBoard(console) as board:
        board.add("1", "resize a1b2c3")
        board.state("1", "RUNNING", attempt=1)
        board.progress("1", 1, 4, "first [of] four")
        board.chunk("1", "a token at a ti")
        with console.capture() as captured:
            console.print(board.renderable)
    for text in (
        "resize a1b2c3",
        "running attempt 1",
        "25 %",
        "first [of] four",
        "a token at a ti",
    ):
        assert text in captured.get()


def test_a_terminal_shows_the_whole_error_of_a_failed_job_and_the_start_of_a_long_result() -> None:
    stream = io.StringIO()
    console = Console(file=stream, force_terminal=True, width=40, height=20, color_system=None)
    error = "ValueError: " + "a long story, " * 20 + "\nthat goes on, and ends"
    with LiveBoard(console) as board:
        for key, state in (("bad", "FAILED"), ("good", "SUCCEEDED")):
            board.add(key, key)
            board.done(key, state, error)
    failed, succeeded = stream.getvalue().split("succeeded")
    assert "".join(error.split()) in "".join(failed.split())
    assert "…" in succeeded
    assert "and ends" not in succeeded


@pytest.mark.parametrize(("jobs", "height"), [(1, 24), (500, 24), (500, 5)])
def test_bars_fit_the_terminal_however_many_jobs(jobs: int, height: int) -> None:
    console = Console(file=io.StringIO(), force_terminal=True, width=80, height=height)
    with LiveBoard(console) as board:
        for number in range(jobs):
            board.add(str(number), f"job {number}")
            board.state(str(number), "RUNNING")
            board.chunk(str(number), "no end of it " * 50)
        lines = console.render_lines(board.renderable, console.options)
    assert len(lines) <= height


def test_a_log_gets_lines() -> None:
    assert isinstance(board_on(Console(file=io.StringIO())), PlainBoard)
