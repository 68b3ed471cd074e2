"""QueueService: convert, call the broker, convert. No decision is taken here."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from penstock.server import convert, requests
from penstock.server.tokens import open_token, seal_token
from penstock.v1 import queue_service_pb2 as pb

if TYPE_CHECKING:
    from penstock.broker import Broker
    from penstock.server.calls import Call

__all__ = ["QueueService"]


class QueueService:
    """The methods of penstock.v1.QueueService; see the contract for what each promises."""

    def __init__(self, broker: Broker) -> None:
        self._queues = broker.queues
        self._registry = broker.registry

    # ruff: noqa: N802 - the methods have the names of the contract.

    async def ListQueues(self, _: pb.ListQueuesRequest, call: Call) -> pb.ListQueuesResponse:
        """All queues, by name."""
        budget_s = call.budget_s
        infos = await self._queues.all(budget_s)
        paused = await asyncio.gather(*(self._queues.paused(info.name, budget_s) for info in infos))
        return pb.ListQueuesResponse(
            queues=[
                convert.queue(info, paused=is_paused)
                for info, is_paused in zip(infos, paused, strict=True)
            ]
        )

    async def GetQueueStats(
        self, request: pb.GetQueueStatsRequest, call: Call
    ) -> pb.GetQueueStatsResponse:
        """The counts of a queue."""
        name = _named(request.queue)
        stats = await self._queues.stats(name, call.budget_s)
        return pb.GetQueueStatsResponse(
            queue=await self._queue(name, call), stats=convert.stats(stats)
        )

    async def PauseQueue(self, request: pb.PauseQueueRequest, call: Call) -> pb.PauseQueueResponse:
        """Stops grants."""
        name = _named(request.queue)
        await self._queues.pause(name, call.budget_s)
        return pb.PauseQueueResponse(queue=await self._queue(name, call))

    async def ResumeQueue(
        self, request: pb.ResumeQueueRequest, call: Call
    ) -> pb.ResumeQueueResponse:
        """Undoes PauseQueue."""
        name = _named(request.queue)
        await self._queues.resume(name, call.budget_s)
        return pb.ResumeQueueResponse(queue=await self._queue(name, call))

    async def PurgeQueue(self, request: pb.PurgeQueueRequest, call: Call) -> pb.PurgeQueueResponse:
        """Cancels waiting jobs."""
        requests.refuse_bad_queue(request.queue, required=True)
        cancelled, more = await self._queues.purge(request.queue, call.budget_s)
        return pb.PurgeQueueResponse(cancelled=cancelled, more=more)

    async def RedriveDeadLetters(
        self, request: pb.RedriveDeadLettersRequest, call: Call
    ) -> pb.RedriveDeadLettersResponse:
        """Runs dead letters anew."""
        requests.refuse_bad_redrive(request.queue, request.type)
        listing = ("dead letters", request.queue, request.type)
        redriven, position = await self._queues.redrive(
            request.queue,
            job_type=request.type,
            page_token=open_token(request.page_token, *listing),
            budget_s=call.budget_s,
        )
        return pb.RedriveDeadLettersResponse(
            redriven=redriven, next_page_token=seal_token(position, *listing)
        )

    async def ListWorkers(
        self, request: pb.ListWorkersRequest, call: Call
    ) -> pb.ListWorkersResponse:
        """Worker processes seen lately."""
        requests.refuse_bad_queue(request.queue)
        found = await self._registry.workers(request.queue, call.budget_s)
        return pb.ListWorkersResponse(workers=[convert.worker(worker) for worker in found])

    async def _queue(self, name: str, call: Call) -> pb.Queue:
        info = await self._queues.get(name, call.budget_s)
        return convert.queue(info, paused=await self._queues.paused(name, call.budget_s))


def _named(queue: str) -> str:
    requests.refuse_bad_queue(queue)
    return queue or convert.DEFAULT_QUEUE
