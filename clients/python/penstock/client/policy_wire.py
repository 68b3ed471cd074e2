"""Between the client's own types and the generated ones: what is of policies."""

from __future__ import annotations

from penstock.client.from_wire import backoff_from, span_in
from penstock.client.job import Priority
from penstock.client.policy import EffectivePolicy, Keep, Policy, PolicySource, QueuePolicy
from penstock.client.to_wire import backoff_of, optional_duration
from penstock.client.wire_names import given_name_of, name_of, wire_name
from penstock.v1 import queue_service_pb2 as pb


def policy_to_wire(policy: Policy) -> pb.Policy:
    """The message of a policy.

    Raises:
        TypeError: a field is of a type that it does not take.
        InvalidRequest: the wire cannot express it.
    """
    policy.check()
    return pb.Policy(
        max_attempts=policy.max_attempts or 0,
        backoff=backoff_of(policy.backoff) if policy.backoff else None,
        timeout=optional_duration(policy.timeout),
        priority=None if policy.priority is None else wire_name(Priority(policy.priority)),
        concurrency=policy.concurrency or 0,
        max_waiting=policy.max_waiting or 0,
        succeeded=_keep_to_wire(policy.succeeded),
        failed=_keep_to_wire(policy.failed),
    )


def policy_of(message: pb.Policy) -> Policy:
    """A policy as the gateway told it."""
    return Policy(
        max_attempts=message.max_attempts or None,
        backoff=backoff_from(message.backoff) if message.HasField("backoff") else None,
        timeout=span_in(message, "timeout"),
        priority=name_of(Priority, message.priority),
        concurrency=message.concurrency or None,
        max_waiting=message.max_waiting or None,
        succeeded=_keep_of(message.succeeded),
        failed=_keep_of(message.failed),
    )


def queue_policy_of(message: pb.QueuePolicy) -> QueuePolicy:
    """A policy, what it is for, and who put it down."""
    return QueuePolicy(
        queue=message.queue,
        type=message.type,
        policy=policy_of(message.policy),
        source=given_name_of(PolicySource, message.source),
    )


def effective_policy_of(message: pb.GetQueuePolicyResponse) -> EffectivePolicy:
    """What holds, and where it comes from."""
    sources = tuple(map(queue_policy_of, message.policies))
    return EffectivePolicy(policy_of(message.effective), sources)


def _keep_to_wire(keep: Keep) -> pb.RetentionPolicy | None:
    if keep == Keep():
        return None
    return pb.RetentionPolicy(age=optional_duration(keep.age), count=keep.count)


def _keep_of(message: pb.RetentionPolicy) -> Keep:
    return Keep(
        age=span_in(message, "age"),
        count=message.count if message.HasField("count") else None,
    )
