"""Policies as ``--json`` has them, and as people read them."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from rich.table import Table
from rich.text import Text

from penstock.cli.columns import Column, fitted
from penstock.cli.times import short

if TYPE_CHECKING:
    from collections.abc import Sequence

    from penstock.client import Backoff, ConcurrencyLimit, Keep, Policy, QueuePolicy

__all__ = [
    "limits_text",
    "policies_table",
    "policy_details",
    "policy_json",
    "queue_policy_json",
]

_WHAT_WIDTH = 40


def policy_json(found: Policy) -> dict[str, Any]:
    """Return a policy; null is not set."""
    return {
        "max_attempts": found.max_attempts,
        "backoff": _backoff_json(found.backoff),
        "timeout_s": _seconds(found.timeout),
        "priority": found.priority and str(found.priority),
        "concurrency": found.concurrency,
        "max_waiting": found.max_waiting,
        "succeeded": _keep_json(found.succeeded),
        "failed": _keep_json(found.failed),
    }


def queue_policy_json(found: QueuePolicy) -> dict[str, Any]:
    """Return a policy, and what it is for."""
    return {
        "queue": found.queue,
        "type": found.type or None,
        "source": found.source.value,
        "policy": policy_json(found.policy),
    }


def policies_table(found: Sequence[QueuePolicy], width: int) -> Table:
    """Return policies, one a line, in so many characters."""
    columns = (
        Column("queue"),
        Column("type"),
        Column("by", rank=1),
        Column("what holds", wanted=_WHAT_WIDTH),
    )
    rows = [
        (
            Text(each.queue),
            Text(each.type or "all"),
            Text(each.source.value.lower()),
            Text(", ".join(f"{name} {value}" for name, value in _lines(each.policy)) or "nothing"),
        )
        for each in found
    ]
    return fitted(columns, rows, width)


def policy_details(
    queue: str, job_type: str, found: Policy, sources: Sequence[QueuePolicy]
) -> Table:
    """Return a policy, a line for each thing that is set, and where they come from."""
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim")
    table.add_column(overflow="fold")
    table.add_row("policy of", Text(f"{queue} {job_type}".rstrip(), "bold"))
    for name, value in _lines(found) or [("", "nothing is set: defaults hold")]:
        table.add_row(name, value)
    if sources:
        told = (f"{each.type or 'all types'} ({each.source.value.lower()})" for each in sources)
        table.add_row("from", ", over ".join(told))
    return table


def limits_text(limits: Sequence[ConcurrencyLimit]) -> str:
    """Return how many jobs run of those that may, in a line for each limit."""
    lines = []
    for limit in limits:
        held = f", {limit.held} held" if limit.held else ""
        most = limit.concurrency or "any number"
        lines.append(f"{limit.type or 'all types'}: {limit.running} of {most}{held}")
    return "\n".join(lines) or "none"


def _lines(found: Policy) -> list[tuple[str, str]]:
    lines = [
        ("max attempts", found.max_attempts),
        ("backoff", _backoff_text(found.backoff)),
        ("timeout", _short(found.timeout)),
        ("priority", str(found.priority).lower() if found.priority else None),
        ("at once", found.concurrency),
        ("waiting", found.max_waiting),
        ("keeps succeeded", _keep_text(found.succeeded)),
        ("keeps failed", _keep_text(found.failed)),
    ]
    return [(name, str(value)) for name, value in lines if value not in {None, ""}]


def _backoff_text(backoff: Backoff | None) -> str:
    if backoff is None:
        return ""
    return f"{_short(backoff.initial)} x {backoff.multiplier:g} up to {_short(backoff.max)}"


def _keep_text(keep: Keep) -> str:
    age = None if keep.age is None else f"for {_short(keep.age)}"
    count = None if keep.count is None else f"{keep.count} at most"
    return ", ".join(filter(None, (age, count)))


def _backoff_json(backoff: Backoff | None) -> dict[str, Any] | None:
    if backoff is None:
        return None
    return {
        "initial_s": _seconds(backoff.initial),
        "jitter": backoff.jitter,
        "max_s": _seconds(backoff.max),
        "multiplier": backoff.multiplier,
    }


def _keep_json(keep: Keep) -> dict[str, Any]:
    return {"age_s": _seconds(keep.age), "count": keep.count}


def _seconds(span: timedelta | float | None) -> float | None:
    return span.total_seconds() if isinstance(span, timedelta) else span


def _short(span: timedelta | float | None) -> str:
    return "" if span is None else short(span)
