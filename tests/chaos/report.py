"""docs/reliability.md, written from the record of real runs by ``python -m tests.chaos record``.

The record is tests/chaos/record: the results of runs as they were saved, the faults of the product
that were found, and the words of the page. What is in tables comes from the runs, and nothing else.
"""

from __future__ import annotations

import inspect
import re
import statistics
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tests.chaos.catalogue import FAULTS, SCENARIOS
from tests.chaos.checker.checker import PROMISES
from tests.chaos.matrix import NOT_TRIED, ROWS
from tests.chaos.mutants.account import SOUND, load
from tests.chaos.result import Result
from tests.chaos.scenarios.mixed import Mixed

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from tests.chaos.scenario import Scenario

__all__ = ["MUTANTS", "PAGE", "POWER_CUT", "RECORD", "page", "runs_of"]

RECORD: Final = Path(__file__).parent / "record"
#: The account of the last trial of all mutants.
MUTANTS: Final = RECORD / "mutants.json"
PAGE: Final = Path(__file__).resolve().parents[2] / "docs/reliability.md"

#: What counts as an operation: a call of a client.
CALLS: Final = ("submit", "status", "wait", "watch", "cancel", "retry", "list")
_FAULTS: Final = frozenset(fault.name for fault in FAULTS)
_BY_NAME: Final[Mapping[str, type[Scenario]]] = {each.name: each for each in SCENARIOS}
#: The fault of the mixed run that tries what is on the disk.
POWER_CUT: Final = "the server's power is cut"
#: Levels of durability, from the weakest to the strongest.
_LEVELS: Final = ("none", "everysec", "always", "replicated")
#: The figure that says how busy the machine was.
_LOAD: Final = "load of the machine"
_PLACE: Final = re.compile(r"^<!-- (\w+) -->$", re.MULTILINE)


@dataclass
class _Struck:
    """All strikes of one fault, over all recorded runs."""

    rows: Sequence[int]
    #: That has it strike.
    command: str
    runs: int = 0
    strikes: int = 0
    operations: int = 0
    recovery_ms: list[float] = field(default_factory=list)


def page(record: Path = RECORD) -> str:
    """The text of the page.

    Args:
        record: a folder with results (``*.json``), ``mutants.json``, ``bugs.toml`` and
            ``page.md``.
    """
    results = [Result.load(path) for path in runs_of(record)]
    done = [result for result in results if not result.skipped]
    tables = {
        "summary": _summary(done),
        "durability": _durability(done),
        "cuts": _cuts(done),
        "promises": _table(("promise", "what the checker looks for"), PROMISES),
        "faults": _faults(done),
        "runs": _runs(results),
        "unrecorded": _unrecorded(results),
        "figures": _figures(done),
        "violations": _violations(done),
        "misses": _misses(done),
        "matrix": _matrix(done),
        "mutants": _mutants(record / MUTANTS.name),
        "bugs": _bugs(record / "bugs.toml"),
    }
    return _PLACE.sub(
        lambda place: tables.get(place[1]) or place[0], (record / "page.md").read_text()
    )


def runs_of(record: Path) -> list[Path]:
    """The results of runs in a record."""
    return [path for path in sorted(record.glob("*.json")) if path.name != MUTANTS.name]


def _table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    shown = [f"| {' | '.join(_cell(value) for value in row)} |" for row in rows]
    if not shown:
        return "None so far."
    return "\n".join([f"| {' | '.join(head)} |", f"|{'---|' * len(head)}", *shown])


def _cell(value: object) -> str:
    return " ".join(str(value).replace("|", "\\|").split())


def _summary(results: list[Result]) -> str:
    """What all recorded runs come to, in a sentence or two."""
    kinds = {name for result in results for name in result.faults}
    refuted = sum(len(result.violations) for result in results)
    return (
        f"Recorded are {len(results)} runs of {len({each.scenario for each in results})} "
        f"scenarios, {_span(sum(result.seconds for result in results))} in all: "
        f"{sum(result.jobs for result in results):,} jobs, {sum(map(_calls, results)):,} calls, "
        f"{len(kinds)} kinds of fault. "
        f"**Violations of a promise: {refuted or 'none'}**."
    )


def _durability(results: list[Result]) -> str:
    """What was lost, by level: one row for each level and scenario."""
    lost: dict[tuple[str, str], dict[str, str]] = {}
    for result in results:
        for name, value in result.figures.items():
            level, _, what = name.partition(": ")
            if "lost" in what.split():
                row = lost.setdefault((level, result.scenario), {"command": result.command})
                kind, _, how = what.partition(" lost")
                row[kind] = f"{value}{how}"
    rows = [
        (
            level,
            row.get("jobs", ""),
            row.get("outcomes", ""),
            f"`{scenario}`",
            f"`{row['command']}`",
        )
        for (level, scenario), row in sorted(lost.items(), key=_by_level)
    ]
    head = ["durability", "acknowledged jobs lost", "accepted outcomes lost"]
    return _table([*head, "scenario", "repeat it"], rows)


def _cuts(results: list[Result]) -> str:
    """What the mixed runs add to the table of durability."""
    runs = [result for result in results if POWER_CUT in result.faults]
    cuts = sum(result.faults[POWER_CUT].strikes for result in runs)
    jobs = sum(result.jobs for result in runs)
    return (
        f"The mixed runs cut the power another {cuts} times, at `always`, among {jobs:,} jobs and "
        "all other faults. A job or an outcome lost there is a violation, of I1 or I4."
    )


def _by_level(row: tuple[tuple[str, str], object]) -> tuple[int, str, str]:
    """From the weakest to the strongest; of one level, that with a slow disk later."""
    (level, scenario), _ = row
    return _LEVELS.index(level.partition(",")[0]), scenario, level


def _faults(results: list[Result]) -> str:
    struck: dict[str, _Struck] = {}
    # The shortest run first: it is the one to repeat.
    for result in sorted(results, key=lambda result: result.seconds):
        for name, tally in result.faults.items():
            fault = struck.setdefault(name, _Struck(tally.rows, _alone(name, result)))
            fault.runs += 1
            fault.strikes += tally.strikes
            fault.operations += _calls(result)
            fault.recovery_ms += tally.recovery_ms
    rows = [
        (
            name,
            ", ".join(map(str, fault.rows)),
            fault.runs,
            f"{fault.strikes:,}",
            f"{fault.operations:,}",
            _ms(statistics.median(fault.recovery_ms) if fault.recovery_ms else None),
            _ms(max(fault.recovery_ms, default=None)),
            len(fault.recovery_ms) or "",
            f"`{fault.command}`",
        )
        for name, fault in sorted(struck.items(), key=lambda item: (item[1].rows, item[0]))
    ]
    head = ["fault", "rows", "runs", "strikes", "operations"]
    return _table([*head, "recovery, median", "worst", "of", "repeat it"], rows)


def _alone(fault: str, result: Result) -> str:
    """The command that strikes with a fault; of those of the mixed run, with no other beside it."""
    if result.scenario != Mixed.name or fault not in _FAULTS:
        return result.command
    return f'python -m tests.chaos run mixed --seed {result.seed} --minutes 2 --fault "{fault}"'


def _calls(result: Result) -> int:
    """Calls of clients; of a run that did not count them, the submits at least."""
    return sum(result.operations.get(call, 0) for call in CALLS) or result.jobs


def _runs(results: list[Result]) -> str:
    rows = [
        (
            f"`{result.scenario}`",
            *_told_of(_BY_NAME.get(result.scenario)),
            f"{result.jobs:,}",
            f"{_calls(result):,}",
            _span(result.seconds),
            f"skipped: it {result.skipped}" if result.skipped else len(result.violations),
            f"**{len(result.misses)}**" if result.misses else "",
            result.server,
            _tree_of(result),
            result.figures.get(_LOAD, ""),
            f"`{result.command}`",
        )
        for result in results
    ]
    head = ["scenario", "what is done", "what must hold", "jobs", "calls", "time"]
    return _table(
        [*head, "violations", "goals of time missed", "server", "Penstock", _LOAD, "repeat it"],
        rows,
    )


def _tree_of(result: Result) -> str:
    """What was tried, and when, as far as the run noted it."""
    commit = f" ({result.commit})" if result.commit else ""
    told = f"{result.version}{commit}", result.date
    return ", ".join(each for each in told if each)


def _unrecorded(results: list[Result]) -> str:
    """Scenarios that the record has no run of."""
    known = {result.scenario for result in results}
    left = [f"`{scenario.name}`" for scenario in SCENARIOS if scenario.name not in known]
    return f"Scenarios without a recorded run: {', '.join(left) or 'none'}."


def _told_of(scenario: type[Scenario] | None) -> tuple[str, str]:
    """What it does, and what must hold then."""
    if scenario is None:
        return "", ""
    text = " ".join((inspect.getdoc(scenario) or "").split())
    return text.partition(". ")[0].rstrip("."), scenario.expects.rstrip(".")


def _figures(results: list[Result]) -> str:
    rows = [
        (f"`{result.scenario}`", name, value)
        for result in results
        for name, value in result.figures.items()
        if name != _LOAD
    ]
    return _table(("scenario", "figure", "measured"), rows)


def _violations(results: list[Result]) -> str:
    """What a recorded run refuted is shown, not hidden."""
    rows = [
        (f"`{result.command}`", violation.invariant, violation.text, result.remark)
        for result in results
        for violation in result.violations
    ]
    return _table(("run", "promise", "what", "what became of it"), rows) if rows else "None."


def _misses(results: list[Result]) -> str:
    rows = [(f"`{result.scenario}`", miss) for result in results for miss in result.misses]
    return _table(("scenario", "missed"), rows) if rows else "None."


def _matrix(results: list[Result]) -> str:
    rows = []
    for number, text in ROWS.items():
        tried = dict(_tries_of(number, results))
        by, repeat = ", ".join(tried), "<br>".join(dict.fromkeys(tried.values()))
        missing = NOT_TRIED.get(number, "")
        if not by:
            by, repeat, missing = _untried(number, missing)
        rows.append((number, text, by, repeat, missing))
    return _table(("row", "fault", "tried by", "repeat it", "what is not tried"), rows)


def _untried(row: int, missing: str) -> tuple[str, str, str]:
    """What stands in a row that no recorded run tried: by whom, the command, the reason."""
    able = [scenario.name for scenario in SCENARIOS if row in scenario.rows]
    named = " and ".join(f"`{name}`" for name in able)
    reason = f"No run of {named} is recorded yet." if able else ""
    commands = (f"`python -m tests.chaos run {name} --seed 1 --scale 1`" for name in able)
    return "no recorded run", "<br>".join(commands), " ".join(filter(None, (reason, missing)))


def _tries_of(row: int, results: list[Result]) -> Iterator[tuple[str, str]]:
    """Which scenarios tried it, or which faults of a scenario; each with its shortest command."""
    shortest: dict[str, Result] = {}
    struck: dict[str, set[str]] = {}
    for result in sorted(results, key=lambda result: (result.scenario, result.seconds)):
        names = {
            name for name, tally in result.faults.items() if tally.strikes and row in tally.rows
        }
        scenario = _BY_NAME.get(result.scenario)
        is_of_it = scenario is not None and row in scenario.rows
        if names or is_of_it:
            shortest.setdefault(result.scenario, result)
            struck.setdefault(result.scenario, set()).update(() if is_of_it else names)
    for name, result in shortest.items():
        faults = f" ({', '.join(sorted(struck[name]))})" if struck[name] else ""
        yield f"`{name}`{faults}", f"`{result.command}`"


def _mutants(path: Path) -> str:
    rows = [
        (
            row.what,
            f"`{row.mutant}`",
            f"`{row.run}`",
            row.invariant if row.good else f"**{row.invariant or 'nothing'}**",
            f"{row.seconds:.0f} s",
        )
        for row in (load(path) if path.exists() else [])
        if row.mutant != SOUND
    ]
    return _table(("what it breaks", "mutant", "run", "seen by", "after"), rows)


def _bugs(path: Path) -> str:
    found = tomllib.loads(path.read_text())["bug"]
    rows = [(bug["symptom"], bug["cause"], bug["test"]) for bug in found]
    return _table(("symptom", "cause", "test"), rows)


def _ms(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:.0f} ms" if value < 1000 else f"{value / 1000:.1f} s"


def _span(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"
