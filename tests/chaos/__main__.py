"""``python -m tests.chaos``: brings trouble about, and tells which promises were kept.

Exit code 0 if all were, 1 if one was violated.
"""

from __future__ import annotations

import json
import os
import random
import sys
import tempfile
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

# Before gRPC is imported. Connections that break are what is looked for, and no news.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")

import typer
import uvloop
from rich.console import Console

from penstock.cli.paragraphs import reflow
from penstock.runtime.embedded import find_binary
from tests.chaos.catalogue import FAULTS, SCENARIOS
from tests.chaos.checker.checker import judge
from tests.chaos.checker.scene import Expectations
from tests.chaos.history.history import History
from tests.chaos.history.journal import stream_journals
from tests.chaos.report import PAGE, page
from tests.chaos.result import HastyResult, Result
from tests.chaos.running import run_scenario
from tests.chaos.scenarios.mixed import SECONDS, Mixed
from tests.chaos.tables import catalogue, report
from tests.support.onlookers import Onlookers

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from tests.chaos.scenario import Scenario

_console: Final = Console(stderr=True)
app: Final = typer.Typer(add_completion=False, no_args_is_help=True, help=__doc__)

_BY_NAME: Final = {scenario.name: scenario for scenario in SCENARIOS}


@app.command()
def run(  # noqa: PLR0917 - typer calls it by name.
    names: Annotated[list[str] | None, typer.Argument(help="Scenarios; none is all.")] = None,
    seed: Annotated[
        int | None, typer.Option(help="Repeats a run; without it a new one is drawn, and told.")
    ] = None,
    scale: Annotated[
        float, typer.Option(min=0.01, help="How long, and how much: 1 is the short run.")
    ] = 1.0,
    minutes: Annotated[
        float | None, typer.Option(min=0.1, help="How long `mixed` lasts, instead of --scale.")
    ] = None,
    fault: Annotated[
        list[str] | None,
        typer.Option(
            help="With this one alone `mixed` strikes, as `list` names it. Repeat for more; only "
            "`mixed` takes it."
        ),
    ] = None,
    server: Annotated[
        Path | None, typer.Option(help="The program of a Valkey or Redis; Valkey if none.")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="Folder for results and kept histories; a new one for this run if none."),
    ] = None,
    keep: Annotated[bool, typer.Option("--keep", help="Keep histories of good runs.")] = False,  # noqa: FBT002
    strict: Annotated[bool, typer.Option("--strict", help="Fail on missed goals of time.")] = False,  # noqa: FBT002
    fail_fast: Annotated[bool, typer.Option("--fail-fast", help="End at a violation.")] = False,  # noqa: FBT002
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON to stdout.")] = False,  # noqa: FBT002
) -> None:
    """Runs scenarios, one after the other."""
    faults = frozenset(fault or ())
    scenarios = _chosen(names or list(_BY_NAME), faults)
    seed = random.randrange(1_000_000) if seed is None else seed  # noqa: S311 - no secret.
    binary = server or find_binary()
    out = out or Path(tempfile.mkdtemp(prefix="chaos-"))
    results = []
    kind = HastyResult if fail_fast else Result
    _console.print(f"seed {seed}")
    for scenario in scenarios:
        chosen, options = scale, f"--scale {scale:g}"
        if scenario is Mixed and minutes is not None:
            chosen, options = minutes * 60 / SECONDS, f"--minutes {minutes:g}"
        options += "".join(f' --fault "{name}"' for name in sorted(faults))
        command = f"python -m tests.chaos run {scenario.name} --seed {seed} {options}"
        result = kind(scenario.name, seed=seed, command=command)
        one = partial(
            run_scenario, scenario, result, scale=chosen, server=binary, keep=keep, faults=faults
        )
        _run_one(scenario.name, result, one, out)
        results.append(result)
    if as_json:
        json.dump([asdict(result) for result in results], sys.stdout, indent=1)
        sys.stdout.write("\n")
    _sum_up(results, out, keep=keep, strict=strict)


def _chosen(names: list[str], faults: frozenset[str]) -> list[type[Scenario]]:
    """The scenarios of these names. Raises BadParameter."""
    if unknown := set(names) - set(_BY_NAME):
        raise typer.BadParameter(f"no scenario {', '.join(sorted(unknown))}")
    if strange := faults - {each.name for each in FAULTS}:
        raise typer.BadParameter(f"no fault {', '.join(sorted(strange))}; see `list`")
    if faults and set(names) != {Mixed.name}:
        raise typer.BadParameter("--fault is for mixed: name that scenario, and no other")
    return [_BY_NAME[name] for name in names]


def _run_one(
    name: str, result: Result, run_in: Callable[..., Coroutine[Any, Any, Result]], out: Path
) -> None:
    folder = out / name
    with Onlookers(_console, name) as onlookers:
        uvloop.run(run_in(folder=folder, say=onlookers.tell))
    result.save(out / f"{name}.json")
    for each in report(result):
        _console.print(each, soft_wrap=isinstance(each, str))
    if folder.exists():
        _console.print(f"history, logs and data: {folder}")


def _sum_up(results: list[Result], out: Path, *, keep: bool, strict: bool) -> None:
    """Says what came of it all. Raises Exit where that is a failure."""
    skipped = sum(bool(result.skipped) for result in results)
    found = sum(len(result.violations) for result in results)
    missed = sum(len(result.misses) for result in results)
    _console.print(
        f"{len(results)} run, {skipped} skipped, {found} violations, {missed} goals of time missed"
    )
    kept = "with histories" if keep else "--keep keeps the history of a good run, too"
    _console.print(f"results: {out} ({kept})", soft_wrap=True)
    if found or (strict and missed):
        raise typer.Exit(1)


@app.command(name="list")
def list_all() -> None:
    """Lists the scenarios and the faults of `mixed`."""
    for table in catalogue(SCENARIOS, FAULTS):
        Console().print(table)


@app.command()
def check(
    folder: Annotated[
        Path, typer.Argument(help="Of that run, as `run` told it; it has `journals` in it.")
    ],
) -> None:
    """Checks a history of `mixed` or `crash_points` again that was kept.

    Kept is one with violations, and any with `run --keep`. It is judged as at the end of the run.
    What the harness itself saw, such as a process that did not end, is not in a history. The other
    scenarios judge what they look for themselves, while they run.
    """
    try:
        expectations = Expectations.load(folder)
    except FileNotFoundError:
        raise typer.BadParameter(_why_not(folder)) from None
    history = History(stream_journals(folder / "journals"))
    found = judge(history, expectations)
    for violation in found:
        told = (violation.invariant, violation.text, *violation.witness)
        _console.print(*told, sep="\n    ", markup=False, soft_wrap=True)
    _console.print(f"{len(history.jobs)} jobs, {len(found)} violations")
    if found:
        raise typer.Exit(1)


def _why_not(folder: Path) -> str:
    """Why `check` can judge nothing in it."""
    judged = " and ".join(f"`{each.name}`" for each in SCENARIOS if each.has_history)
    above = folder.resolve()
    names = (each.name for each in (above, *above.parents))
    scenario = next((_BY_NAME[name] for name in names if name in _BY_NAME), None)
    if not next(folder.rglob("journals"), None):
        return f"there is no history in {folder}; `check` judges those of {judged}"
    if scenario is None:
        return f"{folder} is no run of {judged}: name the folder that `run` told of one"
    if scenario.has_history:
        return f"this run of {scenario.name} broke off: `check` judges whole histories"
    return (
        f"this is a history of {scenario.name}, which `check` cannot judge; it judges those of "
        f"{judged}"
    )


@app.command()
def record() -> None:
    """Writes docs/reliability.md from the results that are kept in tests/chaos/record."""
    PAGE.write_text(page())
    _console.print(f"{PAGE.name} is written")


if __name__ == "__main__":
    reflow(app)
    app()
