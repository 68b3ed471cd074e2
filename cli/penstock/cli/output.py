"""Where output goes: results to stdout, what is only for people to stderr.

With ``--json`` every result is one JSON object on a line of its own, with the same keys each time
(null for what does not apply), and nothing but errors is written to stderr, as JSON too.
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Final, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from rich.console import Console
    from rich.table import Table

    from penstock.cli.faults import Fault
    from penstock.client import Status

__all__ = [
    "emit",
    "emit_text",
    "fault_json",
    "for_people",
    "json_wanted",
    "report",
    "show_found",
    "show_table",
    "want_json",
]

_PIPE_WIDTH: Final = 500

_T = TypeVar("_T")


class _Mode:
    """What the command line asked for: one per process, as are its stdout and stderr."""

    json = False


_MODE: Final = _Mode()


def want_json(wanted: bool) -> bool:  # noqa: FBT001 - typer calls it with the flag.
    """Note that ``--json`` was given (or not), and return the flag."""
    _MODE.json = _MODE.json or wanted
    return wanted


def json_wanted() -> bool:
    """Return whether ``--json`` was given."""
    return _MODE.json


def emit(result: Mapping[str, Any]) -> None:
    """Write one result to stdout, as a line of JSON."""
    emit_text(_line(result))


def emit_text(text: str) -> None:
    """Write one line to stdout as it is: for what the shell will take up, such as a job id."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def _for_results() -> Console:
    """Return a console on stdout, for tables that were asked for."""
    from rich.console import Console

    console = Console(highlight=False)
    if not console.is_terminal:  # Whoever reads a pipe wants whole lines, however long.
        console.width = _PIPE_WIDTH
    return console


def show_table(draw: Callable[[int], Table]) -> None:
    """Write a table to stdout.

    Args:
        draw: Returns it, given how many characters a line may have.
    """
    console = _for_results()
    if console.is_terminal:
        console.print(draw(console.width))
        return
    with console.capture() as drawn:
        console.print(draw(console.width))
    for line in drawn.get().splitlines():  # Which are padded to the longest of them.
        sys.stdout.write(f"{line.rstrip()}\n")
    sys.stdout.flush()


def show_found(
    found: Sequence[_T],
    as_json: Callable[[_T], Mapping[str, Any]],
    draw: Callable[[int], Table],
    nothing: str,
) -> None:
    """Write what was found to stdout: a line of JSON for each, if that is wanted, or a table.

    Args:
        found: To be written.
        as_json: Returns one of them as ``--json`` has it.
        draw: Returns the table, as for `show_table`.
        nothing: What people are told where nothing was found.
    """
    if _MODE.json:
        for each in found:
            emit(as_json(each))
    elif found:
        show_table(draw)
    else:
        emit_text(nothing)


def for_people() -> Console:
    """Return a console on stderr, for progress, hints and errors."""
    from rich.console import Console

    return Console(stderr=True, highlight=False)


def report(fault: Fault) -> None:
    """Write an error to stderr: a line, and a line per hint; or one line of JSON."""
    if _MODE.json:
        sys.stderr.write(f"{_line({'error': fault_json(fault)})}\n")
        return
    console = for_people()
    console.print("[bold red]error[/]:", _escaped(fault.message), soft_wrap=True)
    for hint in fault.hints:
        console.print("  " + _escaped(hint), soft_wrap=True)


def fault_json(fault: Fault) -> dict[str, Any]:
    """Return an error as ``--json`` has it."""
    return {
        "code": int(fault.code),
        "details": None if fault.status is None else _status_json(fault.status),
        "hints": list(fault.hints),
        "kind": fault.kind,
        "message": fault.message,
    }


def _status_json(status: Status) -> dict[str, Any]:
    """Return what a gateway said of a refusal, for programs: its google.rpc details."""
    resource_type, name = status.resource or (None, None)
    return {
        "metadata": dict(status.metadata),
        "resource": None if name is None else {"name": name, "type": resource_type},
        "retry_after_s": status.retry_after_s,
        "status": status.code,
        "violations": [asdict(violation) for violation in status.violations],
    }


def _line(result: Mapping[str, Any]) -> str:
    return json.dumps(result, ensure_ascii=False)


def _escaped(text: str) -> str:
    from rich.markup import escape

    return escape(text)
