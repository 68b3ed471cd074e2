"""``python -m tests.chaos.mutants``: plants each defect in a copy of the tree, and has it seen.

Exit code 0 if all were caught and the sound tree passed the same runs, else 1.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import asdict
from functools import partial
from pathlib import Path
from queue import SimpleQueue
from typing import TYPE_CHECKING, Annotated, Final

import typer
from rich.console import Console
from rich.table import Table

from tests.chaos.mutants.account import SOUND, Row, save
from tests.chaos.mutants.mutant import Mutant, Tree, mutants
from tests.chaos.mutants.trial import SIMULATION, Verdict, try_out

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

app: Final = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
_console: Final = Console(stderr=True, highlight=False, soft_wrap=True)
#: What a run says of a sound tree, or of a mutant, in the table and beside it.
_TEXT: Final = 90
_SAID: Final = 200


@app.command(help=__doc__)
def run(  # noqa: PLR0917 - typer calls it by name.
    names: Annotated[list[str] | None, typer.Argument(help="Parts of names; none is all.")] = None,
    server: Annotated[Path | None, typer.Option(help="Of Valkey or Redis.")] = None,
    control: Annotated[bool, typer.Option(help="Try the sound tree, too.")] = True,  # noqa: FBT002 - typer reads the default.
    jobs: Annotated[int, typer.Option(min=1, help="Lives that are simulated at once.")] = 1,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON to stdout.")] = False,  # noqa: FBT002 - as above.
    out: Annotated[Path | None, typer.Option(help="A record that takes the account.")] = None,
) -> None:
    """Tries each mutant, and prints a table."""
    chosen = mutants(names or [])
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        rows = []
        for row in _try_all(Path(folder), chosen, server, control=control, jobs=jobs):
            rows.append(row)
            if out is not None:
                save([row], out)
    rows.sort(key=lambda row: row.trial)
    for row in rows:
        if not row.good:
            _console.print(f"{row.mutant}: {row.text or 'nothing was seen'}", markup=False)
    if as_json:
        json.dump([asdict(row) for row in rows], sys.stdout, indent=1)
        sys.stdout.write("\n")
    else:
        Console(width=150).print(_table(rows))
    survivors = sum(not row.good for row in rows if row.mutant != SOUND)
    _console.print(f"{len(chosen)} mutants, {survivors} survived")
    if not all(row.good for row in rows):
        raise typer.Exit(1)


def _try_all(
    folder: Path, chosen: Sequence[Mutant], server: Path | None, *, control: bool, jobs: int
) -> Iterator[Row]:
    """Scenarios one after the other, and beside them lives, which do not go by the real time."""
    runs = sorted({mutant.run for mutant in chosen}) if control else []
    trials: list[Mutant | str] = [*runs, *chosen]
    simulated = [each for each in trials if _run_of(each) == SIMULATION]
    others = [each for each in trials if _run_of(each) != SIMULATION]
    with ThreadPoolExecutor(1) as lane, ThreadPoolExecutor(jobs) as lanes:
        attempt = partial(_attempt, _trees(folder, jobs + 1), server)
        flights = [lane.submit(attempt, trial) for trial in others]
        flights += [lanes.submit(attempt, trial) for trial in simulated]
        yield from (flight.result() for flight in as_completed(flights))


def _trees(folder: Path, count: int) -> SimpleQueue[Tree]:
    trees: SimpleQueue[Tree] = SimpleQueue()
    for number in range(count):
        (folder / str(number)).mkdir()
        tree = Tree(folder / str(number))
        tree.check_imports()
        trees.put(tree)
    return trees


def _attempt(trees: SimpleQueue[Tree], server: Path | None, trial: Mutant | str) -> Row:
    tree = trees.get()
    try:
        row = _try(tree, trial, server)
    finally:
        trees.put(tree)
    said = f"{row.invariant or '-'}, {row.seconds:.0f} s: {row.text[:_SAID]}"
    _console.print(f"{row.mutant}: {row.run}: {said}", markup=False)
    return row


def _run_of(trial: Mutant | str) -> str:
    return trial.run if isinstance(trial, Mutant) else trial


def _try(tree: Tree, trial: Mutant | str, server: Path | None) -> Row:
    """A mutant, or a run on the sound tree."""
    if isinstance(trial, str):
        return Row.of_sound(trial, try_out(tree, trial, server))
    try:
        tree.plant(trial)
    except subprocess.CalledProcessError as error:
        text = f"the patch does not apply any more: {error.stderr}"
        return Row.of(trial, Verdict(False, "", text, 0.0, broke_off=True))  # noqa: FBT003 - as in the class.
    try:
        return Row.of(trial, try_out(tree, trial.run, server, trial.life))
    finally:
        tree.pull(trial)


def _table(rows: Sequence[Row]) -> Table:
    table = Table("mutant", "what it breaks", "run", "invariant that saw it", "s", "")
    for row in rows:
        if row.mutant == SOUND:
            told = "passed" if row.good else "FAILED"
        else:
            told = "caught" if row.good else "SURVIVED"
        saw = row.invariant or "-"
        table.add_row(row.mutant, row.what[:_TEXT], row.run, saw, f"{row.seconds:.0f}", told)
    return table


if __name__ == "__main__":
    app()
