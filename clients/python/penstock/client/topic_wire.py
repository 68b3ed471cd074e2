"""Between the client's own types and the generated ones: what is of topics."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import pydantic

from penstock.client.errors import InvalidRequest, Status, Violation
from penstock.client.from_wire import backoff_from, submitted_of, time_of
from penstock.client.job import Priority
from penstock.client.new_job import NewJob
from penstock.client.to_wire import new_request_id, spec_of, timestamp_of
from penstock.client.topic import Published, PublishedJob, Subscription, TopicRule
from penstock.client.wire_names import name_of, wire_name
from penstock.v1 import topic_service_pb2 as pb

if TYPE_CHECKING:
    from datetime import datetime

    from penstock.client.new_job import Backoff
    from penstock.client.spans import Span
    from penstock.v1 import job_pb2


def request_of(
    topic: str,
    payload: object,
    *,
    message_id: str,
    priority: Priority | str | None,
    delay: Span | None,
    attempts: int | None,
    source: str,
    time: datetime | None,
    metadata: Mapping[str, str] | None,
    content_type: str | None,
) -> pb.PublishRequest:
    """The message of a publish, under a random id if it has none.

    Raises:
        InvalidRequest: the wire cannot express it.
    """
    spec = _checked(
        "",
        payload=payload,
        content_type=content_type,
        priority=priority or Priority.DEFAULT,
        delay=delay,
        deadline=time,
        max_attempts=attempts,
        metadata=metadata or {},
    )
    options = spec.options
    return pb.PublishRequest(
        topic=topic,
        payload=spec.payload,
        message_id=message_id or new_request_id(),
        source=source,
        time=timestamp_of(time) if time else None,
        priority=_priority(priority),
        delay=options.delay if options.HasField("delay") else None,
        max_attempts=options.max_attempts,
        metadata=options.metadata,
    )


def published_of(topic: str, message: pb.PublishResponse) -> Published:
    """The receipt of a publish."""
    jobs = tuple(
        PublishedJob(each.subscription, each.queue, submitted_of(each.job, message.message_id))
        for each in message.jobs
    )
    return Published(message.message_id, topic, jobs)


def subscription_to_wire(
    name: str, pattern: str, queue: str, priority: Priority | str | None, attempts: int | None
) -> pb.Subscription:
    """A subscription to make. Raises InvalidRequest as `request_of`."""
    spec = _checked(
        "subscription.",
        queue=queue,
        priority=priority or Priority.DEFAULT,
        max_attempts=attempts,
    )
    return pb.Subscription(
        name=name,
        pattern=pattern,
        queue=queue,
        priority=_priority(priority),
        max_attempts=spec.options.max_attempts,
    )


def rule_to_wire(
    pattern: str,
    *,
    queue: str,
    priority: Priority | str | None,
    attempts: int | None,
    backoff: Backoff | None,
    retention: Span | None,
    schema: Any,  # noqa: ANN401 - any type that pydantic takes.
) -> pb.TopicRule:
    """A rule to make. Raises InvalidRequest as `request_of`."""
    spec = _checked(
        "rule.",
        queue=queue,
        priority=priority or Priority.DEFAULT,
        max_attempts=attempts,
        backoff=backoff,
        retention=retention,
    )
    options = spec.options
    return pb.TopicRule(
        pattern=pattern,
        queue=queue,
        priority=_priority(priority),
        max_attempts=options.max_attempts,
        backoff=options.backoff if options.HasField("backoff") else None,
        retention=options.retention if options.HasField("retention") else None,
        json_schema=_schema_text(schema),
    )


def subscription_of(message: pb.Subscription) -> Subscription:
    """A subscription as it is stored."""
    return Subscription(
        name=message.name,
        pattern=message.pattern,
        queue=message.queue,
        priority=name_of(Priority, message.priority),
        attempts=message.max_attempts or None,
        create_time=time_of(message.create_time) if message.HasField("create_time") else None,
    )


def rule_of(message: pb.TopicRule) -> TopicRule:
    """A rule as it is stored."""
    has = message.HasField
    return TopicRule(
        pattern=message.pattern,
        queue=message.queue,
        priority=name_of(Priority, message.priority),
        attempts=message.max_attempts or None,
        backoff=backoff_from(message.backoff) if has("backoff") else None,
        retention=message.retention.ToTimedelta() if has("retention") else None,
        schema=json.loads(message.json_schema) if message.json_schema else None,
        create_time=time_of(message.create_time) if has("create_time") else None,
    )


def _checked(where: str, **options: Any) -> job_pb2.JobSpec:  # noqa: ANN401 - the fields of NewJob.
    """What is the same for jobs, checked as theirs; violations name the fields of this request."""
    try:
        return spec_of(NewJob("message", **options))
    except InvalidRequest as error:
        broken = tuple(
            Violation(_renamed(each.field, where), each.description) for each in error.violations
        )
        text = "; ".join(map(str, broken))
        raise InvalidRequest(Status("INVALID_ARGUMENT", text, violations=broken)) from None


def _renamed(field: str, where: str) -> str:
    name = field.removeprefix("job.").removeprefix("options.")
    return where + ("time" if name == "deadline" else name)


def _priority(priority: Priority | str | None) -> str | None:
    return None if priority is None else wire_name(Priority(priority))


def _schema_text(schema: Any) -> str:  # noqa: ANN401 - any type that pydantic takes.
    if schema is None:
        return ""
    if not isinstance(schema, Mapping):
        schema = pydantic.TypeAdapter(schema).json_schema()
    return json.dumps(schema)
