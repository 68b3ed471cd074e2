"""``penstock retry``."""

from typing import TYPE_CHECKING, Annotated

import typer

from penstock.cli.connection import with_client
from penstock.cli.options import DEFAULT_ADDRESS, Address, Json
from penstock.cli.output import emit, emit_text, json_wanted

if TYPE_CHECKING:
    from penstock.client import AsyncClient, AsyncJobHandle

__all__ = ["retry"]


def retry(
    job_ids: Annotated[list[str], typer.Argument(metavar="JOB_ID...", help="Of ended jobs.")],
    *,
    address: Address = DEFAULT_ADDRESS,
    json: Json = False,
) -> None:
    """Run ended jobs anew.

    Each that is failed, cancelled or expired becomes a new job, whose id is printed. All dead
    letters of a queue at once: penstock queues redrive NAME.

    Example: penstock watch $(penstock retry JOB_ID)
    """

    async def work(client: "AsyncClient") -> None:
        for job_id in job_ids:
            _tell(await client.retry(job_id), job_id)

    with_client(address, work)


def _tell(handle: "AsyncJobHandle", retried_from: str) -> None:
    if json_wanted() and handle.submitted is not None:
        from penstock.cli.asjson import submitted_json

        emit({**submitted_json(handle.submitted), "retried_from": retried_from})
    else:
        emit_text(handle.job_id)
