"""Between the client's own types and the generated ones: what is of schedules."""

from __future__ import annotations

from typing import TYPE_CHECKING

from penstock.client.content import Content
from penstock.client.errors import ResultMismatch
from penstock.client.from_wire import backoff_from, span_in, time_of
from penstock.client.job import Priority
from penstock.client.new_job import NewJob
from penstock.client.schedule import CatchUp, Overlap, Schedule, ScheduleInfo
from penstock.client.to_wire import optional_duration, spec_of, timestamp_of
from penstock.client.wire_names import name_of, wire_name
from penstock.v1 import schedule_service_pb2 as pb

if TYPE_CHECKING:
    from datetime import datetime

    from google.protobuf.message import Message

    from penstock.v1 import job_pb2


def spec_to_wire(schedule: Schedule) -> pb.ScheduleSpec:
    """The message of a definition.

    Raises:
        InvalidRequest: the wire cannot express it.
    """
    schedule.check()
    job = spec_of(schedule.job)
    job.request_id = schedule.job.request_id  # '', unless the gateway is to refuse it.
    return pb.ScheduleSpec(
        timing=_timing_to_wire(schedule),
        job=job,
        overlap=wire_name(Overlap(schedule.overlap)),
        catch_up=pb.CatchUp(
            policy=wire_name(CatchUp(schedule.catch_up)),
            limit=schedule.catch_up_limit or 0,
            tolerance=optional_duration(schedule.tolerance),
        ),
        note=schedule.note,
    )


def timing_to_wire(schedule: Schedule) -> pb.Timing:
    """The message of a definition's timing alone. Raises InvalidRequest."""
    schedule.check()
    return _timing_to_wire(schedule)


def schedule_of(message: pb.Schedule, *, created: bool = False) -> ScheduleInfo:
    """A schedule as the gateway told it."""
    counts = message.counts
    return ScheduleInfo(
        schedule_id=message.schedule_id,
        schedule=_definition_of(message.spec),
        paused=message.paused,
        version=message.version,
        next_run_times=tuple(map(time_of, message.next_run_times)),
        last_job_id=message.last_job_id,
        last_run_time=_time(message, "last_run_time"),
        fired=counts.fired,
        triggered=counts.triggered,
        skipped=counts.skipped,
        missed=counts.missed,
        create_time=_time(message, "create_time"),
        update_time=_time(message, "update_time"),
        created=created,
        unreadable=message.unreadable,
    )


def _timing_to_wire(schedule: Schedule) -> pb.Timing:
    start, end = schedule.start_time, schedule.end_time
    cron = pb.Cron(expression=schedule.cron, time_zone=schedule.time_zone)
    return pb.Timing(
        cron=cron if schedule.cron else None,
        interval=optional_duration(schedule.every),
        start_time=None if start is None else timestamp_of(start),
        end_time=None if end is None else timestamp_of(end),
        jitter=optional_duration(schedule.jitter),
    )


def _definition_of(spec: pb.ScheduleSpec) -> Schedule:
    timing, catch_up = spec.timing, spec.catch_up
    return Schedule(
        _job_of(spec.job),
        cron=timing.cron.expression,
        time_zone=timing.cron.time_zone or "UTC",
        every=span_in(timing, "interval"),
        start_time=_time(timing, "start_time"),
        end_time=_time(timing, "end_time"),
        jitter=span_in(timing, "jitter"),
        overlap=name_of(Overlap, spec.overlap) or Overlap.SKIP,
        catch_up=name_of(CatchUp, catch_up.policy) or CatchUp.LAST,
        catch_up_limit=catch_up.limit or None,
        tolerance=span_in(catch_up, "tolerance"),
        note=spec.note,
    )


def _job_of(spec: job_pb2.JobSpec) -> NewJob:
    options = spec.options
    payload, content_type = _payload_of(spec.payload)
    return NewJob(
        spec.type,
        payload,
        queue=spec.queue,
        priority=name_of(Priority, options.priority),
        expires_in=span_in(options, "expires_in"),
        max_attempts=options.max_attempts or None,
        backoff=backoff_from(options.backoff) if options.HasField("backoff") else None,
        timeout=span_in(options, "timeout"),
        retention=span_in(options, "retention"),
        metadata=dict(options.metadata),
        allow_unregistered=options.allow_unregistered,
        content_type=content_type,
    )


def _payload_of(message: job_pb2.Content) -> tuple[object, str | None]:
    """A payload, decoded where it is JSON, and the content type of bytes."""
    content = Content(message.data, message.content_type)
    if not content.is_json:
        return content.data, content.content_type
    try:
        return (content.decode() if content.data else None), None
    except ResultMismatch:
        return content.data, content.content_type


def _time(message: Message, name: str) -> datetime | None:
    if not message.HasField(name):
        return None
    return time_of(getattr(message, name))
