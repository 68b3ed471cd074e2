"""A word to those who submit into a queue that nobody serves: the job would wait in silence."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from penstock.cli.output import for_people, json_wanted
from penstock.client import PenstockError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from penstock.client import AsyncClient, WorkerInfo

__all__ = ["reason_unserved", "warn_if_unserved"]

_ASK_S: Final = 1.0


async def warn_if_unserved(client: AsyncClient, jobs: Iterable[tuple[str, str]]) -> None:
    """Warn of jobs that no worker would run now. Best effort: a submit never fails for this.

    Args:
        client: Connected.
        jobs: The queue that each waits in, and its type.
    """
    if json_wanted():  # Which promises that stderr holds nothing but errors.
        return
    try:
        workers = await client.workers(rpc_timeout=_ASK_S)
    except PenstockError:
        return
    reasons = (reason_unserved(workers, queue, job_type) for queue, job_type in jobs)
    for reason in dict.fromkeys(filter(None, reasons)):
        console = for_people()
        console.print("[yellow]warning[/]:", end=" ")
        console.print(reason, soft_wrap=True, markup=False)


def reason_unserved(workers: Iterable[WorkerInfo], queue: str, job_type: str) -> str:
    """Return why nobody runs such a job now, and what would; an empty text if somebody does."""
    live = [worker for worker in workers if not worker.draining]
    if not live:
        return (
            f"no worker serves queue {queue} now; start one with: "
            f"penstock worker MODULE:APP --queue {queue}"
        )
    serving = [worker for worker in live if queue in worker.queues]
    if not serving:
        names = ", ".join(sorted({name for worker in live for name in worker.queues}))
        return f"no worker serves queue {queue} now; workers serve: {names}"
    types = sorted({name for worker in serving for name in worker.types})
    if job_type not in types:
        return f"no worker of queue {queue} handles {job_type}; they handle: {', '.join(types)}"
    return ""
