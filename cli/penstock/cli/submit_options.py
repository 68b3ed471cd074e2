"""The options of ``penstock submit``, by name; the contract (JobOptions) says what each means."""

from datetime import datetime, timedelta
from enum import StrEnum
from typing import Annotated

import typer

from penstock.cli.faults import CommandError
from penstock.cli.options import duration, moment

__all__ = [
    "AllowUnregistered",
    "AttemptTimeout",
    "BackoffInitial",
    "BackoffJitter",
    "BackoffMax",
    "BackoffMultiplier",
    "CacheKey",
    "CacheTags",
    "CacheTtl",
    "ContentType",
    "Deadline",
    "Delay",
    "DoNotCache",
    "ExpiresIn",
    "FromFile",
    "IdempotencyKey",
    "MaxAttempts",
    "Metadata",
    "PayloadText",
    "PriorityName",
    "PriorityOption",
    "QueueName",
    "RequestId",
    "Retention",
    "RunAt",
    "SkipCache",
    "attempts_option",
    "pairs",
]

_WHEN = "When it runs"
_FAILS = "When it fails"
_WHICH = "Which job it is"
_CACHE = "Whether it runs at all"


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


def attempts_option(others: str) -> typer.models.OptionInfo:
    """``--max-attempts``, of a command where these others decide if it is not given."""
    option: typer.models.OptionInfo = typer.Option(
        "--max-attempts",
        min=1,
        metavar="N",
        help=f"Failed attempts until a job is a dead letter (none: {others}, else 3).",
        rich_help_panel=_FAILS,
    )
    return option


MaxAttempts = Annotated[int | None, attempts_option("the policy's")]
BackoffInitial = Annotated[
    timedelta | None,
    typer.Option(
        "--backoff",
        parser=duration,
        metavar="DURATION",
        help="The pause before the first retry (default: 1s).",
        rich_help_panel=_FAILS,
    ),
]
BackoffMax = Annotated[
    timedelta | None,
    typer.Option(
        "--backoff-max",
        parser=duration,
        metavar="DURATION",
        help="The longest pause (default: 5m).",
        rich_help_panel=_FAILS,
    ),
]
BackoffMultiplier = Annotated[
    float | None,
    typer.Option(
        "--backoff-multiplier",
        min=1,
        metavar="X",
        help="How much longer each pause is (default: 2).",
        rich_help_panel=_FAILS,
    ),
]
BackoffJitter = Annotated[
    float | None,
    typer.Option(
        "--backoff-jitter",
        min=0,
        max=1,
        metavar="X",
        help="The fraction by which pauses are spread at random (default: 0.2).",
        rich_help_panel=_FAILS,
    ),
]


def _not_empty(context: typer.Context, option: typer.CallbackParam, value: str) -> str:
    """Refuse a value that was given and is empty: unlike none, it would name nothing in silence.

    Raises:
        typer.BadParameter: It is.
    """
    source = context.get_parameter_source(option.name or "")
    if not value and source is not None and source.name != "DEFAULT":
        raise typer.BadParameter("it is empty: is a variable not set?")
    return value


IdempotencyKey = Annotated[
    str,
    typer.Option(
        "--idempotency-key",
        callback=_not_empty,
        metavar="KEY",
        help="Names the work: an equal submit is answered with the first job.",
        rich_help_panel=_WHICH,
    ),
]
RequestId = Annotated[
    str,
    typer.Option(
        "--request-id",
        callback=_not_empty,
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
CacheTtl = Annotated[
    timedelta | None,
    typer.Option(
        "--cache-ttl",
        parser=duration,
        metavar="DURATION",
        help="Take the result of an equal job that is under way, or not older than this.",
        rich_help_panel=_CACHE,
    ),
]
CacheKey = Annotated[
    str,
    typer.Option(
        "--cache-key",
        callback=_not_empty,
        metavar="KEY",
        help="What makes jobs of a type equal (default: their payload).",
        rich_help_panel=_CACHE,
    ),
]
CacheTags = Annotated[
    list[str] | None,
    typer.Option(
        "--cache-tag",
        metavar="TAG",
        help="By which the result can be invalidated; may be repeated.",
        rich_help_panel=_CACHE,
    ),
]
SkipCache = Annotated[
    bool,
    typer.Option(
        "--skip-cache",
        help="Run all the same, and replace what is cached.",
        rich_help_panel=_CACHE,
    ),
]
DoNotCache = Annotated[
    bool,
    typer.Option(
        "--do-not-cache",
        help="Keep no result of this job for others.",
        rich_help_panel=_CACHE,
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
