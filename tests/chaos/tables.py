"""What a run found, as tables for a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from rich.table import Table

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from rich.console import RenderableType

    from tests.chaos.faults.fault import Fault
    from tests.chaos.result import Result
    from tests.chaos.scenario import Scenario

__all__ = ["catalogue", "report"]

_SHOWN = 20
#: Kinds of lines of a history, by who writes them.
_HANDLERS: Final = (
    *("start", "start of a message", "start of an occurrence", "end"),
    *("chunk", "progress", "checkpoint", "saved", "resumed"),
)
_HARNESS: Final = ("strike", "recovered", "killed", "taken", "clock", "final", "audit", "bound")


def catalogue(
    scenarios: Iterable[type[Scenario]], faults: Iterable[type[Fault]]
) -> Iterator[RenderableType]:
    """All that there is to run, and the rows of the fault matrix that it covers."""
    table = Table("scenario", "rows", "about", "what must hold")
    for scenario in scenarios:
        table.add_row(
            scenario.name, _rows(scenario.rows), f"{scenario.seconds:.0f} s", scenario.expects
        )
    yield table
    table = Table("fault of the mixed run", "rows", "strikes at", "weight")
    for fault in faults:
        table.add_row(fault.name, _rows(fault.rows), fault.subject, f"{fault.weight:g}")
    yield table


def report(result: Result) -> Iterator[RenderableType]:
    """What a run did and found."""
    if result.skipped:
        yield f"[yellow]{result.scenario}: skipped, it {result.skipped}[/]"
        return
    if result.faults:
        table = Table(
            "fault", "rows", "strikes", "recovery: median", "worst", title=result.scenario
        )
        for name, tally in sorted(result.faults.items()):
            times = _ms(tally.median_ms), _ms(tally.worst_ms)
            table.add_row(name, _rows(tally.rows), str(tally.strikes), *times)
        yield table
    for name, value in result.figures.items():
        yield f"{result.scenario}: {name}: {value}"
    if result.operations:
        table = Table("what was done and told", "how often")
        for group, counts in _grouped(result.operations):
            table.add_row(group, ", ".join(f"{count:,} {kind}" for kind, count in counts))
        yield table
    work = f"{result.jobs:,} jobs in {result.seconds:.0f} s"
    yield f"{result.scenario}: {work} on {result.server or 'no server'}"
    for violation in result.violations[:_SHOWN]:
        yield f"[red]{violation.invariant}[/]: {violation.text}"
        yield from (f"    {line}" for line in violation.witness)
    if left := len(result.violations[_SHOWN:]):
        yield f"[red]and {left} more violations[/]"
    for miss in result.misses:
        yield f"[yellow]{result.scenario}: missed: {miss}[/]"
    verdict = f"{len(result.violations)} violations" if result.violations else "no violation"
    yield f"{result.scenario}: [bold]{verdict}[/]. Repeat it with: {result.command}"


def _grouped(operations: Mapping[str, int]) -> Iterator[tuple[str, list[tuple[str, int]]]]:
    """Kinds of lines by who writes them; those of the rest are the clients'."""
    groups = {**dict.fromkeys(_HANDLERS, "handlers"), **dict.fromkeys(_HARNESS, "the harness")}
    for group in ("clients", "handlers", "the harness"):
        counts = [each for each in operations.items() if groups.get(each[0], "clients") == group]
        if counts:
            yield group, sorted(counts, key=lambda each: -each[1])


def _rows(rows: Iterable[int]) -> str:
    return ", ".join(map(str, rows))


def _ms(value: float | None) -> str:
    return "" if value is None else f"{value / 1000:.2f} s"
