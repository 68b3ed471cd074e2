"""``penstock policy``: what holds for jobs of a queue or a type, unless a submit says otherwise."""

from datetime import timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from penstock.cli.connection import with_client
from penstock.cli.options import DEFAULT_ADDRESS, Address, Json, duration
from penstock.cli.output import emit, emit_text, json_wanted, show_table
from penstock.cli.submit_options import (
    BackoffInitial,
    BackoffJitter,
    BackoffMax,
    BackoffMultiplier,
    PriorityName,
)

if TYPE_CHECKING:
    from penstock.client import Policy, QueuePolicy

__all__ = ["policy"]

policy = typer.Typer(
    no_args_is_help=True,
    help="Say what holds for the jobs of a queue or a type, unless a submit says otherwise.\n\n"
    "The first that decides: the submit, the policy of queue and type, the policy of the queue, "
    "the type's own timeout, the default.\n\n"
    "Example: penstock policy set mail --max-attempts 5 --concurrency 10 --keep-failed-count 1000",
)

Queue = Annotated[str, typer.Argument(metavar="QUEUE", help="That it is for.")]
Type = Annotated[
    str,
    typer.Option("--type", "-t", metavar="TYPE", help="Only for this job type of the queue."),
]
_KEPT = "Kept jobs"


@policy.command("list")
def list_policies(
    queue: Annotated[str, typer.Argument(metavar="[QUEUE]", help="Only those of this queue.")] = "",
    *,
    address: Address = DEFAULT_ADDRESS,
    json: Json = False,
) -> None:
    """List the policies that were put down, with commands and by the gateways' file."""
    found = with_client(address, lambda client: client.queue_policies(queue))
    if json_wanted():
        from penstock.cli.policy_output import queue_policy_json

        for each in found:
            emit(queue_policy_json(each))
        return
    from penstock.cli.policy_output import policies_table

    if found:
        show_table(lambda width: policies_table(found, width))
    else:
        emit_text("no policy: defaults hold")


@policy.command("show")
def show(
    queue: Queue,
    *,
    job_type: Type = "",
    address: Address = DEFAULT_ADDRESS,
    json: Json = False,
) -> None:
    """Show what holds for submits that choose nothing, and from where: the type's over the queue's.

    Example: penstock policy show mail --type mail.welcome
    """
    found = with_client(address, lambda client: client.queue_policy(queue, job_type))
    _tell(queue, job_type, found.policy, found.sources)


@policy.command("set")
def set_policy(
    queue: Queue,
    *,
    job_type: Type = "",
    max_attempts: Annotated[
        int | None,
        typer.Option("--max-attempts", min=1, metavar="N", help="Failed attempts at most."),
    ] = None,
    backoff: BackoffInitial = None,
    backoff_max: BackoffMax = None,
    backoff_multiplier: BackoffMultiplier = None,
    backoff_jitter: BackoffJitter = None,
    attempt_timeout: Annotated[
        timedelta | None,
        typer.Option(
            "--attempt-timeout", parser=duration, metavar="DURATION", help="Of one attempt."
        ),
    ] = None,
    priority: Annotated[
        PriorityName | None, typer.Option("--priority", help="Within the queue.")
    ] = None,
    concurrency: Annotated[
        int | None,
        typer.Option(
            "--concurrency", min=1, metavar="N", help="Jobs that run at once, in the whole fleet."
        ),
    ] = None,
    max_waiting: Annotated[
        int | None,
        typer.Option(
            "--max-waiting",
            min=1,
            metavar="N",
            help="Jobs that may wait in the queue before submits are refused.",
        ),
    ] = None,
    keep_succeeded: Annotated[
        timedelta | None,
        typer.Option(
            "--keep-succeeded",
            parser=duration,
            metavar="DURATION",
            help="How long jobs are kept that succeeded (less than 10s counts as 10s).",
            rich_help_panel=_KEPT,
        ),
    ] = None,
    keep_succeeded_count: Annotated[
        int | None,
        typer.Option(
            "--keep-succeeded-count",
            min=0,
            metavar="N",
            help="How many of them at most.",
            rich_help_panel=_KEPT,
        ),
    ] = None,
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
    ] = None,
    keep_failed_count: Annotated[
        int | None,
        typer.Option(
            "--keep-failed-count",
            min=0,
            metavar="N",
            help="How many of each at most.",
            rich_help_panel=_KEPT,
        ),
    ] = None,
    address: Address = DEFAULT_ADDRESS,
    json: Json = False,
) -> None:
    """Put a policy down, as a whole: what is not given is not set. Repeating it is safe.

    Example: penstock policy set mail --type mail.welcome --priority low
    """
    from penstock.client import Backoff, Keep

    pauses = Backoff(backoff, backoff_max, backoff_multiplier, backoff_jitter)
    stored = with_client(
        address,
        lambda client: client.set_queue_policy(
            queue,
            job_type,
            max_attempts=max_attempts,
            backoff=None if pauses == Backoff() else pauses,
            timeout=attempt_timeout,
            priority=priority.value if priority else None,
            concurrency=concurrency,
            max_waiting=max_waiting,
            succeeded=Keep(keep_succeeded, keep_succeeded_count),
            failed=Keep(keep_failed, keep_failed_count),
        ),
    )
    _tell(queue, job_type, stored.policy, (stored,))


@policy.command("delete")
def delete(
    queue: Queue,
    *,
    job_type: Type = "",
    address: Address = DEFAULT_ADDRESS,
    json: Json = False,
) -> None:
    """Take back a policy that was set. What the gateways' file says of it holds again."""
    deleted = with_client(address, lambda client: client.delete_queue_policy(queue, job_type))
    if json_wanted():
        emit({"queue": queue, "type": job_type or None, "deleted": deleted})
    else:
        emit_text("deleted" if deleted else "there was none that was set")


def _tell(queue: str, job_type: str, found: "Policy", sources: "tuple[QueuePolicy, ...]") -> None:
    from penstock.cli.policy_output import policy_details, policy_json, queue_policy_json

    if json_wanted():
        emit(
            {
                "queue": queue,
                "type": job_type or None,
                "policy": policy_json(found),
                "sources": [queue_policy_json(each) for each in sources],
            }
        )
    else:
        show_table(lambda _width: policy_details(queue, job_type, found, sources))
