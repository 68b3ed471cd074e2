"""``penstock cancel``."""

from typing import TYPE_CHECKING, Annotated

import typer

from penstock.cli.connection import with_client
from penstock.cli.options import DEFAULT_ADDRESS, Address, Json
from penstock.cli.output import emit, emit_text, json_wanted

if TYPE_CHECKING:
    from penstock.client import AsyncClient, Job

__all__ = ["cancel"]


def cancel(
    job_ids: Annotated[
        list[str], typer.Argument(metavar="JOB_ID...", help="As printed by submit.")
    ],
    *,
    reason: Annotated[
        str, typer.Option("--reason", "-r", metavar="TEXT", help="For watchers and the handler.")
    ] = "",
    address: Address = DEFAULT_ADDRESS,
    json: Json = False,
) -> None:
    """Cancel jobs.

    Waiting ones end at once, running ones are asked to stop. A job that has ended stays as it
    is. Repeating it is safe.

    Example: penstock cancel JOB_ID --reason "wrong file"
    """

    async def work(client: "AsyncClient") -> None:
        for job_id in job_ids:
            _tell(await client.cancel(job_id, reason))

    with_client(address, work)


def _tell(job: "Job") -> None:
    if json_wanted():
        from penstock.cli.asjson import job_json

        emit(job_json(job))
    else:
        emit_text(f"{job.job_id} {_became(job)}")


def _became(job: "Job") -> str:
    if job.state == "CANCELLED":
        return "cancelled"
    if job.cancel_requested and not job.done:
        return f"asked to stop (see it end: penstock watch {job.job_id})"
    return f"stays as it is: {job.state.lower()}"
