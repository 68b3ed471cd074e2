"""Options that say what follows a failed attempt."""

from datetime import timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from penstock.cli.groups import Options
from penstock.cli.options import duration

if TYPE_CHECKING:
    from penstock.client import Backoff

__all__ = ["BackoffOptions", "MaxAttempts", "attempts_option"]

_FAILS = "When it fails"


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


class BackoffOptions(Options):
    """The pauses between attempts."""

    backoff: Annotated[
        timedelta | None,
        typer.Option(
            "--backoff",
            parser=duration,
            metavar="DURATION",
            help="The pause before the first retry (default: 1s).",
            rich_help_panel=_FAILS,
        ),
    ] = None
    backoff_max: Annotated[
        timedelta | None,
        typer.Option(
            "--backoff-max",
            parser=duration,
            metavar="DURATION",
            help="The longest pause (default: 5m).",
            rich_help_panel=_FAILS,
        ),
    ] = None
    backoff_multiplier: Annotated[
        float | None,
        typer.Option(
            "--backoff-multiplier",
            min=1,
            metavar="X",
            help="How much longer each pause is (default: 2).",
            rich_help_panel=_FAILS,
        ),
    ] = None
    backoff_jitter: Annotated[
        float | None,
        typer.Option(
            "--backoff-jitter",
            min=0,
            max=1,
            metavar="X",
            help="The fraction by which pauses are spread at random (default: 0.2).",
            rich_help_panel=_FAILS,
        ),
    ] = None

    @property
    def chosen(self) -> "Backoff | None":
        """As the client takes it; None, where nothing is chosen, leaves it to the policies."""
        from penstock.client import Backoff

        pauses = Backoff(
            self.backoff, self.backoff_max, self.backoff_multiplier, self.backoff_jitter
        )
        return None if pauses == Backoff() else pauses
