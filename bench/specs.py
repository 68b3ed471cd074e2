"""The jobs that the scenarios submit: 64 bytes of JSON, validated, every promise on."""

from __future__ import annotations

import uuid

from penstock.broker import Content, NewJob
from penstock.v1 import job_pb2

QUEUE = "bench"
TYPE = "bench.noop"
PAYLOAD = b'{"order":1234567,"customer":"c-000042","items":[10,20,30,40,50]}'


def spec(job_type: str = TYPE, payload: bytes = PAYLOAD) -> job_pb2.JobSpec:
    """A job as a client sends it."""
    return job_pb2.JobSpec(
        type=job_type,
        queue=QUEUE,
        payload=job_pb2.Content(data=payload),
        request_id=uuid.uuid4().hex,
    )


def new_job() -> NewJob:
    """The same job as the gateway hands it to the broker."""
    return NewJob(type=TYPE, queue=QUEUE, request_id=uuid.uuid4().hex, payload=Content(PAYLOAD))
