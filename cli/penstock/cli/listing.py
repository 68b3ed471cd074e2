"""``penstock list``: the jobs of a queue."""

from typing import TYPE_CHECKING, Annotated

import typer

from penstock.cli.connection import with_client
from penstock.cli.options import DEFAULT_ADDRESS, Address, Json
from penstock.cli.output import emit, emit_text, for_people, json_wanted, show_table
from penstock.cli.states import StateName

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from penstock.client import AsyncClient, Job

__all__ = ["list_jobs"]


def list_jobs(
    *,
    queue: Annotated[
        str, typer.Option("--queue", "-q", metavar="NAME", help="The queue to list.")
    ] = "default",
    state: Annotated[
        list[StateName] | None,
        typer.Option("--state", "-s", help="Only these states; may be repeated."),
    ] = None,
    job_type: Annotated[
        str, typer.Option("--type", "-t", metavar="TYPE", help="Only this job type.")
    ] = "",
    limit: Annotated[
        int, typer.Option("--limit", "-n", min=1, metavar="N", help="At most so many jobs.")
    ] = 50,
    everything: Annotated[
        bool, typer.Option("--all", help="All of them, page after page, whatever --limit says.")
    ] = False,
    address: Address = DEFAULT_ADDRESS,
    json: Json = False,
) -> None:
    """List the jobs of a queue.

    State by state: running, queued (the next to run first), scheduled (the soonest first), then
    failed, succeeded, cancelled and expired (the newest first). Without payloads and results; jobs
    that change state meanwhile may be seen twice or not at all.

    Example: penstock list --state failed --all --json | jq -r .job_id
    """
    wanted = [name.value for name in state or []]

    async def work(client: "AsyncClient") -> bool:
        jobs = client.list(queue, states=wanted, type=job_type)
        return await _show(jobs, None if everything else limit)

    if with_client(address, work) and not json_wanted():
        for_people().print(f"[dim]only the first {limit}: --all shows all, --limit N more[/]")


async def _show(jobs: "AsyncIterator[Job]", limit: int | None) -> bool:
    """Show jobs, with --json as they arrive; return whether there are more than the limit."""
    from penstock.cli.asjson import job_json
    from penstock.cli.tables import jobs_table

    found: list[Job] = []
    more = False
    count = 0
    async for job in jobs:
        if count == limit:
            more = True
            break
        count += 1
        if json_wanted():
            emit(job_json(job))
        else:
            found.append(job)
    if not json_wanted():
        if found:
            show_table(lambda width: jobs_table(found, width))
        else:
            emit_text("no jobs")
    return more
