"""SubmitJobs, 1,000 jobs a call, beside the same script pipelined straight to the server."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import grpc

from bench.figures import Figure, ratios, samples
from bench.load import rate
from bench.specs import new_job, spec
from penstock.broker import Broker
from penstock.v1 import job_service_pb2, job_service_pb2_grpc

if TYPE_CHECKING:
    from bench.stack import Stack

BATCH = 1_000
IN_FLIGHT = 4
SECONDS = 1.5
RAW_JOBS = 20_000
RATIO_FLOOR = 0.25
RATE_FLOOR = 30_000
BUDGET_S = 5.0


async def measure(stack: Stack, repeat: int) -> list[Figure]:
    """Rates of both, taken in turns, and their ratio."""
    batches, raws = [], []
    async with (
        grpc.aio.insecure_channel(stack.gateway) as channel,
        Broker(stack.redis_url) as broker,
    ):
        stub = job_service_pb2_grpc.JobServiceStub(channel)

        async def submit_batch() -> None:
            answer = await stub.SubmitJobs(
                job_service_pb2.SubmitJobsRequest(jobs=[spec() for _ in range(BATCH)])
            )
            if any(result.HasField("error") for result in answer.results):
                raise RuntimeError(str(answer.results[0]))

        for _ in range(repeat):
            raws.append(await _raw(broker))
            batches.append(BATCH * await rate(submit_batch, in_flight=IN_FLIGHT, seconds=SECONDS))
    return [
        Figure("batch", "pipelined EVALSHA of submit", samples(raws), "jobs/s"),
        Figure(
            "batch",
            "SubmitJobs",
            samples(batches),
            "jobs/s",
            at_least=RATE_FLOOR,
            or_else="SubmitJobs / EVALSHA",
        ),
        Figure(
            "batch",
            "SubmitJobs / EVALSHA",
            ratios(batches, raws),
            "",
            at_least=RATIO_FLOOR,
            or_else="SubmitJobs",
        ),
    ]


async def _raw(broker: Broker) -> float:
    """Jobs per second of the bare script: packed beforehand, sent in one go, replies counted."""
    calls = [await broker.preparer.prepare(new_job(), BUDGET_S) for _ in range(RAW_JOBS)]
    start = time.perf_counter()
    flights = [script.run(broker.link, [slot.base], args) for slot, script, args in calls]
    for flight in flights:
        await flight
    return RAW_JOBS / (time.perf_counter() - start)
