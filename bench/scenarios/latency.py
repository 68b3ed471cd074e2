"""From a submit to the end of its job, as its caller sees it, at low load."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import grpc

from bench.figures import Figure, percentile, samples
from bench.specs import spec
from penstock.v1 import job_service_pb2, job_service_pb2_grpc

if TYPE_CHECKING:
    from bench.stack import Stack

CALLS = 300
WARM_UP = 50
GAP_S = 0.005
P50_CEILING_MS = 4.0


async def measure(stack: Stack, repeat: int) -> list[Figure]:
    """SubmitAndWatch, one job after another with a gap, until the terminal event arrives."""
    p50s, p99s = [], []
    async with stack.worker(), grpc.aio.insecure_channel(stack.gateway) as channel:
        stub = job_service_pb2_grpc.JobServiceStub(channel)
        for _ in range(WARM_UP):
            await _round_trip_ms(stub)
        for _ in range(repeat):
            spans = [await _round_trip_ms(stub) for _ in range(CALLS)]
            p50s.append(percentile(spans, 0.5))
            p99s.append(percentile(spans, 0.99))
    return [
        Figure("latency", "submit to done, p50", samples(p50s), "ms", at_most=P50_CEILING_MS),
        Figure("latency", "submit to done, p99", samples(p99s), "ms"),
    ]


async def _round_trip_ms(stub: job_service_pb2_grpc.JobServiceAsyncStub) -> float:
    await asyncio.sleep(GAP_S)
    start = end = time.perf_counter()
    call = stub.SubmitAndWatch(job_service_pb2.SubmitAndWatchRequest(job=spec()))
    async for _ in call:
        # The last message is the terminal event; the end of the stream comes right behind it.
        end = time.perf_counter()
    return (end - start) * 1000
