"""The jobs that the scenarios submit: 64 bytes of payload, every promise on."""

from __future__ import annotations

import uuid

from penstock.broker import Content, NewJob
from penstock.v1 import job_pb2

QUEUE = "bench"
TYPE = "bench.noop"
PAYLOAD = bytes(range(64))
CONTENT_TYPE = "application/octet-stream"


def spec(job_type: str = TYPE) -> job_pb2.JobSpec:
    """A job as a client sends it."""
    return job_pb2.JobSpec(
        type=job_type,
        queue=QUEUE,
        payload=job_pb2.Content(data=PAYLOAD, content_type=CONTENT_TYPE),
        request_id=uuid.uuid4().hex,
        options=job_pb2.JobOptions(allow_unregistered=True),
    )


def new_job() -> NewJob:
    """The same job as the gateway hands it to the broker."""
    return NewJob(
        type=TYPE,
        queue=QUEUE,
        request_id=uuid.uuid4().hex,
        payload=Content(PAYLOAD, CONTENT_TYPE),
    )
