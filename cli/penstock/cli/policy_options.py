"""The options of ``penstock policy set``; the contract (Policy) says what each means."""

from datetime import timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from penstock.cli.attempt_options import BackoffOptions
from penstock.cli.groups import Options
from penstock.cli.options import duration
from penstock.cli.submit_options import PriorityName

if TYPE_CHECKING:
    from penstock.client import AsyncClient, QueuePolicy

__all__ = ["PolicyOptions"]

_KEPT = "Kept jobs"


class PolicyOptions(Options):
    """What may be said of the jobs of a queue, or of a type."""

    max_attempts: Annotated[
        int | None,
        typer.Option("--max-attempts", min=1, metavar="N", help="Failed attempts at most."),
    ] = None
    backoff: BackoffOptions
    attempt_timeout: Annotated[
        timedelta | None,
        typer.Option(
            "--attempt-timeout", parser=duration, metavar="DURATION", help="Of one attempt."
        ),
    ] = None
    priority: Annotated[
        PriorityName | None, typer.Option("--priority", help="Within the queue.")
    ] = None
    concurrency: Annotated[
        int | None,
        typer.Option(
            "--concurrency", min=1, metavar="N", help="Jobs that run at once, in the whole fleet."
        ),
    ] = None
    max_waiting: Annotated[
        int | None,
        typer.Option(
            "--max-waiting",
            min=1,
            metavar="N",
            help="Jobs that may wait in the queue before submits are refused.",
        ),
    ] = None
    keep_succeeded: Annotated[
        timedelta | None,
        typer.Option(
            "--keep-succeeded",
            parser=duration,
            metavar="DURATION",
            help="How long jobs are kept that succeeded (less than 10s counts as 10s).",
            rich_help_panel=_KEPT,
        ),
    ] = None
    keep_succeeded_count: Annotated[
        int | None,
        typer.Option(
            "--keep-succeeded-count",
            min=0,
            metavar="N",
            help="How many of them at most.",
            rich_help_panel=_KEPT,
        ),
    ] = None
    keep_failed: Annotated[
        timedelta | None,
        typer.Option(
            "--keep-failed",
            parser=duration,
            metavar="DURATION",
            help="How long jobs are kept that failed, were cancelled or expired "
            "(less than 10s counts as 10s).",
            rich_help_panel=_KEPT,
        ),
    ] = None
    keep_failed_count: Annotated[
        int | None,
        typer.Option(
            "--keep-failed-count",
            min=0,
            metavar="N",
            help="How many of each at most.",
            rich_help_panel=_KEPT,
        ),
    ] = None

    async def put(self, client: "AsyncClient", queue: str, job_type: str) -> "QueuePolicy":
        """Have a gateway put them down."""
        from penstock.client import Keep

        return await client.set_queue_policy(
            queue,
            job_type,
            max_attempts=self.max_attempts,
            backoff=self.backoff.chosen,
            timeout=self.attempt_timeout,
            priority=self.priority.value if self.priority else None,
            concurrency=self.concurrency,
            max_waiting=self.max_waiting,
            succeeded=Keep(self.keep_succeeded, self.keep_succeeded_count),
            failed=Keep(self.keep_failed, self.keep_failed_count),
        )
