"""Topics as ``--json`` has them, and as people read them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from rich.text import Text

from penstock.cli.asjson import submitted_json
from penstock.cli.columns import Column, fitted
from penstock.cli.faults import CommandError
from penstock.cli.payloads import JSON_TYPE, read_payload
from penstock.cli.times import ago, isoformat, short

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import timedelta

    from rich.table import Table

    from penstock.client import Backoff, Priority, Published, Subscription, TopicRule

__all__ = [
    "published_json",
    "read_schema",
    "rule_json",
    "rules_table",
    "subscription_json",
    "subscriptions_table",
]

_PATTERN_WIDTH = 24


def read_schema(given: str | None) -> dict[str, Any] | None:
    """Return the schema that ``--schema`` names.

    Raises:
        CommandError: It is none.
    """
    data = read_payload(given, JSON_TYPE)
    if data is None:
        return None
    schema = json.loads(data)
    if not isinstance(schema, dict):
        raise CommandError("--schema is no JSON object", 'such as {"type": "object"}')
    return schema


def published_json(published: Published) -> dict[str, Any]:
    """Return the receipt of a publish."""
    jobs = []
    for each in published.jobs:
        receipt = submitted_json(each.submitted)
        del receipt["request_id"]  # The message's id, which stands above.
        jobs.append({"subscription": each.subscription, "queue": each.queue, **receipt})
    return {"message_id": published.message_id, "topic": published.topic, "jobs": jobs}


def subscription_json(found: Subscription) -> dict[str, Any]:
    """Return a subscription."""
    return {
        "name": found.name,
        "pattern": found.pattern,
        "queue": found.queue or None,
        "priority": _name(found.priority),
        "max_attempts": found.attempts,
        "create_time": isoformat(found.create_time),
    }


def rule_json(found: TopicRule) -> dict[str, Any]:
    """Return a rule."""
    return {
        "pattern": found.pattern,
        "queue": found.queue or None,
        "priority": _name(found.priority),
        "max_attempts": found.attempts,
        "backoff": _backoff(found.backoff),
        "retention_s": None if found.retention is None else found.retention.total_seconds(),
        "schema": None if found.schema is None else dict(found.schema),
        "create_time": isoformat(found.create_time),
    }


def subscriptions_table(found: Sequence[Subscription], width: int) -> Table:
    """Return subscriptions, one a line, in so many characters."""
    columns = (
        Column("subscription"),
        Column("wants", wanted=_PATTERN_WIDTH),
        Column("queue"),
        Column("priority", rank=1),
        Column("attempts", rank=2, justify="right"),
        Column("made", rank=3),
    )
    rows = [
        (
            Text(each.name),
            Text(each.pattern),
            Text(each.queue or "-"),
            Text(_shown(each.priority)),
            Text(str(each.attempts or "-")),
            Text(ago(each.create_time)),
        )
        for each in found
    ]
    return fitted(columns, rows, width)


def rules_table(found: Sequence[TopicRule], width: int) -> Table:
    """Return rules, one a line, in so many characters."""
    columns = (
        Column("topics", wanted=_PATTERN_WIDTH),
        Column("queue"),
        Column("priority", rank=1),
        Column("attempts", rank=2, justify="right"),
        Column("backoff from", rank=4, justify="right"),
        Column("kept", rank=3, justify="right"),
        Column("schema", rank=5),
        Column("made", rank=6),
    )
    rows = [
        (
            Text(each.pattern),
            Text(each.queue or "-"),
            Text(_shown(each.priority)),
            Text(str(each.attempts or "-")),
            Text(short(each.backoff.initial if each.backoff else None)),
            Text(short(each.retention)),
            Text("yes" if each.schema is not None else "-"),
            Text(ago(each.create_time)),
        )
        for each in found
    ]
    return fitted(columns, rows, width)


def _backoff(backoff: Backoff | None) -> dict[str, Any] | None:
    if backoff is None:
        return None
    return {
        "initial_s": _seconds(backoff.initial),
        "max_s": _seconds(backoff.max),
        "multiplier": backoff.multiplier,
        "jitter": backoff.jitter,
    }


def _seconds(span: timedelta | float | None) -> float | None:
    return span if span is None or isinstance(span, int | float) else span.total_seconds()


def _name(priority: Priority | None) -> str | None:
    return priority.value if priority else None


def _shown(priority: Priority | None) -> str:
    return priority.value.lower() if priority else "-"
