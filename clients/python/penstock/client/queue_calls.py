"""What those who run queues ask of a gateway."""

from __future__ import annotations

from typing import TYPE_CHECKING

from penstock.client.from_wire import queue_of, queue_stats_of, worker_of
from penstock.client.job import JobState
from penstock.client.to_wire import duration_of
from penstock.client.wire_names import wire_name
from penstock.v1 import queue_service_pb2 as pb

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from penstock.client.queue import Queue, QueueStats, WorkerInfo
    from penstock.client.rpc import Rpc
    from penstock.client.spans import Span


class AsyncQueueCalls:
    """The part of `AsyncClient` that is about queues.

    Every method raises StatusError, most likely NotFound: a queue that was never submitted to, nor
    served by a worker. ``rpc_timeout`` is the time for all tries of a call together, in seconds;
    None is the client's own.
    """

    _rpc: Rpc

    async def queues(self, *, rpc_timeout: float | None = None) -> tuple[Queue, ...]:
        """All queues, by name."""
        method = self._rpc.stubs.queues.ListQueues
        answer = await self._rpc.call(method, pb.ListQueuesRequest(), rpc_timeout)
        return tuple(map(queue_of, answer.queues))

    async def queue_stats(
        self, queue: str = "default", *, rpc_timeout: float | None = None
    ) -> QueueStats:
        """The counts of a queue."""
        method = self._rpc.stubs.queues.GetQueueStats
        request = pb.GetQueueStatsRequest(queue=queue)
        return queue_stats_of(await self._rpc.call(method, request, rpc_timeout))

    async def pause_queue(
        self, queue: str = "default", *, rpc_timeout: float | None = None
    ) -> Queue:
        """Stops grants: running jobs go on, submits are accepted. Returns the queue."""
        method = self._rpc.stubs.queues.PauseQueue
        request = pb.PauseQueueRequest(queue=queue)
        return queue_of((await self._rpc.call(method, request, rpc_timeout)).queue)

    async def resume_queue(
        self, queue: str = "default", *, rpc_timeout: float | None = None
    ) -> Queue:
        """Undoes pause_queue(). Returns the queue."""
        method = self._rpc.stubs.queues.ResumeQueue
        request = pb.ResumeQueueRequest(queue=queue)
        return queue_of((await self._rpc.call(method, request, rpc_timeout)).queue)

    async def purge_queue(
        self,
        queue: str,
        *,
        on_progress: Callable[[int], object] | None = None,
        rpc_timeout: float | None = None,
    ) -> int:
        """Cancels all jobs that wait, QUEUED and SCHEDULED, in as many calls as that takes.

        Args:
            queue: to purge.
            on_progress: called with the number of jobs cancelled so far.
            rpc_timeout: of each call.

        Returns:
            How many jobs were cancelled; fewer than there were, if a call had to be repeated.
        """
        cancelled, more = 0, True
        while more:
            method = self._rpc.stubs.queues.PurgeQueue
            answer = await self._rpc.call(method, pb.PurgeQueueRequest(queue=queue), rpc_timeout)
            cancelled, more = cancelled + answer.cancelled, answer.more
            if on_progress is not None:
                on_progress(cancelled)
        return cancelled

    async def clean_queue(
        self,
        queue: str,
        states: Iterable[JobState | str],
        *,
        older_than: Span = 0,
        type: str = "",
        on_progress: Callable[[int], object] | None = None,
        rpc_timeout: float | None = None,
    ) -> int:
        """Removes jobs that have ended, with their results, in as many calls as that takes.

        Args:
            queue: to clean.
            states: of the jobs: SUCCEEDED, FAILED, CANCELLED, EXPIRED.
            older_than: how long ago they ended at least; 0 is all of them.
            type: of the jobs; '' is all.
            on_progress: called with the number of jobs removed so far.
            rpc_timeout: of each call.

        Returns:
            How many jobs were removed; fewer than there were, if a call had to be repeated.

        Raises:
            InvalidRequest: no state is given, or one in which jobs have not ended.
        """
        request = pb.CleanQueueRequest(
            queue=queue,
            states=[wire_name(JobState(state)) for state in states],
            older_than=duration_of(older_than),
            type=type,
        )
        removed = 0
        while True:
            method = self._rpc.stubs.queues.CleanQueue
            answer = await self._rpc.call(method, request, rpc_timeout)
            removed, request.page_token = removed + answer.removed, answer.next_page_token
            if on_progress is not None:
                on_progress(removed)
            if not request.page_token:
                return removed

    async def redrive(
        self,
        queue: str,
        *,
        type: str = "",
        on_progress: Callable[[int], object] | None = None,
        rpc_timeout: float | None = None,
    ) -> int:
        """Makes a new job from each dead letter that was not redriven before, in bounded calls.

        For as long as the new job is kept, repeating it makes no second one.

        Args:
            queue: whose dead letters are run anew.
            type: of the jobs; '' is all.
            on_progress: called with the number of jobs made so far.
            rpc_timeout: of each call.

        Returns:
            How many jobs were made.
        """
        redriven, token = 0, ""
        while True:
            method = self._rpc.stubs.queues.RedriveDeadLetters
            request = pb.RedriveDeadLettersRequest(queue=queue, type=type, page_token=token)
            answer = await self._rpc.call(method, request, rpc_timeout)
            redriven, token = redriven + answer.redriven, answer.next_page_token
            if on_progress is not None:
                on_progress(redriven)
            if not token:
                return redriven

    async def workers(
        self, queue: str = "", *, rpc_timeout: float | None = None
    ) -> tuple[WorkerInfo, ...]:
        """Worker processes seen lately, by id; those of one queue, if it is given."""
        method = self._rpc.stubs.queues.ListWorkers
        answer = await self._rpc.call(method, pb.ListWorkersRequest(queue=queue), rpc_timeout)
        return tuple(map(worker_of, answer.workers))
