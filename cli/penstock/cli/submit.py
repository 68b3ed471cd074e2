"""``penstock submit``: one job, or one for each line of a file."""

from typing import TYPE_CHECKING, Annotated

import typer

from penstock.cli.connection import with_client
from penstock.cli.faults import CommandError
from penstock.cli.groups import grouped
from penstock.cli.job_options import JobOptions
from penstock.cli.options import DEFAULT_ADDRESS, Address, Json, Timeout
from penstock.cli.submit_options import FromFile, PayloadText

if TYPE_CHECKING:
    from penstock.cli.exits import ExitCode
    from penstock.client import AsyncClient

__all__ = ["submit"]


@grouped
def submit(
    job_type: Annotated[
        str, typer.Argument(metavar="TYPE", help="The name that a handler is registered under.")
    ],
    *,
    payload: PayloadText = None,
    from_file: FromFile = None,
    watch: Annotated[
        bool, typer.Option("--watch", "-w", help="Watch to the end, as `penstock watch` does.")
    ] = False,
    wait: Annotated[
        bool, typer.Option("--wait", help="Wait for the end in silence, then print the result.")
    ] = False,
    timeout: Timeout = None,
    options: JobOptions,
    address: Address = DEFAULT_ADDRESS,
    json: Json = False,
) -> None:
    """Submit a job, or many.

    Prints the id; with --watch or --wait, sees the job through, and exits with 1 if it does not
    succeed.

    Example: penstock submit image.resize --payload '{"width": 200}' --delay 10m

    Example: penstock submit mail.send --from-file letters.jsonl --queue mail --watch
    """
    from penstock.cli.submitting import After, Order, submit_file, submit_one

    order = Order(job_type, options.chosen)
    after = After(watch=watch, wait=wait, timeout=timeout)
    if from_file is not None:
        _check_many(payload, options)

    async def work(client: "AsyncClient") -> "ExitCode":
        if from_file is not None:
            return await submit_file(client, order, from_file, after)
        return await submit_one(client, order, payload, after)

    raise typer.Exit(int(with_client(address, work)))


def _check_many(payload: str | None, options: JobOptions) -> None:
    if payload is not None:
        raise CommandError("--payload and --from-file exclude each other", "give one of them")
    if options.request_id or options.idempotency_key:
        raise CommandError(
            "--request-id and --idempotency-key name one job, and --from-file submits many",
            "leave them out, or submit the jobs one by one",
        )
