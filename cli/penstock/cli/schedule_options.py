"""The options of ``penstock schedule``; the contract (ScheduleSpec) says what each means."""

from datetime import datetime, timedelta
from enum import StrEnum
from typing import Annotated

import typer

from penstock.cli.options import duration, moment

__all__ = [
    "CatchUpLimit",
    "CatchUpName",
    "CatchUpOption",
    "Cron",
    "End",
    "Every",
    "Jitter",
    "Note",
    "OverlapName",
    "OverlapOption",
    "RunTimes",
    "ScheduleId",
    "Start",
    "TimeZone",
    "Tolerance",
]

_WHEN = "When it fires"
_COLLIDES = "When occurrences collide or are late"


class OverlapName(StrEnum):
    """What happens while the last job has not ended."""

    SKIP = "skip"
    QUEUE = "queue"
    CANCEL_RUNNING = "cancel_running"
    ALLOW = "allow"


class CatchUpName(StrEnum):
    """What happens to what was missed."""

    NONE = "none"
    LAST = "last"
    ALL = "all"


ScheduleId = Annotated[str, typer.Argument(metavar="ID", help="Its name.")]
Cron = Annotated[
    str | None,
    typer.Option(
        "--cron",
        metavar="EXPRESSION",
        help="Five fields (minute hour day month weekday), or six with seconds first.",
        rich_help_panel=_WHEN,
    ),
]
TimeZone = Annotated[
    str | None,
    typer.Option(
        "--time-zone",
        metavar="NAME",
        help="Of the expression, such as Europe/Berlin (default: UTC).",
        rich_help_panel=_WHEN,
    ),
]
Every = Annotated[
    timedelta | None,
    typer.Option(
        "--every",
        parser=duration,
        metavar="DURATION",
        help="An interval instead, from 1s on, such as 90s or 1h.",
        rich_help_panel=_WHEN,
    ),
]
Start = Annotated[
    datetime | None,
    typer.Option(
        "--start",
        parser=moment,
        metavar="TIME",
        help="Not before this time (default: from now on).",
        rich_help_panel=_WHEN,
    ),
]
End = Annotated[
    datetime | None,
    typer.Option(
        "--end",
        parser=moment,
        metavar="TIME",
        help="Not after this time.",
        rich_help_panel=_WHEN,
    ),
]
Jitter = Annotated[
    timedelta | None,
    typer.Option(
        "--jitter",
        parser=duration,
        metavar="DURATION",
        help="Spread occurrences by up to this much.",
        rich_help_panel=_WHEN,
    ),
]
OverlapOption = Annotated[
    OverlapName | None,
    typer.Option(
        "--overlap",
        help="While its last job has not ended (default: skip).",
        rich_help_panel=_COLLIDES,
    ),
]
CatchUpOption = Annotated[
    CatchUpName | None,
    typer.Option(
        "--catch-up",
        help="On what nobody could fire in time (default: last).",
        rich_help_panel=_COLLIDES,
    ),
]
CatchUpLimit = Annotated[
    int | None,
    typer.Option(
        "--catch-up-limit",
        min=1,
        metavar="N",
        help="At most so many of the newest, with --catch-up all.",
        rich_help_panel=_COLLIDES,
    ),
]
Tolerance = Annotated[
    timedelta | None,
    typer.Option(
        "--tolerance",
        parser=duration,
        metavar="DURATION",
        help="How late it may fire without being missed (default: 1m).",
        rich_help_panel=_COLLIDES,
    ),
]
Note = Annotated[str | None, typer.Option("--note", metavar="TEXT", help="For people.")]
RunTimes = Annotated[
    int, typer.Option("--limit", "-n", min=1, max=100, metavar="N", help="So many times.")
]
