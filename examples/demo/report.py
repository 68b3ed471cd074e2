"""The report at the end: what the jobs found, how they went, what was expected."""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, Any, Final

from rich.table import Table
from rich.text import Text

from examples.demo.summary import summary
from examples.harness.checks import print_checks
from penstock.cli.asjson import job_json, stats_json
from penstock.cli.states import STYLES
from penstock.cli.tables import queues_table
from penstock.cli.times import short

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rich.console import Console

    from examples.demo.plan import Planned
    from examples.demo.scenario import Seen
    from examples.harness.checks import Check
    from penstock.client import Job

__all__ = ["as_json", "print_report"]

_OTHER_COLUMNS: Final = 72
"""Their width, in characters, in the table of the jobs."""


def print_report(
    console: Console, plan: Mapping[str, Planned], seen: Seen, checks: Sequence[Check]
) -> None:
    """Print the table of the jobs, what they found, the counts, the expectations."""
    console.print()
    console.print(_jobs_table(plan, seen, console.width))
    console.print()
    for line in _findings(seen):
        console.print(f"  {line}")
    if seen.stats is not None:
        console.print()
        console.print(queues_table([seen.stats], console.width))
    console.print()
    print_checks(console, checks)


def as_json(
    plan: Mapping[str, Planned], seen: Seen, checks: Sequence[Check], seconds: float
) -> str:
    """Return all of it as one JSON object."""
    report: dict[str, Any] = {
        "ok": all(check.holds for check in checks),
        "seconds": round(seconds, 1),
        "checks": [
            {
                "what": check.what,
                "ok": check.holds,
                "expected": check.expected,
                "seen": check.seen,
            }
            for check in checks
        ],
        "refused": [
            {"field": violation.field, "description": violation.description}
            for violation in seen.violations or ()
        ],
        "killed_worker": seen.killed.worker_id if seen.killed else None,
        "jobs": {name: job_json(job) for name, job in seen.jobs.items()},
        "planned": {name: planned.state for name, planned in plan.items()},
        "queue": stats_json(seen.stats) if seen.stats else None,
    }
    return json.dumps(report, ensure_ascii=False, indent=2, default=str)


def _jobs_table(plan: Mapping[str, Planned], seen: Seen, width: int) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("job", no_wrap=True)
    table.add_column("state", no_wrap=True)
    for name in ("attempts", "queue wait", "run time"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("result", no_wrap=True)
    for name, job in seen.jobs.items():
        state = job.state.value
        table.add_row(
            plan[name].label,
            Text(state.lower(), STYLES[state]),
            _attempts(job),
            short(_between(job.queue_time, job.start_time)),
            short(_between(job.start_time, job.finish_time)),
            _shortened(summary(job), width - _OTHER_COLUMNS),
        )
    return table


def _attempts(job: Job) -> str:
    return f"{job.attempt} ({job.crashes} killed)" if job.crashes else str(job.attempt)


def _between(start: Any, end: Any) -> float | None:  # noqa: ANN401 - datetime or None.
    return (end - start).total_seconds() if start and end else None


def _shortened(text: str, width: int) -> Text:
    return Text(text if len(text) <= width else f"{text[: max(width, 1) - 1]}…", "dim")


def _findings(seen: Seen) -> list[str]:
    """Return what the index jobs found, all together."""
    censuses = {
        name.removeprefix("index "): job.result
        for name, job in seen.jobs.items()
        if name.startswith("index ") and job.result
    }
    if not censuses:
        return []
    imports: Counter[str] = Counter()
    for census in censuses.values():
        imports.update(census["imports"])
    total = {
        key: sum(census[key] for census in censuses.values())
        for key in ("files", "lines", "functions", "classes", "documented")
    }
    longest = max(censuses.values(), key=lambda census: int(census["longest_lines"]))
    documented = total["documented"] / max(total["functions"] + total["classes"], 1)
    most = ", ".join(f"{name} ({count})" for name, count in imports.most_common(5))
    size = f"{total['files']:,} files, {total['lines']:,} lines"
    parts = f"{total['functions']:,} functions and {total['classes']:,} classes"
    length = f"{longest['longest']} ({longest['longest_lines']} lines)"
    return [
        f"The standard library: {size}, {parts}, {documented:.0%} of them documented.",
        f"Its longest function is {length}; it imports most often {most}.",
    ]
