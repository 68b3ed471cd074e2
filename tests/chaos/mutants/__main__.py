"""``python -m tests.chaos.mutants``: plants each defect in a copy of the tree, and has it seen.

Exit code 0 if all were caught and the sound tree passed the same runs, else 1.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.console import Console
from rich.table import Table

from tests.chaos.mutants.mutant import Mutant, Tree, mutants
from tests.chaos.mutants.trial import Verdict, try_out

app: Final = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
_console: Final = Console(stderr=True, highlight=False, soft_wrap=True)
#: What a run says of a sound tree, or of a mutant, in the table.
_TEXT: Final = 90


@app.command(help=__doc__)
def run(
    names: Annotated[list[str] | None, typer.Argument(help="Parts of names; none is all.")] = None,
    server: Annotated[Path | None, typer.Option(help="Of Valkey or Redis.")] = None,
    control: Annotated[bool, typer.Option(help="Try the sound tree, too.")] = True,  # noqa: FBT002 - typer reads the default.
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON to stdout.")] = False,  # noqa: FBT002 - as above.
) -> None:
    """Tries each mutant, and prints a table."""
    chosen = mutants(names or [])
    rows: list[tuple[str, str, str, Verdict, bool]] = []
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        tree = Tree(Path(folder))
        tree.check_imports()
        if control:
            for each in sorted({mutant.run for mutant in chosen}):
                verdict = try_out(tree, each, server)
                _console.print(f"none: {each}: {_seen(verdict)}", markup=False)
                sound = not (verdict.caught or verdict.broke_off)
                rows.append(("none", "The tree as it is.", each, verdict, sound))
        for mutant in chosen:
            verdict = _try(tree, mutant, server)
            _console.print(f"{mutant.name}: {mutant.run}: {_seen(verdict)}", markup=False)
            rows.append((mutant.name, mutant.what, mutant.run, verdict, verdict.caught))
    for row in rows:
        if not row[4]:
            _console.print(f"{row[0]}: {row[3].text or 'nothing was seen'}", markup=False)
    if as_json:
        keys = ("mutant", "what", "run")
        told = [
            {**dict(zip(keys, row[:3], strict=True)), **asdict(row[3]), "good": row[4]}
            for row in rows
        ]
        json.dump(told, sys.stdout, indent=1)
        sys.stdout.write("\n")
    else:
        Console(width=150).print(_table(rows))
    survivors = sum(not row[4] for row in rows if row[0] != "none")
    _console.print(f"{len(chosen)} mutants, {survivors} survived")
    if not all(row[4] for row in rows):
        raise typer.Exit(1)


def _try(tree: Tree, mutant: Mutant, server: Path | None) -> Verdict:
    try:
        tree.plant(mutant)
    except subprocess.CalledProcessError as error:
        text = f"the patch does not apply any more: {error.stderr}"
        return Verdict(False, "", text, 0.0, broke_off=True)  # noqa: FBT003 - as in the class.
    try:
        return try_out(tree, mutant.run, server)
    finally:
        tree.pull(mutant)


def _saw(verdict: Verdict) -> str:
    return verdict.invariant or ("broke off" if verdict.broke_off else "-")


def _seen(verdict: Verdict) -> str:
    return f"{_saw(verdict)}, {verdict.seconds:.0f} s: {verdict.text[:200]}"


def _table(rows: list[tuple[str, str, str, Verdict, bool]]) -> Table:
    table = Table("mutant", "what it breaks", "run", "invariant that saw it", "s", "")
    for name, what, run_, verdict, good in rows:
        if name == "none":
            told = "passed" if good else "FAILED"
        else:
            told = "caught" if good else "SURVIVED"
        table.add_row(name, what[:_TEXT], run_, _saw(verdict), f"{verdict.seconds:.0f}", told)
    return table


if __name__ == "__main__":
    app()
