"""The main function of an application's run: start everything, play it, tell how it went."""

from __future__ import annotations

import argparse
import asyncio
import signal
import time
from typing import TYPE_CHECKING, Final

from rich.console import Console

from examples.harness.errors import StackError
from examples.harness.stack import Stack
from penstock.client import PenstockError
from penstock.runtime import RuntimeFault

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from examples.harness.report import Report

__all__ = ["console_of", "run"]

_FAILED: Final = 1
_INTERRUPTED: Final = 130
_LOG_WIDTH: Final = 132


def run(
    name: str,
    description: str,
    play: Callable[[Stack, Console], Awaitable[Report]],
    settings: Mapping[str, str] | None = None,
) -> int:
    """Runs an application end to end on a Valkey and a gateway of its own.

    Takes the command line's ``--json`` (the report as one JSON line on stdout) and ``--keep``.

    Args:
        name: Of the application, which is its package under ``examples``.
        description: For ``--help``.
        play: What is done; it starts workers and other processes on the stack it is given.
        settings: Variables for all processes.

    Returns:
        The exit code: 0 only if every expectation of the report holds.
    """
    parser = argparse.ArgumentParser(prog=f"python -m examples.{name}", description=description)
    parser.add_argument("--json", action="store_true", help="print the report as JSON on stdout")
    parser.add_argument("--keep", action="store_true", help="keep the data folder and the logs")
    arguments = parser.parse_args()
    # With it, everything below is left as by Ctrl-C, and cleans up after itself.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    console = console_of(to_stderr=arguments.json)
    stack = Stack(name.replace("_", "-"), settings, keep_data=arguments.keep)
    began = time.monotonic()
    try:
        with stack:
            report = asyncio.run(_coroutine(play, stack, console))
            stack.keep_logs = not report.is_as_planned
    except KeyboardInterrupt:
        console.print("interrupted: everything that was started is stopped")
        return _INTERRUPTED
    except (StackError, PenstockError, RuntimeFault) as error:
        console.print(f"[bold red]error[/] {error}")
        return _FAILED
    finally:
        if stack.folder.exists():
            console.print(f"logs{' and data' if arguments.keep else ''}: {stack.folder}")
    seconds = time.monotonic() - began
    report.print(console, seconds)
    if arguments.json:
        print(report.json(name, seconds))
    return 0 if report.is_as_planned else _FAILED


def console_of(*, to_stderr: bool) -> Console:
    """A console that is wide enough for logs."""
    console = Console(stderr=to_stderr, highlight=False)
    if not console.is_terminal:  # A log is read in something wider than rich's guess of 80.
        console.width = max(console.width, _LOG_WIDTH)
    return console


async def _coroutine(
    play: Callable[[Stack, Console], Awaitable[Report]], stack: Stack, console: Console
) -> Report:
    return await play(stack, console)
