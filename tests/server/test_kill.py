"""kill -9 of a gateway: what was acknowledged is there, and what was not can be repeated."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

import grpc

from penstock.broker import Broker, Chunk
from penstock.v1 import job_pb2, job_service_pb2_grpc, queue_service_pb2_grpc
from penstock.v1 import job_service_pb2 as pb
from penstock.v1 import queue_service_pb2 as qb
from tests.server.process import gateway_process
from tests.server.rig import next_of, refusal_of, rest_of, spec
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

OPTIONS = job_pb2.JobOptions(allow_unregistered=True)
SUBMITS = 2_000


@contextlib.asynccontextmanager
async def served(
    redis_url: str, socket: Path
) -> AsyncIterator[tuple[asyncio.subprocess.Process, grpc.aio.Channel]]:
    """A gateway in a process of its own, and a client."""
    address = f"unix:{socket}"
    async with (
        gateway_process(REDIS_URL=redis_url, PENSTOCK_LISTEN=address) as process,
        grpc.aio.insecure_channel(address) as channel,
    ):
        # The socket appears when the process listens; gRPC's own retries are slower.
        await eventually(socket.exists, "the gateway listens", within_s=20.0)
        yield process, channel


async def test_submits_survive_the_gateway_that_took_them(redis_url: str, tmp_path: Path) -> None:
    specs = [spec(options=OPTIONS, request_id=f"request-{n}") for n in range(SUBMITS)]
    acknowledged: dict[str, str] = {}
    at_once = asyncio.Semaphore(100)

    async def submit(channel: grpc.aio.Channel, job: job_pb2.JobSpec) -> None:
        jobs = job_service_pb2_grpc.JobServiceStub(channel)
        async with at_once:
            request = pb.SubmitJobRequest(job=job)
            receipt = (await jobs.SubmitJob(request, wait_for_ready=True)).job
        # A repetition is answered with the job that was acknowledged before.
        assert acknowledged.setdefault(job.request_id, receipt.job_id) == receipt.job_id

    async with served(redis_url, tmp_path / "first") as (process, channel):
        await submit(channel, specs[0])
        flights = [asyncio.ensure_future(submit(channel, job)) for job in specs]
        await eventually(lambda: len(acknowledged) > 20, "some are acknowledged")
        process.kill()
        await process.wait()
        await channel.close()
        outcomes = await asyncio.gather(*flights, return_exceptions=True)
        assert any(isinstance(outcome, Exception | asyncio.CancelledError) for outcome in outcomes)
    assert len(acknowledged) < SUBMITS
    async with served(redis_url, tmp_path / "second") as (_, channel):
        await asyncio.gather(*(submit(channel, job) for job in specs))
        assert len(set(acknowledged.values())) == SUBMITS
        queues = queue_service_pb2_grpc.QueueServiceStub(channel)
        stats = (await queues.GetQueueStats(qb.GetQueueStatsRequest())).stats
        assert stats.submitted == stats.waiting.default == SUBMITS


async def test_a_watcher_goes_on_at_another_gateway(redis_url: str, tmp_path: Path) -> None:
    async with Broker(redis_url) as broker:
        async with served(redis_url, tmp_path / "first") as (process, channel):
            jobs = job_service_pb2_grpc.JobServiceStub(channel)
            request = pb.SubmitJobRequest(job=spec(options=OPTIONS))
            job_id = (await jobs.SubmitJob(request, wait_for_ready=True)).job.job_id
            [slot] = broker.engine.slots(await broker.queues.get("default"))
            [grant] = await broker.attempts.claim(slot, "worker-1", 1, 30_000)
            token = grant.fencing_token
            await broker.attempts.report(job_id, token, 1, [Chunk(b"a", 1), Chunk(b"b", 1)])
            call = jobs.StreamProgress(pb.StreamProgressRequest(job_id=job_id))
            seen = [await next_of(call) for _ in range(5)]
            process.kill()
            assert (await refusal_of(call.read())).code is grpc.StatusCode.UNAVAILABLE
        await broker.attempts.report(job_id, token, 2, [Chunk(b"c", 1)])
        await broker.attempts.complete(job_id, token, grant.payload)
        async with served(redis_url, tmp_path / "second") as (_, channel):
            jobs = job_service_pb2_grpc.JobServiceStub(channel)
            cursor = seen[-1].last_sequence
            seen += await rest_of(
                jobs.StreamProgress(
                    pb.StreamProgressRequest(job_id=job_id, after_sequence=cursor),
                    wait_for_ready=True,
                )
            )
    told = [event for event in seen if not event.HasField("snapshot")]
    assert [(event.first_sequence, event.last_sequence) for event in told] == [
        (n, n) for n in range(1, 7)
    ]
    assert [event.chunk.data for event in told if event.HasField("chunk")] == [b"a", b"b", b"c"]
