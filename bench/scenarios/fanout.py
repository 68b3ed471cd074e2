"""Events delivered per second to 100 watchers of one job that streams its output."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import grpc

from bench.figures import Figure, samples
from bench.specs import spec
from penstock.v1 import job_service_pb2, job_service_pb2_grpc

if TYPE_CHECKING:
    from bench.stack import Stack

WATCHERS = 100
CHUNKS = 300


async def measure(stack: Stack, repeat: int) -> list[Figure]:
    """Chunks received by all watchers together, per second; none may be missing."""
    async with stack.worker(), grpc.aio.insecure_channel(stack.gateway) as channel:
        stub = job_service_pb2_grpc.JobServiceStub(channel)
        rates = [await _fan_out(stub) for _ in range(repeat)]
    return [Figure("fanout", f"to {WATCHERS} watchers", samples(rates), "events/s")]


async def _fan_out(stub: job_service_pb2_grpc.JobServiceAsyncStub) -> float:
    job = spec("bench.chunks", str(CHUNKS).encode())
    start = time.perf_counter()
    receipt = await stub.SubmitJob(job_service_pb2.SubmitJobRequest(job=job))
    counts = await asyncio.gather(
        *(_count_chunks(stub, receipt.job.job_id) for _ in range(WATCHERS))
    )
    if set(counts) != {CHUNKS}:
        raise RuntimeError(f"watchers saw {sorted(set(counts))} chunks instead of {CHUNKS}")
    return WATCHERS * CHUNKS / (time.perf_counter() - start)


async def _count_chunks(stub: job_service_pb2_grpc.JobServiceAsyncStub, job_id: str) -> int:
    call = stub.StreamProgress(job_service_pb2.StreamProgressRequest(job_id=job_id))
    return sum([message.HasField("chunk") async for message in call])
