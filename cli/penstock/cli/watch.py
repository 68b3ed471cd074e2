"""``penstock watch``: jobs, live."""

from typing import TYPE_CHECKING, Annotated

import typer

from penstock.cli.connection import with_client
from penstock.cli.options import DEFAULT_ADDRESS, Address, Json, Timeout

if TYPE_CHECKING:
    from penstock.cli.exits import ExitCode
    from penstock.client import AsyncClient

__all__ = ["watch"]


def watch(
    job_ids: Annotated[
        list[str], typer.Argument(metavar="JOB_ID...", help="As printed by submit.")
    ],
    *,
    timeout: Timeout = None,
    address: Address = DEFAULT_ADDRESS,
    json: Json = False,
) -> None:
    """Watch jobs live, to their ends.

    From their first event on: bars go to stderr, the output of a single job to stdout. It goes
    on over a restart of the gateway. Exit code 0 if all of them succeeded, else 1. Ctrl-C ends
    the watch, not the jobs.

    Example: penstock watch JOB_ID > answer.txt
    """

    async def work(client: "AsyncClient") -> "ExitCode":
        from penstock.cli.watching import follow_jobs

        return await follow_jobs(client, job_ids, timeout)

    raise typer.Exit(int(with_client(address, work)))
