"""``penstock status``: one job, or several, as they stand."""

import asyncio
from typing import TYPE_CHECKING, Annotated

import typer

from penstock.cli.connection import with_client
from penstock.cli.options import DEFAULT_ADDRESS, Address, Json
from penstock.cli.output import emit, emit_text, json_wanted, show_table

if TYPE_CHECKING:
    from penstock.client import AsyncClient, Job

__all__ = ["show_job", "status"]


def status(
    job_ids: Annotated[
        list[str], typer.Argument(metavar="JOB_ID...", help="As printed by submit.")
    ],
    *,
    payload: Annotated[bool, typer.Option("--payload", help="Show the payload, too.")] = False,
    address: Address = DEFAULT_ADDRESS,
    json: Json = False,
) -> None:
    """Show jobs as they stand.

    Example: penstock status JOB_ID --json | jq .result
    """

    async def work(client: "AsyncClient") -> "list[Job]":
        return await asyncio.gather(
            *(
                client.status(job_id, include_payload=payload, include_result=True)
                for job_id in job_ids
            )
        )

    for number, job in enumerate(with_client(address, work)):
        if number and not json_wanted():
            emit_text("")
        show_job(job)


def show_job(job: "Job") -> None:
    """Show a job in full."""
    if json_wanted():
        from penstock.cli.asjson import job_json

        emit(job_json(job))
    else:
        from penstock.cli.tables import job_details

        show_table(lambda _width: job_details(job))
