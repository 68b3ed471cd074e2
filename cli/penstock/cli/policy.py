"""``penstock policy``: what holds for jobs of a queue or a type, unless a submit says otherwise."""

from typing import TYPE_CHECKING, Annotated

import typer

from penstock.cli.connection import with_client
from penstock.cli.groups import grouped
from penstock.cli.options import DEFAULT_ADDRESS, Address, Json
from penstock.cli.output import emit, emit_text, json_wanted, show_found, show_table
from penstock.cli.policy_options import PolicyOptions

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


@policy.command("list")
def list_policies(
    queue: Annotated[str, typer.Argument(metavar="[QUEUE]", help="Only those of this queue.")] = "",
    *,
    address: Address = DEFAULT_ADDRESS,
    json: Json = False,
) -> None:
    """List the policies that were put down, with commands and by the gateways' file."""
    from penstock.cli.policy_output import policies_table, queue_policy_json

    found = with_client(address, lambda client: client.queue_policies(queue))
    show_found(
        found,
        queue_policy_json,
        lambda width: policies_table(found, width),
        "no policy: defaults hold",
    )


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
@grouped
def set_policy(
    queue: Queue,
    *,
    job_type: Type = "",
    options: PolicyOptions,
    address: Address = DEFAULT_ADDRESS,
    json: Json = False,
) -> None:
    """Put a policy down, as a whole: what is not given is not set. Repeating it is safe.

    Example: penstock policy set mail --type mail.welcome --priority low
    """
    stored = with_client(address, lambda client: options.put(client, queue, job_type))
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
