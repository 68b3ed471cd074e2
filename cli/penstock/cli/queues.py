"""``penstock queues``: what waits where, and the operator's levers."""

import asyncio
import sys
from datetime import timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from penstock.cli.connection import with_client
from penstock.cli.counting import counting
from penstock.cli.faults import CommandError
from penstock.cli.options import DEFAULT_ADDRESS, Address, Json, duration
from penstock.cli.output import emit, emit_text, json_wanted, show_found, show_table

if TYPE_CHECKING:
    from rich.table import Table

    from penstock.client import AsyncClient, Queue, QueueStats

__all__ = ["queues"]


class EndedState(StrEnum):
    """A state of jobs that have ended, as an option."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    EXPIRED = "expired"


queues = typer.Typer(
    invoke_without_command=True,
    help="Show and steer queues; list workers.\n\n"
    "Alone, it lists all queues with their counts. Ended jobs are counted while they are kept.\n\n"
    "Example: penstock queues --json | jq -r 'select(.failed > 0) | .name'",
)

AddressHere = Annotated[
    str | None,
    typer.Option("--address", "-a", metavar="HOST:PORT", help="Where the gateway listens."),
]
Name = Annotated[str, typer.Argument(metavar="NAME", help="Of the queue.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]


@queues.callback()
def list_queues(
    context: typer.Context,
    *,
    address: Address = DEFAULT_ADDRESS,
    json: Json = False,
) -> None:
    """List queues with their counts; pause, resume, purge or redrive one; list workers."""
    context.obj = address
    if context.invoked_subcommand is not None:
        return
    from penstock.cli.asjson import stats_json

    async def work(client: "AsyncClient") -> "list[QueueStats]":
        return await asyncio.gather(
            *(client.queue_stats(queue.name) for queue in await client.queues())
        )

    found = with_client(address, work)

    def draw(width: int) -> "Table":
        from penstock.cli.tables import queues_table

        return queues_table(found, width)

    show_found(found, stats_json, draw, "no queue yet: submit a job first")


@queues.command("stats")
def stats(
    context: typer.Context,
    name: Name = "default",
    *,
    address: AddressHere = None,
    json: Json = False,
) -> None:
    """Count the jobs of one queue in full: by priority, by reason of failure, of all times."""
    where = _address(context, address)
    counted = with_client(where, lambda client: client.queue_stats(name))
    if json_wanted():
        from penstock.cli.asjson import stats_json

        emit(stats_json(counted))
        return
    from penstock.cli.tables import queues_table, stats_details

    show_table(lambda width: queues_table([counted], width))
    emit_text("")
    show_table(lambda _width: stats_details(counted))


@queues.command("pause")
def pause(
    context: typer.Context,
    name: Name,
    *,
    address: AddressHere = None,
    json: Json = False,
) -> None:
    """Stop handing out jobs: running ones go on, submits are accepted."""
    where = _address(context, address)
    _tell_queue(with_client(where, lambda client: client.pause_queue(name)))


@queues.command("resume")
def resume(
    context: typer.Context,
    name: Name,
    *,
    address: AddressHere = None,
    json: Json = False,
) -> None:
    """Hand out jobs again."""
    where = _address(context, address)
    _tell_queue(with_client(where, lambda client: client.resume_queue(name)))


@queues.command("purge")
def purge(
    context: typer.Context,
    name: Name,
    *,
    yes: Yes = False,
    address: AddressHere = None,
    json: Json = False,
) -> None:
    """Cancel every job that waits in a queue. Running ones go on."""
    where = _address(context, address)
    if not yes:
        _confirm(f"Cancel every waiting job of the queue {name}?", f"purging {name}")
    with counting("cancelled") as on_progress:
        cancelled = with_client(
            where, lambda client: client.purge_queue(name, on_progress=on_progress)
        )
    if json_wanted():
        emit({"queue": name, "cancelled": cancelled})
    else:
        emit_text(f"{cancelled} cancelled")


@queues.command("clean")
def clean(
    context: typer.Context,
    name: Name,
    *,
    states: Annotated[
        list[EndedState],
        typer.Option("--state", "-s", help="Only jobs in this state; may be repeated."),
    ],
    older_than: Annotated[
        timedelta | None,
        typer.Option(
            "--older-than",
            parser=duration,
            metavar="DURATION",
            help="Only jobs that ended so long ago (default: all, after asking).",
        ),
    ] = None,
    job_type: Annotated[
        str, typer.Option("--type", "-t", metavar="TYPE", help="Only this job type.")
    ] = "",
    yes: Yes = False,
    address: AddressHere = None,
    json: Json = False,
) -> None:
    """Remove jobs that have ended, with their results, before their retention is over.

    Example: penstock queues clean mail --state failed --older-than 7d
    """
    where = _address(context, address)
    if older_than is None and not yes:
        which = " and ".join(states)
        _confirm(
            f"Remove every {which} job of the queue {name}, with its result?", f"cleaning {name}"
        )
    with counting("removed") as on_progress:
        removed = with_client(
            where,
            lambda client: client.clean_queue(
                name,
                [state.value for state in states],
                older_than=older_than or 0,
                type=job_type,
                on_progress=on_progress,
            ),
        )
    if json_wanted():
        emit({"queue": name, "removed": removed})
    else:
        emit_text(f"{removed} removed")


@queues.command("redrive")
def redrive(
    context: typer.Context,
    name: Name,
    *,
    job_type: Annotated[
        str, typer.Option("--type", "-t", metavar="TYPE", help="Only this job type.")
    ] = "",
    address: AddressHere = None,
    json: Json = False,
) -> None:
    """Run every dead letter anew that was not redriven before. Repeating it is safe."""
    where = _address(context, address)
    with counting("redriven") as on_progress:
        redriven = with_client(
            where,
            lambda client: client.redrive(name, type=job_type, on_progress=on_progress),
        )
    if json_wanted():
        emit({"queue": name, "redriven": redriven})
    else:
        emit_text(f"{redriven} redriven")


@queues.command("workers")
def workers(
    context: typer.Context,
    name: Annotated[
        str, typer.Argument(metavar="[NAME]", help="Only those that serve this queue.")
    ] = "",
    *,
    address: AddressHere = None,
    json: Json = False,
) -> None:
    """List the worker processes that were heard of lately."""
    from penstock.cli.asjson import worker_json

    where = _address(context, address)
    found = with_client(where, lambda client: client.workers(name))

    def draw(width: int) -> "Table":
        from penstock.cli.tables import workers_table

        return workers_table(found, width)

    show_found(found, worker_json, draw, "no worker: start one with penstock worker MODULE:APP")


def _address(context: typer.Context, here: str | None) -> str:
    """Return the address, which may stand before the sub-command or after it."""
    return here or str(context.obj)


def _confirm(question: str, deed: str) -> None:
    """Ask on stderr, so that stdout holds results alone.

    Raises:
        CommandError: There is nobody to answer.
        typer.Abort: The answer is not yes.
    """
    unconfirmed = CommandError(f"{deed} was not confirmed", "to do it unasked, add --yes")
    if json_wanted():
        raise unconfirmed
    sys.stderr.write(f"{question} [y/N]: ")
    sys.stderr.flush()
    answer = sys.stdin.readline()
    if not answer:
        sys.stderr.write("\n")
        raise unconfirmed
    if answer.strip().lower() not in {"y", "yes"}:
        raise typer.Abort


def _tell_queue(queue: "Queue") -> None:
    if json_wanted():
        from penstock.cli.asjson import queue_json

        emit(queue_json(queue))
    else:
        emit_text(f"{queue.name} {'is paused' if queue.paused else 'hands out jobs'}")
