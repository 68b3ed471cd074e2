"""Between the contract and the broker: submits, and what they are answered with. As `convert`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, cast

from penstock.broker import NewJob, SubmitOutcome
from penstock.server import cache_convert
from penstock.server.convert import (
    DEFAULT_QUEUE,
    STATE_OUT,
    backoff_of,
    content_of,
    content_out,
    durability_out,
    priority_of,
)
from penstock.server.validation import duration_ms, timestamp_ms
from penstock.v1 import job_pb2, job_service_pb2

if TYPE_CHECKING:
    from penstock.broker import Durability, Submitted
    from penstock.server.errors import Fault

_OUTCOME_OUT: Final = cast(
    "dict[SubmitOutcome, job_service_pb2.SubmitOutcome]",
    {o: job_service_pb2.SubmitOutcome.Value(f"SUBMIT_OUTCOME_{o.name}") for o in SubmitOutcome},
)


def new_job(spec: job_pb2.JobSpec, request_id: str) -> NewJob:
    """The submit that a validated spec asks for.

    A cache policy without a key still needs that of its payload: see `cache_convert.work_of`.
    """
    queue = spec.queue or DEFAULT_QUEUE
    if not spec.HasField("options"):
        return NewJob(spec.type, queue, request_id, content_of(spec.payload))
    options = spec.options
    fields: dict[str, Any] = {}
    if options.HasField("delay"):
        fields["delay_ms"] = duration_ms(options.delay)
    elif options.HasField("run_at"):
        fields["run_at_ms"] = timestamp_ms(options.run_at)
    if options.HasField("expires_in"):
        fields["expires_in_ms"] = duration_ms(options.expires_in)
    elif options.HasField("deadline"):
        fields["deadline_ms"] = timestamp_ms(options.deadline)
    if options.HasField("backoff"):
        fields["backoff"] = backoff_of(options.backoff)
    if options.HasField("timeout"):
        fields["timeout_ms"] = duration_ms(options.timeout)
    if options.HasField("retention"):
        fields["retention_ms"] = duration_ms(options.retention)
    if options.HasField("cache"):
        fields["cache"] = cache_convert.policy(options)
    return NewJob(
        spec.type,
        queue,
        request_id,
        content_of(spec.payload),
        priority_of(options.priority),
        max_attempts=options.max_attempts or None,
        idempotency_key=options.idempotency_key,
        metadata=dict(options.metadata),
        **fields,
    )


def submitted(receipt: Submitted, durability: Durability) -> job_service_pb2.SubmittedJob:
    """A receipt."""
    return job_service_pb2.SubmittedJob(
        job_id=receipt.job_id,
        state=STATE_OUT[receipt.state] if receipt.state else job_pb2.JOB_STATE_UNSPECIFIED,
        outcome=_OUTCOME_OUT[receipt.outcome],
        durability=durability_out(durability),
        result=content_out(receipt.result),
    )


def submit_error(fault: Fault) -> job_service_pb2.SubmitError:
    """What one item of a batch is answered with instead of a receipt."""
    return job_service_pb2.SubmitError(
        code=fault.number, message=fault.message, details=fault.packed()
    )
