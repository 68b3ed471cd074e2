"""What those who run queues decide of the jobs in them, as they ask it of a gateway."""

from __future__ import annotations

from typing import TYPE_CHECKING

from penstock.client.policy import Keep, Policy
from penstock.client.policy_wire import effective_policy_of, policy_to_wire, queue_policy_of
from penstock.v1 import queue_service_pb2 as pb

if TYPE_CHECKING:
    from penstock.client.job import Priority
    from penstock.client.new_job import Backoff
    from penstock.client.policy import EffectivePolicy, QueuePolicy
    from penstock.client.rpc import Rpc
    from penstock.client.spans import Span

_ANY = Keep()


class AsyncPolicyCalls:
    """The part of `AsyncClient` that is about policies.

    Every method raises StatusError. ``rpc_timeout`` is the time for all tries of a call together,
    in seconds; None is the client's own.
    """

    _rpc: Rpc

    async def set_queue_policy(
        self,
        queue: str,
        type: str = "",
        *,
        max_attempts: int | None = None,
        backoff: Backoff | None = None,
        timeout: Span | None = None,  # noqa: ASYNC109 - the jobs' own, no time for this call.
        priority: Priority | str | None = None,
        concurrency: int | None = None,
        max_waiting: int | None = None,
        succeeded: Keep = _ANY,
        failed: Keep = _ANY,
        rpc_timeout: float | None = None,
    ) -> QueuePolicy:
        """Puts a policy down, in place of the whole one that was set for the same before.

        Once it returns, the gateway that answered applies it to every submit, and the others do
        within 1 s. Jobs that were submitted before keep what they have; what is counted
        (concurrency, and kept jobs) holds for them, too.

        Args:
            queue: that it is for; a new one comes to be.
            type: of the jobs that it is for; '' is all types of the queue.
            max_attempts: failed attempts after which a job is a dead letter, 1 to 100; None, as for
                all that follows, leaves it open.
            backoff: pauses between attempts.
            timeout: of one attempt, up to 24 h.
            priority: within the queue.
            concurrency: how many run at once, over the whole fleet: 1 to 100,000, and no less than
                the queue has partitions. The limits of a queue and of a type in it both hold.
            max_waiting: how many jobs may wait before submits are refused with ResourceExhausted,
                1 to 1,000,000,000; of a queue, not of a type. None is the setting of the gateways.
            succeeded: how jobs are kept that SUCCEEDED.
            failed: how jobs are kept that are FAILED, CANCELLED or EXPIRED.
            rpc_timeout: for all tries together, in seconds.

        Raises:
            TypeError: an argument is of a type that it does not take.
            InvalidRequest: a field breaks a rule.
            ResourceExhausted: there are 1,000 policies, or 100 for types of the queue.
        """
        policy = Policy(
            max_attempts=max_attempts,
            backoff=backoff,
            timeout=timeout,
            priority=priority,
            concurrency=concurrency,
            max_waiting=max_waiting,
            succeeded=succeeded,
            failed=failed,
        )
        request = pb.SetQueuePolicyRequest(queue=queue, type=type, policy=policy_to_wire(policy))
        method = self._rpc.stubs.queues.SetQueuePolicy
        return queue_policy_of((await self._rpc.call(method, request, rpc_timeout)).policy)

    async def queue_policy(
        self, queue: str = "default", type: str = "", *, rpc_timeout: float | None = None
    ) -> EffectivePolicy:
        """What holds for the jobs of a queue, or of one type in it, and where it comes from.

        A queue or type without a policy has an empty one.
        """
        request = pb.GetQueuePolicyRequest(queue=queue, type=type)
        method = self._rpc.stubs.queues.GetQueuePolicy
        return effective_policy_of(await self._rpc.call(method, request, rpc_timeout))

    async def queue_policies(
        self, queue: str = "", *, rpc_timeout: float | None = None
    ) -> tuple[QueuePolicy, ...]:
        """All policies that were put down, by queue and type; those of one queue, if it is given.

        Where one was set and the file has one, too, both are among them.
        """
        request = pb.ListQueuePoliciesRequest(queue=queue)
        method = self._rpc.stubs.queues.ListQueuePolicies
        answer = await self._rpc.call(method, request, rpc_timeout)
        return tuple(map(queue_policy_of, answer.policies))

    async def delete_queue_policy(
        self, queue: str, type: str = "", *, rpc_timeout: float | None = None
    ) -> bool:
        """Takes back what set_queue_policy() put down: whether there was anything.

        What the policy file of the gateways says of that queue and type holds again.
        """
        request = pb.DeleteQueuePolicyRequest(queue=queue, type=type)
        method = self._rpc.stubs.queues.DeleteQueuePolicy
        return (await self._rpc.call(method, request, rpc_timeout)).deleted
