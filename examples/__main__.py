"""All applications, one after the other: ``make examples``, or ``python -m examples [NAME ...]``.

Each runs end to end on processes of its own. The exit code is 0 only if every one came out as
planned.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from typing import Any, Final

from rich.markup import escape
from rich.table import Table

from examples.harness.run import console_of

APPLICATIONS: Final = ("expert_os", "watchparty", "event_bus", "opad", "audio_analysis")


def main() -> int:
    """Run them; returns the exit code."""
    parser = argparse.ArgumentParser(prog="make examples", description="Run the applications.")
    parser.add_argument("names", nargs="*", metavar="NAME", help="all, if none is given")
    parser.add_argument("--json", action="store_true", help="print the reports as JSON on stdout")
    arguments = parser.parse_args()
    for name in arguments.names:
        if name not in APPLICATIONS:
            parser.error(f"there is no application {name}; there are {', '.join(APPLICATIONS)}")
    console = console_of(to_stderr=arguments.json)
    reports = []
    for name in arguments.names or APPLICATIONS:
        console.rule(name)
        reports.append(_run(name))
    console.print(_table(reports))
    if arguments.json:
        print(json.dumps(reports))
    return 0 if all(report["as_planned"] for report in reports) else 1


def _run(name: str) -> dict[str, Any]:
    """Run one; its story goes to stderr, its report is what it prints last."""
    ended = subprocess.run(
        [sys.executable, "-m", f"examples.{name}", "--json"],
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    lines = ended.stdout.strip().splitlines()
    if not lines:
        return {"application": name, "as_planned": False, "wrong": ["it did not come to its end"]}
    report: dict[str, Any] = json.loads(lines[-1])
    return report | {"as_planned": report["as_planned"] and ended.returncode == 0}


def _table(reports: list[dict[str, Any]]) -> Table:
    table = Table("application", title="Applications", title_justify="left")
    for column in ("jobs", "succeeded", "failed as planned", "wall time"):
        table.add_column(column, justify="right")
    table.add_column("outcome")
    for report in reports:
        wrong = escape("; ".join(report["wrong"]))
        table.add_row(
            report["application"],
            *(str(report.get(key, "")) for key in ("jobs", "succeeded", "failed_as_planned")),
            f"{report['seconds']:.0f} s" if "seconds" in report else "",
            "[green]as planned[/]" if report["as_planned"] else f"[red]{wrong or 'failed'}[/]",
        )
    return table


if __name__ == "__main__":
    sys.exit(main())
