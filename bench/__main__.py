"""``python -m bench``: runs the scenarios and prints their figures.

Exit code 0 if every floor and ceiling is kept, 1 if one is missed.
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Annotated

import typer
import uvloop
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from bench.figures import Figure, missed
from bench.scenarios import ALL
from bench.stack import running_stack

_console = Console(stderr=True)


def main(
    only: Annotated[
        list[str] | None, typer.Option(help=f"One of: {', '.join(ALL)}. Repeat for more.")
    ] = None,
    repeat: Annotated[int, typer.Option(min=1, help="Measurements of each figure.")] = 3,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON to stdout.")] = False,  # noqa: FBT002
) -> None:
    """Measure Penstock against its limits, in one run, with every promise switched on."""
    unknown = set(only or ()) - set(ALL)
    if unknown:
        raise typer.BadParameter(f"no scenario {', '.join(sorted(unknown))}", param_hint="--only")
    figures = uvloop.run(_run(only or list(ALL), repeat))
    if as_json:
        json.dump([figure.as_json() for figure in figures], sys.stdout, indent=2)
        sys.stdout.write("\n")
    _console.print(_table(figures))
    if missed(figures):
        raise typer.Exit(1)


async def _run(names: list[str], repeat: int) -> list[Figure]:
    figures: list[Figure] = []
    async with running_stack() as stack:
        with Progress(console=_console, transient=True) as bar:
            task = bar.add_task("benchmarks", total=len(names))
            for name in names:
                bar.update(task, description=name)
                try:
                    figures += await ALL[name](stack, repeat)
                except (Exception, asyncio.CancelledError):
                    _console.print(stack.log_path.read_text()[-4000:], markup=False)
                    raise
                bar.advance(task)
    return figures


def _table(figures: list[Figure]) -> Table:
    table = Table("scenario", "figure", "median [least to most]", "unit", "floor", "kept")
    misses = missed(figures)
    for figure in figures:
        kept = ""
        if figure.met is not None:
            kept = "[red]no[/]" if figure in misses else ("yes" if figure.met else "by the other")
        table.add_row(
            figure.scenario, figure.name, str(figure.samples), figure.unit, figure.bound, kept
        )
    return table


if __name__ == "__main__":
    typer.run(main)
