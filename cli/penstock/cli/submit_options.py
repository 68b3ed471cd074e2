"""Options about jobs, each declared once; the contract (JobOptions) says what each means."""

from datetime import datetime, timedelta
from enum import StrEnum
from typing import Annotated

import typer

from penstock.cli.faults import CommandError
from penstock.cli.options import duration, moment, not_empty

__all__ = [
    "AllowUnregistered",
    "AttemptTimeout",
    "ContentType",
    "Deadline",
    "Delay",
    "ExpiresIn",
    "FromFile",
    "IdempotencyKey",
    "Metadata",
    "PayloadText",
    "PriorityName",
    "PriorityOption",
    "QueueName",
    "RequestId",
    "Retention",
    "RunAt",
    "pairs",
]

_WHEN = "When it runs"
_WHICH = "Which job it is"


class PriorityName(StrEnum):
    """The priorities."""

    HIGH = "high"
    DEFAULT = "default"
    LOW = "low"


PayloadText = Annotated[
    str | None,
    typer.Option(
        "--payload",
        "-p",
        metavar="JSON|@FILE|-",
        help="JSON as it is, from a file, or from stdin (default: {}).",
    ),
]
ContentType = Annotated[
    str, typer.Option("--content-type", metavar="TYPE", help="Media type of the payload.")
]
FromFile = Annotated[
    str | None,
    typer.Option(
        "--from-file",
        "-f",
        metavar="FILE|-",
        help="Submit many jobs, one for each line of a JSON Lines file: its payload.",
    ),
]
QueueName = Annotated[
    str, typer.Option("--queue", "-q", metavar="NAME", help="Where the job waits.")
]
PriorityOption = Annotated[
    PriorityName | None,
    typer.Option("--priority", help="Within its queue; none: the policy's, else default."),
]

Delay = Annotated[
    timedelta | None,
    typer.Option(
        "--delay",
        parser=duration,
        metavar="DURATION",
        help="Not before this long from now, such as 90s or 1h30m.",
        rich_help_panel=_WHEN,
    ),
]
RunAt = Annotated[
    datetime | None,
    typer.Option(
        "--run-at",
        parser=moment,
        metavar="TIME",
        help="Not before this time: 2030-01-31T18:00 (local), or with Z or an offset.",
        rich_help_panel=_WHEN,
    ),
]
ExpiresIn = Annotated[
    timedelta | None,
    typer.Option(
        "--expires-in",
        parser=duration,
        metavar="DURATION",
        help="EXPIRED if it has no outcome by then.",
        rich_help_panel=_WHEN,
    ),
]
Deadline = Annotated[
    datetime | None,
    typer.Option(
        "--deadline",
        parser=moment,
        metavar="TIME",
        help="As --expires-in, as a time.",
        rich_help_panel=_WHEN,
    ),
]
AttemptTimeout = Annotated[
    timedelta | None,
    typer.Option(
        "--attempt-timeout",
        parser=duration,
        metavar="DURATION",
        help="Of one attempt (default: the job type's own).",
        rich_help_panel=_WHEN,
    ),
]


IdempotencyKey = Annotated[
    str,
    typer.Option(
        "--idempotency-key",
        callback=not_empty,
        metavar="KEY",
        help="Names the work: an equal submit is answered with the first job.",
        rich_help_panel=_WHICH,
    ),
]
RequestId = Annotated[
    str,
    typer.Option(
        "--request-id",
        callback=not_empty,
        metavar="ID",
        help="Names the call, so that it can be repeated (default: a random one).",
        rich_help_panel=_WHICH,
    ),
]
Metadata = Annotated[
    list[str] | None,
    typer.Option(
        "--metadata",
        "-m",
        metavar="KEY=VALUE",
        help="Travels with the job; may be repeated.",
        rich_help_panel=_WHICH,
    ),
]
Retention = Annotated[
    timedelta | None,
    typer.Option(
        "--retention",
        parser=duration,
        metavar="DURATION",
        help="How long it is kept after its end (default: 24h).",
        rich_help_panel=_WHICH,
    ),
]
AllowUnregistered = Annotated[
    bool,
    typer.Option(
        "--allow-unregistered",
        help="Accept a type that no worker has registered yet.",
        rich_help_panel=_WHICH,
    ),
]


def pairs(given: list[str]) -> dict[str, str]:
    """Read what ``--metadata`` was given.

    Raises:
        CommandError: One is no pair.
    """
    pairs = {}
    for pair in given:
        key, equals, value = pair.partition("=")
        if not (key and equals):
            raise CommandError(f"--metadata {pair} is no pair", "write it as KEY=VALUE")
        pairs[key] = value
    return pairs
