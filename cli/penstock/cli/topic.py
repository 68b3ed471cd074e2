"""``penstock topic``: publish messages, and say who gets them."""

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from penstock.cli.attempt_options import BackoffOptions, attempts_option
from penstock.cli.connection import with_client
from penstock.cli.exits import ExitCode
from penstock.cli.faults import CommandError
from penstock.cli.groups import grouped
from penstock.cli.options import DEFAULT_ADDRESS, Address, Json
from penstock.cli.output import emit, emit_text, for_people, json_wanted, show_found
from penstock.cli.payloads import JSON_TYPE, payload_of
from penstock.cli.submit_options import (
    ContentType,
    Delay,
    Metadata,
    PayloadText,
    PriorityName,
    Retention,
    pairs,
)

if TYPE_CHECKING:
    from penstock.client import AsyncClient, Published

__all__ = ["topic"]

topic = typer.Typer(
    no_args_is_help=True,
    help="Publish messages to topics, and say who gets them.\n\n"
    "Every subscription whose pattern matches gets a job of its own. In a pattern, * is any one "
    "segment, and ** at its end any one or more; quote them for the shell.\n\n"
    "Example: penstock topic publish order.created --payload '{\"id\": 17}'",
)

Pattern = Annotated[str, typer.Argument(metavar="PATTERN", help="Such as 'order.*'.")]
Name = Annotated[
    str, typer.Argument(metavar="NAME", help="Of the subscription: the type of its jobs.")
]
Queue = Annotated[str, typer.Option("--queue", "-q", metavar="NAME", help="Where the jobs wait.")]
Priority = Annotated[PriorityName | None, typer.Option("--priority", help="Within the queue.")]
OfMessage = Annotated[
    int | None, attempts_option("the subscription's, else the rule's, else the policy's")
]
OfSubscription = Annotated[int | None, attempts_option("the rule's, else the policy's")]
OfRule = Annotated[int | None, attempts_option("the policy's")]
OfTopic = Annotated[
    str, typer.Option("--topic", "-t", metavar="TOPIC", help="Only those that match it.")
]
MessageId = Annotated[
    str,
    typer.Option(
        "--message-id",
        metavar="ID",
        help="Names the message: nobody gets it twice (default: a random one).",
    ),
]


@topic.command("publish")
def publish(
    name: Annotated[str, typer.Argument(metavar="TOPIC", help="Such as order.created.")],
    *,
    payload: PayloadText = None,
    content_type: ContentType = JSON_TYPE,
    message_id: MessageId = "",
    source: Annotated[str, typer.Option("--source", metavar="TEXT", help="Who publishes it.")] = "",
    priority: Priority = None,
    delay: Delay = None,
    max_attempts: OfMessage = None,
    metadata: Metadata = None,
    address: Address = DEFAULT_ADDRESS,
    json: Json = False,
) -> None:
    """Publish a message; print each subscription with the id of its job.

    Example: penstock topic publish order.created --payload '{"id": 17}' --source shop
    """
    from uuid import uuid4

    data = payload_of(payload, content_type)
    message_id = message_id or str(uuid4())
    headers = pairs(metadata or [])

    async def work(client: "AsyncClient") -> "Published":
        from penstock.cli.unserved import warn_if_unserved
        from penstock.client import DeadlineExceeded

        try:
            published = await client.publish(
                name,
                data,
                message_id=message_id,
                source=source,
                priority=priority,
                delay=delay,
                attempts=max_attempts,
                metadata=headers,
                content_type=content_type,
            )
        except DeadlineExceeded as error:
            raise _unsettled(message_id) from error
        jobs = [(each.queue, each.subscription) for each in published.jobs]
        if jobs and sys.stderr.isatty():  # To a script, who takes a message up is no concern.
            await warn_if_unserved(client, jobs)
        return published

    _tell(name, with_client(address, work))


@topic.command("subscriptions")
def subscriptions(
    *,
    of: OfTopic = "",
    address: Address = DEFAULT_ADDRESS,
    json: Json = False,
) -> None:
    """List subscriptions."""
    from penstock.cli.topic_output import subscription_json, subscriptions_table

    found = with_client(address, lambda client: client.subscriptions(of))
    show_found(
        found,
        subscription_json,
        lambda width: subscriptions_table(found, width),
        "no subscription: a worker's @app.on makes one, or penstock topic subscribe",
    )


@topic.command("subscribe")
def subscribe(
    name: Name,
    pattern: Pattern,
    *,
    queue: Queue = "",
    priority: Priority = None,
    max_attempts: OfSubscription = None,
    address: Address = DEFAULT_ADDRESS,
    json: Json = False,
) -> None:
    """Make a subscription, or replace the one of that name. It collects jobs from now on."""
    from penstock.cli.topic_output import subscription_json

    made = with_client(
        address,
        lambda client: client.subscribe(
            name, pattern, queue=queue, priority=priority, attempts=max_attempts
        ),
    )
    if json_wanted():
        emit(subscription_json(made))
    else:
        emit_text(f"{made.name} wants {made.pattern}")


@topic.command("unsubscribe")
def unsubscribe(name: Name, *, address: Address = DEFAULT_ADDRESS, json: Json = False) -> None:
    """End a subscription. Its jobs stay; a worker that has it makes it again when it starts."""
    deleted = with_client(address, lambda client: client.unsubscribe(name))
    if json_wanted():
        emit({"name": name, "deleted": deleted})
    else:
        emit_text(f"{name} is no more" if deleted else f"there was no subscription {name}")


@topic.command("rules")
def rules(*, of: OfTopic = "", address: Address = DEFAULT_ADDRESS, json: Json = False) -> None:
    """List the rules of topics; with --topic, the one that holds comes first."""
    from penstock.cli.topic_output import rule_json, rules_table

    found = with_client(address, lambda client: client.topic_rules(of))
    show_found(
        found,
        rule_json,
        lambda width: rules_table(found, width),
        "no rule: make one with penstock topic set-rule",
    )


@topic.command("set-rule")
@grouped
def set_rule(
    pattern: Pattern,
    *,
    queue: Queue = "",
    priority: Priority = None,
    max_attempts: OfRule = None,
    backoff: BackoffOptions,
    retention: Retention = None,
    schema: Annotated[
        str | None,
        typer.Option(
            "--schema", metavar="JSON|@FILE|-", help="JSON schema that its messages must fit."
        ),
    ] = None,
    address: Address = DEFAULT_ADDRESS,
    json: Json = False,
) -> None:
    """Say what holds for the messages of some topics; the most specific rule holds, alone.

    Example: penstock topic set-rule 'order.*' --queue high --max-attempts 5 --backoff 1s
    """
    from penstock.cli.topic_output import read_schema, rule_json

    wanted = read_schema(schema)
    made = with_client(
        address,
        lambda client: client.put_topic_rule(
            pattern,
            queue=queue,
            priority=priority,
            attempts=max_attempts,
            backoff=backoff.chosen,
            retention=retention,
            schema=wanted,
        ),
    )
    if json_wanted():
        emit(rule_json(made))
    else:
        emit_text(f"the rule of {made.pattern} is set")


@topic.command("delete-rule")
def delete_rule(
    pattern: Pattern, *, address: Address = DEFAULT_ADDRESS, json: Json = False
) -> None:
    """End a rule."""
    deleted = with_client(address, lambda client: client.delete_topic_rule(pattern))
    if json_wanted():
        emit({"pattern": pattern, "deleted": deleted})
    else:
        emit_text(f"{pattern} has no rule now" if deleted else f"{pattern} had no rule")


def _tell(name: str, published: "Published") -> None:
    if json_wanted():
        from penstock.cli.topic_output import published_json

        emit(published_json(published))
        return
    for each in published.jobs:
        emit_text(f"{each.subscription} {each.job_id}")
    if not published.jobs:
        for_people().print(f"[dim]no subscription wants {name}: the message is kept nowhere[/]")


def _unsettled(message_id: str) -> CommandError:
    error = CommandError(
        "no answer came in time: whether every subscription has the message is not known",
        f"the same command with --message-id {message_id} settles it: nobody gets it twice",
        ExitCode.UNREACHABLE,
    )
    error.kind = "DEADLINE_EXCEEDED"
    return error
