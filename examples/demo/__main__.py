"""The demonstration: ``make demo``, or ``python -m examples.demo [--json] [--keep]``.

It starts a Valkey, a gateway and two workers, and submits jobs that read real files: the sources
of the standard library, and this repository's documents. Among them are one that fails twice, one
that is refused, one that is cancelled, one that streams its output, and one whose worker is killed
half-way. The exit code is 0 only if each came out as planned.
"""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
import time
from typing import TYPE_CHECKING, Final

from examples.demo.checks import check_all
from examples.demo.plan import plan
from examples.demo.report import as_json, print_report
from examples.demo.scenario import Scenario
from examples.demo.stack import DemoStack
from examples.harness.errors import StackError
from examples.harness.run import console_of
from penstock.cli.board import board_on
from penstock.client import PenstockError
from penstock.runtime import RuntimeFault

if TYPE_CHECKING:
    from rich.console import Console

_FAILED: Final = 1
_INTERRUPTED: Final = 130


def main() -> int:
    """Run the demonstration; returns its exit code."""
    parser = argparse.ArgumentParser(prog="make demo", description="Show what Penstock does.")
    parser.add_argument("--json", action="store_true", help="print the report as JSON on stdout")
    parser.add_argument("--keep", action="store_true", help="keep the data folder and the logs")
    arguments = parser.parse_args()
    # With it, everything below is left as by Ctrl-C, and cleans up after itself.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    console = console_of(to_stderr=arguments.json)
    stack = DemoStack(keep_data=arguments.keep)
    try:
        return _play(stack, console, json=arguments.json)
    except KeyboardInterrupt:
        console.print("interrupted: everything that was started is stopped")
        return _INTERRUPTED
    except (StackError, PenstockError, RuntimeFault) as error:
        console.print(f"[bold red]error[/] {error}")
        return _FAILED
    finally:
        if stack.folder.exists():
            console.print(f"logs{' and data' if arguments.keep else ''}: {stack.folder}")


def _play(stack: DemoStack, console: Console, *, json: bool) -> int:
    began = time.monotonic()
    planned = plan()
    console.print("[dim]starting Valkey, a gateway and two workers[/]")
    with stack:
        with board_on(console) as board:
            seen = asyncio.run(Scenario(stack, board, planned).run())
        checks = check_all(planned, seen)
        failed = sum(not check.holds for check in checks)
        stack.keep_logs = bool(failed)
    seconds = time.monotonic() - began
    print_report(console, planned, seen, checks)
    if json:
        print(as_json(planned, seen, checks, seconds))
    verdict = f"[bold red]{failed} of them not[/]" if failed else "[bold green]as planned[/]"
    console.print(f"\n{len(checks)} expectations, {verdict}, in {seconds:.0f} s")
    return _FAILED if failed else 0


if __name__ == "__main__":
    sys.exit(main())
