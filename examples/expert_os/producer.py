"""The way into the queue: typed, and the only one that the web application has."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from examples.expert_os.tasks import QUEUE

if TYPE_CHECKING:
    from examples.expert_os.tasks import Data, TaskType
    from penstock.client import AsyncClient

__all__ = ["TaskQueue"]


class TaskQueue:
    """Puts tasks into the queue.

    Args:
        jobs: The client to use; there is one in a process.
    """

    def __init__(self, jobs: AsyncClient) -> None:
        self._jobs = jobs

    async def add_job_to_queue(
        self, type: TaskType[Data, Any], data: Data, *, request_id: str = ""
    ) -> str:
        """Stores a task to be done, and returns the id of its job.

        Data of another type does not type-check; the gateway refuses it, too, for those who look
        away, or who write in another language.

        Args:
            type: One of those in `tasks`.
            data: Of that type.
            request_id: Names the request: a repetition is the same job. '' is a new one.

        Raises:
            StatusError: It is refused, or cannot be stored now; see `AsyncClient.submit`.
        """
        job = await self._jobs.submit(
            type.name,
            data,
            queue=QUEUE,
            # It may be asked for before the first worker is up.
            allow_unregistered=True,
            request_id=request_id,
        )
        return job.job_id
