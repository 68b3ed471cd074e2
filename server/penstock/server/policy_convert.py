"""Between the contract and the broker: policies. As `convert`, for requests that were validated."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from penstock.broker import Keep, Policy, PolicyKey, PolicySource
from penstock.server import convert
from penstock.server.validation import duration_ms
from penstock.v1 import queue_service_pb2 as pb

if TYPE_CHECKING:
    from collections.abc import Mapping

    from penstock.broker import PolicyEntry, QueueStats

_SOURCE_OUT: Final = {
    PolicySource.SET: pb.POLICY_SOURCE_SET,
    PolicySource.FILE: pb.POLICY_SOURCE_FILE,
}


def policy(message: pb.Policy) -> Policy:
    """The policy of a validated message."""
    fields: dict[str, Any] = {}
    if message.HasField("backoff"):
        fields["backoff"] = convert.backoff_of(message.backoff)
    if message.HasField("timeout"):
        fields["timeout_ms"] = duration_ms(message.timeout)
    return Policy(
        max_attempts=message.max_attempts or None,
        priority=convert.priority_of(message.priority),
        concurrency=message.concurrency or None,
        max_waiting=message.max_waiting or None,
        succeeded=_keep(message.succeeded),
        failed=_keep(message.failed),
        **fields,
    )


def key(request: pb.SetQueuePolicyRequest | pb.DeleteQueuePolicyRequest) -> PolicyKey:
    """What the policy of a request is for."""
    return PolicyKey(request.queue, request.type)


def entry(found: PolicyEntry) -> pb.QueuePolicy:
    """A policy, what it is for, and who put it down."""
    return pb.QueuePolicy(
        queue=found.key.queue,
        type=found.key.type,
        policy=policy_out(found.policy),
        source=_SOURCE_OUT[found.source],
    )


def policy_out(found: Policy) -> pb.Policy:
    """A policy, without what is not set."""
    return pb.Policy(
        max_attempts=found.max_attempts or 0,
        backoff=convert.backoff_out(found.backoff) if found.backoff else None,
        timeout=convert.span_of(found.timeout_ms),
        priority=convert.priority_out(found.priority),
        concurrency=found.concurrency or 0,
        max_waiting=found.max_waiting or 0,
        succeeded=_keep_out(found.succeeded),
        failed=_keep_out(found.failed),
    )


def limits(running: Mapping[str, int], stats: QueueStats) -> list[pb.ConcurrencyLimit]:
    """How many of a queue may run at once, and do.

    Args:
        running: limits by type; '' is all types together.
        stats: counts of the queue.
    """
    rows = []
    for name in sorted({*running, *stats.types}):
        load = stats.types.get(name)
        rows.append(
            pb.ConcurrencyLimit(
                type=name,
                concurrency=running.get(name, 0),
                running=load.running if load else stats.running if not name else 0,
                held=load.held if load else 0,
            )
        )
    return rows


def _keep(message: pb.RetentionPolicy) -> Keep:
    return Keep(
        duration_ms(message.age) if message.HasField("age") else None,
        message.count if message.HasField("count") else None,
    )


def _keep_out(keep: Keep) -> pb.RetentionPolicy | None:
    if keep == Keep():
        return None
    return pb.RetentionPolicy(age=convert.span_of(keep.age_ms), count=keep.count)
