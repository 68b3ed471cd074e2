"""The rules of TopicService's requests, as the contract states them.

What refuses raises InvalidArgument with every violation.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from penstock.broker import InvalidArgument
from penstock.broker.patterns import fault_of_pattern, fault_of_topic
from penstock.server.rule_schemas import MAX_SCHEMA_BYTES, fault_of_schema
from penstock.server.validation import (
    MAX_QUEUE,
    MAX_TYPE,
    YEAR_MS,
    Found,
    check_attempts,
    check_backoff,
    check_content,
    check_duration,
    check_key,
    check_metadata,
    check_name,
    check_priority,
    check_request_id,
    check_text,
    check_timestamp,
)

if TYPE_CHECKING:
    from penstock.v1 import topic_service_pb2 as pb

__all__ = [
    "refuse_bad_message",
    "refuse_bad_name",
    "refuse_bad_pattern",
    "refuse_bad_rule",
    "refuse_bad_subscription",
    "refuse_bad_topic",
]

MAX_SOURCE: Final = 128


def refuse_bad_message(request: pb.PublishRequest, *, max_payload: int, now_ms: int) -> None:
    """Publish, but for the schemas.

    Args:
        request: what was sent.
        max_payload: in bytes.
        now_ms: the time, in ms since the epoch.
    """
    found: Found = []
    _check_topic(found, request.topic)
    check_content(found, "payload", request.payload, max_payload)
    if request.message_id:
        check_request_id(found, "message_id", request.message_id)
    check_key(found, "source", request.source, MAX_SOURCE)
    if request.HasField("time"):
        check_timestamp(found, "time", request.time, now_ms)
    check_priority(found, "priority", request.priority)
    if request.HasField("delay"):
        check_duration(found, "delay", request.delay, 0, YEAR_MS)
    check_attempts(found, "max_attempts", request.max_attempts)
    check_metadata(found, "metadata", request.metadata)
    _refuse(found)


def refuse_bad_subscription(subscription: pb.Subscription) -> None:
    """PutSubscription."""
    found: Found = []
    check_name(found, "subscription.name", subscription.name, MAX_TYPE)
    _check_pattern(found, "subscription.pattern", subscription.pattern)
    if subscription.queue:
        check_name(found, "subscription.queue", subscription.queue, MAX_QUEUE)
    check_priority(found, "subscription.priority", subscription.priority)
    check_attempts(found, "subscription.max_attempts", subscription.max_attempts)
    _refuse(found)


def refuse_bad_rule(rule: pb.TopicRule) -> None:
    """PutTopicRule."""
    found: Found = []
    _check_pattern(found, "rule.pattern", rule.pattern)
    if rule.queue:
        check_name(found, "rule.queue", rule.queue, MAX_QUEUE)
    check_priority(found, "rule.priority", rule.priority)
    check_attempts(found, "rule.max_attempts", rule.max_attempts)
    if rule.HasField("backoff"):
        check_backoff(found, "rule.backoff", rule.backoff)
    if rule.HasField("retention"):
        check_duration(found, "rule.retention", rule.retention, 1_000, YEAR_MS)
    _check_schema(found, rule.json_schema)
    _refuse(found)


def refuse_bad_name(name: str) -> None:
    """A request that names a subscription."""
    found: Found = []
    check_name(found, "name", name, MAX_TYPE)
    _refuse(found)


def refuse_bad_pattern(pattern: str) -> None:
    """A request that names a rule by its pattern."""
    found: Found = []
    _check_pattern(found, "pattern", pattern)
    _refuse(found)


def refuse_bad_topic(topic: str) -> None:
    """A list; an empty topic is any."""
    found: Found = []
    if topic:
        _check_topic(found, topic)
    _refuse(found)


def _check_topic(found: Found, topic: str) -> None:
    fault = fault_of_topic(topic)
    if fault:
        found.append(("topic", fault))


def _check_pattern(found: Found, path: str, pattern: str) -> None:
    fault = fault_of_pattern(pattern)
    if fault:
        found.append((path, fault))


def _check_schema(found: Found, schema: str) -> None:
    if not schema:
        return
    known = len(found)
    check_text(found, "rule.json_schema", schema, MAX_SCHEMA_BYTES)
    fault = fault_of_schema(schema) if len(found) == known else None
    if fault:
        found.append(("rule.json_schema", fault))


def _refuse(found: Found) -> None:
    if found:
        raise InvalidArgument(found)
