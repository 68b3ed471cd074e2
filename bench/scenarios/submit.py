"""SubmitJob at 50 in flight, beside an empty grpc.aio call in the same seconds."""

from __future__ import annotations

from typing import TYPE_CHECKING

import grpc
from google.protobuf.empty_pb2 import Empty

from bench import bare_server
from bench.figures import Figure, ratios, samples
from bench.load import rate
from bench.specs import spec
from penstock.v1 import job_service_pb2, job_service_pb2_grpc

if TYPE_CHECKING:
    from bench.stack import Stack

IN_FLIGHT = 50
SECONDS = 0.5
#: Short slices in turns: what else the machine does weighs on both alike.
SLICES = 5
RATIO_FLOOR = 0.6


async def measure(stack: Stack, repeat: int) -> list[Figure]:
    """Rates of both, taken in turns, and their ratio."""
    submits, empties = [], []
    async with (
        grpc.aio.insecure_channel(stack.gateway) as gateway,
        grpc.aio.insecure_channel(stack.bare) as bare,
    ):
        jobs = job_service_pb2_grpc.JobServiceStub(gateway)
        empty = bare.unary_unary(
            bare_server.METHOD,
            request_serializer=Empty.SerializeToString,
            response_deserializer=Empty.FromString,
        )
        nothing = Empty()
        for _ in range(repeat * SLICES):
            empties.append(await rate(lambda: empty(nothing), in_flight=IN_FLIGHT, seconds=SECONDS))
            submits.append(
                await rate(
                    lambda: jobs.SubmitJob(job_service_pb2.SubmitJobRequest(job=spec())),
                    in_flight=IN_FLIGHT,
                    seconds=SECONDS,
                )
            )
    return [
        Figure("submit", "empty grpc.aio call", samples(empties), "calls/s"),
        Figure("submit", "SubmitJob", samples(submits), "jobs/s"),
        Figure(
            "submit", "SubmitJob / empty call", ratios(submits, empties), "", at_least=RATIO_FLOOR
        ),
    ]
