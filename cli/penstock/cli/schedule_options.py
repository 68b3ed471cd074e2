"""The options of ``penstock schedule``; the contract (ScheduleSpec) says what each means."""

from datetime import datetime, timedelta
from enum import StrEnum
from typing import Annotated, Any

import typer

from penstock.cli.faults import CommandError
from penstock.cli.groups import Options
from penstock.cli.options import duration, moment

__all__ = ["RecurrenceOptions", "RunTimes", "ScheduleId", "ScheduleOptions", "without_none"]

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
RunTimes = Annotated[
    int, typer.Option("--limit", "-n", min=1, max=100, metavar="N", help="So many times.")
]


class RecurrenceOptions(Options):
    """When a schedule fires."""

    cron: Annotated[
        str | None,
        typer.Option(
            "--cron",
            metavar="EXPRESSION",
            help="Five fields (minute hour day month weekday), or six with seconds first.",
            rich_help_panel=_WHEN,
        ),
    ] = None
    time_zone: Annotated[
        str | None,
        typer.Option(
            "--time-zone",
            metavar="NAME",
            help="Of the expression, such as Europe/Berlin (default: UTC).",
            rich_help_panel=_WHEN,
        ),
    ] = None
    every: Annotated[
        timedelta | None,
        typer.Option(
            "--every",
            parser=duration,
            metavar="DURATION",
            help="An interval instead, from 1s on, such as 90s or 1h.",
            rich_help_panel=_WHEN,
        ),
    ] = None
    start: Annotated[
        datetime | None,
        typer.Option(
            "--start",
            parser=moment,
            metavar="TIME",
            help="Not before this time (default: from now on).",
            rich_help_panel=_WHEN,
        ),
    ] = None
    end: Annotated[
        datetime | None,
        typer.Option(
            "--end",
            parser=moment,
            metavar="TIME",
            help="Not after this time.",
            rich_help_panel=_WHEN,
        ),
    ] = None

    @property
    def is_chosen(self) -> bool:
        """Whether an expression or an interval is given."""
        return self.cron is not None or self.every is not None

    def check(self) -> None:
        """Raise CommandError unless a schedule can fire by them alone."""
        if (self.cron is None) == (self.every is None):
            raise CommandError("give either --cron or --every", "such as --cron '0 3 * * *'")
        self._check_time_zone()

    def check_change(self) -> None:
        """Raise CommandError unless a schedule that there is can be changed by them."""
        if self.cron is not None and self.every is not None:
            raise CommandError("--cron and --every exclude each other", "give one of them")
        self._check_time_zone()

    def _check_time_zone(self) -> None:
        if self.every is not None and self.time_zone is not None:
            raise CommandError(
                "--time-zone is of a --cron expression: an interval has none",
                "leave --time-zone out",
            )


class ScheduleOptions(Options):
    """All of a schedule but its job."""

    when: RecurrenceOptions
    jitter: Annotated[
        timedelta | None,
        typer.Option(
            "--jitter",
            parser=duration,
            metavar="DURATION",
            help="Spread occurrences by up to this much.",
            rich_help_panel=_WHEN,
        ),
    ] = None
    overlap: Annotated[
        OverlapName | None,
        typer.Option(
            "--overlap",
            help="While its last job has not ended (default: skip).",
            rich_help_panel=_COLLIDES,
        ),
    ] = None
    catch_up: Annotated[
        CatchUpName | None,
        typer.Option(
            "--catch-up",
            help="On what nobody could fire in time (default: last).",
            rich_help_panel=_COLLIDES,
        ),
    ] = None
    catch_up_limit: Annotated[
        int | None,
        typer.Option(
            "--catch-up-limit",
            min=1,
            metavar="N",
            help="At most so many of the newest, with --catch-up all.",
            rich_help_panel=_COLLIDES,
        ),
    ] = None
    tolerance: Annotated[
        timedelta | None,
        typer.Option(
            "--tolerance",
            parser=duration,
            metavar="DURATION",
            help="How late it may fire without being missed (default: 1m).",
            rich_help_panel=_COLLIDES,
        ),
    ] = None
    note: Annotated[str | None, typer.Option("--note", metavar="TEXT", help="For people.")] = None

    @property
    def chosen(self) -> dict[str, Any]:
        """What is given, by the names of a client's `Schedule`."""
        when = self.when
        return without_none(
            cron=when.cron,
            time_zone=when.time_zone,
            every=when.every,
            start_time=when.start,
            end_time=when.end,
            jitter=self.jitter,
            overlap=self.overlap,
            catch_up=self.catch_up,
            catch_up_limit=self.catch_up_limit,
            tolerance=self.tolerance,
            note=self.note,
        )

    @property
    def changes(self) -> dict[str, Any]:
        """What is given, to replace fields of a `Schedule`: an interval ends an expression."""
        if not self.when.is_chosen:
            return self.chosen
        return self.chosen | {"cron": self.when.cron or "", "every": self.when.every}


def without_none(**options: Any) -> dict[str, Any]:  # noqa: ANN401 - of several types.
    """Return the options that are given."""
    return {name: value for name, value in options.items() if value is not None}
