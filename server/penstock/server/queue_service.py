"""QueueService: convert, call the broker, convert. No decision is taken here."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from penstock.server import convert, job_convert, policy_convert, queue_convert, requests
from penstock.server.tokens import open_token, seal_token
from penstock.v1 import queue_service_pb2 as pb

if TYPE_CHECKING:
    from penstock.broker import Broker
    from penstock.server.admission import Admission
    from penstock.server.calls import Call

__all__ = ["QueueService"]


class QueueService:
    """The methods of penstock.v1.QueueService; see the contract for what each promises."""

    def __init__(self, broker: Broker, admission: Admission) -> None:
        self._broker = broker
        self._admission = admission
        self._queues = broker.queues
        self._registry = broker.registry
        self._policies = broker.policies

    # ruff: noqa: N802 - the methods have the names of the contract.

    async def ListQueues(self, _: pb.ListQueuesRequest, call: Call) -> pb.ListQueuesResponse:
        """All queues, by name."""
        budget_s = call.budget_s
        infos = await self._queues.all(budget_s)
        paused = await asyncio.gather(*(self._queues.paused(info.name, budget_s) for info in infos))
        return pb.ListQueuesResponse(
            queues=[
                queue_convert.queue(info, paused=is_paused)
                for info, is_paused in zip(infos, paused, strict=True)
            ]
        )

    async def GetQueueStats(
        self, request: pb.GetQueueStatsRequest, call: Call
    ) -> pb.GetQueueStatsResponse:
        """The counts of a queue."""
        name = _named(request.queue)
        stats = await self._queues.stats(name, call.budget_s)
        await self._policies.refresh(call.budget_s)
        running = self._policies.concurrency(name)
        reached = self._broker.durability_reached
        return pb.GetQueueStatsResponse(
            queue=await self._queue(name, call),
            stats=queue_convert.stats(stats),
            limits=policy_convert.limits(running, stats),
            durability=convert.durability_out(self._broker.durability),
            durability_reached=None if reached is None else convert.durability_out(reached),
            max_waiting=self._broker.depths.limit(name),
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

    async def CleanQueue(self, request: pb.CleanQueueRequest, call: Call) -> pb.CleanQueueResponse:
        """Removes ended jobs."""
        older_than_ms = requests.age_to_clean(request)
        states = job_convert.states(request.states)
        names = "".join(sorted(set(states)))
        listing = ("clean", request.queue, names, request.type, str(older_than_ms))
        removed, position = await self._queues.clean(
            request.queue,
            states,
            older_than_ms=older_than_ms,
            job_type=request.type,
            page_token=open_token(request.page_token, *listing),
            budget_s=call.budget_s,
        )
        return pb.CleanQueueResponse(
            removed=removed, next_page_token=seal_token(position, *listing)
        )

    async def RedriveDeadLetters(
        self, request: pb.RedriveDeadLettersRequest, call: Call
    ) -> pb.RedriveDeadLettersResponse:
        """Runs dead letters anew."""
        requests.refuse_bad_redrive(request.queue, request.type)
        self._admission.check_room()
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
        return pb.ListWorkersResponse(workers=[queue_convert.worker(worker) for worker in found])

    async def SetQueuePolicy(
        self, request: pb.SetQueuePolicyRequest, call: Call
    ) -> pb.SetQueuePolicyResponse:
        """Puts a policy down."""
        requests.refuse_bad_policy(request)
        policy = policy_convert.policy(request.policy)
        entry = await self._policies.put(policy_convert.key(request), policy, call.budget_s)
        return pb.SetQueuePolicyResponse(policy=policy_convert.entry(entry))

    async def GetQueuePolicy(
        self, request: pb.GetQueuePolicyRequest, call: Call
    ) -> pb.GetQueuePolicyResponse:
        """What holds."""
        requests.refuse_bad_kind(request.queue, request.type)
        queue = request.queue or convert.DEFAULT_QUEUE
        await self._policies.refresh(call.budget_s)
        return pb.GetQueuePolicyResponse(
            effective=policy_convert.policy_out(self._policies.effective(queue, request.type)),
            policies=map(policy_convert.entry, self._policies.sources(queue, request.type)),
        )

    async def ListQueuePolicies(
        self, request: pb.ListQueuePoliciesRequest, call: Call
    ) -> pb.ListQueuePoliciesResponse:
        """All policies."""
        requests.refuse_bad_queue(request.queue)
        await self._policies.refresh(call.budget_s)
        return pb.ListQueuePoliciesResponse(
            policies=map(policy_convert.entry, self._policies.entries(request.queue))
        )

    async def DeleteQueuePolicy(
        self, request: pb.DeleteQueuePolicyRequest, call: Call
    ) -> pb.DeleteQueuePolicyResponse:
        """Takes a policy back."""
        requests.refuse_bad_kind(request.queue, request.type, required=True)
        deleted = await self._policies.delete(policy_convert.key(request), call.budget_s)
        return pb.DeleteQueuePolicyResponse(deleted=deleted)

    async def _queue(self, name: str, call: Call) -> pb.Queue:
        info = await self._queues.get(name, call.budget_s)
        return queue_convert.queue(info, paused=await self._queues.paused(name, call.budget_s))


def _named(queue: str) -> str:
    requests.refuse_bad_queue(queue)
    return queue or convert.DEFAULT_QUEUE
