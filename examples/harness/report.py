"""What a run tells when it is over: for people, and as one line of JSON."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from rich.markup import escape

from examples.harness.checks import Check, print_checks

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rich.console import Console

__all__ = ["Report"]


@dataclass(frozen=True, slots=True)
class Report:
    """How a run came out.

    Attributes:
        jobs: How many were submitted.
        succeeded: Of them.
        failed_as_planned: Those that were meant to fail, to be cancelled or to be refused, and did.
        checks: Every expectation; the run is as planned if all hold.
        figures: What was measured, as text with its unit, by what it is.
    """

    jobs: int
    succeeded: int
    failed_as_planned: int
    checks: Sequence[Check]
    figures: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_as_planned(self) -> bool:
        """Whether all expectations hold, and there are some."""
        return bool(self.checks) and all(check.holds for check in self.checks)

    def print(self, console: Console, seconds: float) -> None:
        """Print it for people."""
        console.print()
        print_checks(console, self.checks)
        for what, figure in self.figures.items():
            console.print(f"      {escape(what)}: [bold]{escape(figure)}[/]")
        wrong = sum(not check.holds for check in self.checks)
        verdict = f"[bold red]{wrong} of them not[/]" if wrong else "[bold green]as planned[/]"
        console.print(f"\n{len(self.checks)} expectations, {verdict}, in {seconds:.0f} s")

    def json(self, application: str, seconds: float) -> str:
        """One JSON object, for `python -m examples` and for scripts."""
        return json.dumps(
            {
                "application": application,
                "jobs": self.jobs,
                "succeeded": self.succeeded,
                "failed_as_planned": self.failed_as_planned,
                "as_planned": self.is_as_planned,
                "wrong": [check.what for check in self.checks if not check.holds],
                "figures": dict(self.figures),
                "seconds": round(seconds, 1),
            }
        )
