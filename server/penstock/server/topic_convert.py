"""Between the contract and the broker, as `convert`: what is of topics.

Requests come in here validated; nothing in this module refuses anything.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from penstock.broker import Message, NewMessage, Subscription, TopicRule
from penstock.server.convert import (
    backoff_of,
    backoff_out,
    content_of,
    priority_of,
    priority_out,
    span_of,
    time_of,
)
from penstock.server.submit_convert import submitted
from penstock.server.validation import duration_ms, timestamp_ms
from penstock.v1 import topic_service_pb2 as pb

if TYPE_CHECKING:
    from collections.abc import Iterable

    from penstock.broker import Durability, Published

# From the contract.


def new_message(request: pb.PublishRequest, message_id: str) -> NewMessage:
    """The message that a validated request asks to publish."""
    has_time = request.HasField("time")
    time_ms = timestamp_ms(request.time) if has_time else time.time_ns() // 1_000_000
    return NewMessage(
        Message(message_id, request.topic, time_ms, request.source),
        content_of(request.payload),
        priority_of(request.priority),
        duration_ms(request.delay) if request.HasField("delay") else None,
        request.max_attempts or None,
        dict(request.metadata),
    )


def new_subscription(subscription: pb.Subscription) -> Subscription:
    """The subscription that a validated request asks for."""
    return Subscription(
        subscription.name,
        subscription.pattern,
        subscription.queue,
        priority_of(subscription.priority),
        subscription.max_attempts or None,
    )


def new_rule(rule: pb.TopicRule) -> TopicRule:
    """The rule that a validated request asks for."""
    return TopicRule(
        rule.pattern,
        rule.queue,
        priority_of(rule.priority),
        rule.max_attempts or None,
        backoff_of(rule.backoff) if rule.HasField("backoff") else None,
        duration_ms(rule.retention) if rule.HasField("retention") else None,
        rule.json_schema,
    )


# To the contract.


def published(
    message_id: str, jobs: Iterable[Published], durability: Durability
) -> pb.PublishResponse:
    """Who got the message."""
    return pb.PublishResponse(
        message_id=message_id,
        jobs=[
            pb.PublishedJob(
                subscription=each.subscription,
                queue=each.queue,
                job=submitted(each.receipt, durability),
            )
            for each in jobs
        ],
    )


def subscription(found: Subscription) -> pb.Subscription:
    """A subscription as it is stored."""
    return pb.Subscription(
        name=found.name,
        pattern=found.pattern,
        queue=found.queue,
        priority=priority_out(found.priority),
        max_attempts=found.max_attempts or 0,
        create_time=time_of(found.created_ms),
    )


def rule(found: TopicRule) -> pb.TopicRule:
    """A rule as it is stored."""
    return pb.TopicRule(
        pattern=found.pattern,
        queue=found.queue,
        priority=priority_out(found.priority),
        max_attempts=found.max_attempts or 0,
        backoff=backoff_out(found.backoff) if found.backoff else None,
        retention=span_of(found.retention_ms),
        json_schema=found.schema,
        create_time=time_of(found.created_ms),
    )
