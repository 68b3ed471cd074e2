"""A gateway that acknowledges only what a replica has."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import grpc
import pytest
from grpc_health.v1 import health_pb2
from structlog.testing import capture_logs

from penstock.broker import UnsafeServer
from penstock.server import Gateway, ServerSettings, upkeep
from penstock.v1 import job_pb2
from penstock.v1 import job_service_pb2 as pb
from penstock.v1 import queue_service_pb2 as qpb
from tests.server.rig import next_of, refusal_of, rig_on, spec
from tests.support.replicas import Replicas
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from pathlib import Path

    from tests.server.rig import Rig


@pytest.mark.timeout(180)
async def test_the_loss_of_the_replica_is_told_and_mended(
    server_binary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upkeep, "PROBE_EVERY_S", 0.05)
    with Replicas(server_binary) as replicas:
        settings = {"min_durability": "replicated", "replica_timeout_s": 1.0}
        async with rig_on(replicas.primary.url, **settings) as rig:
            await eventually(lambda: rig.readiness.ready, "the gateway is ready", within_s=60)
            receipt = await acknowledged(rig, "before")
            assert await levels(rig) == ("REPLICATED", "REPLICATED")
            replicas.replica.kill()
            await eventually(lambda: not rig.readiness.ready, "it is not ready", within_s=60)

            async def lacks_its_replica() -> bool:
                return await levels(rig) == ("REPLICATED", "ALWAYS")

            await eventually(lacks_its_replica, "that is told though nobody writes", within_s=60)
            request = pb.SubmitJobRequest(job=spec(request_id="during"))
            refusal = await refusal_of(rig.jobs.SubmitJob(request))
            assert (refusal.code, refusal.reason) == (grpc.StatusCode.UNAVAILABLE, "NOT_REPLICATED")
            assert "RetryInfo" in refusal.details
            assert "the same request id" in refusal.message
            watch = rig.jobs.SubmitAndWatch(pb.SubmitAndWatchRequest(job=spec(request_id="during")))
            assert (await refusal_of(next_of(watch))).reason == "NOT_REPLICATED"
            # What is there can be read.
            assert (await rig.job(receipt.job_id)).state == job_pb2.JOB_STATE_QUEUED
            (queue,) = (await rig.queues.ListQueues(qpb.ListQueuesRequest())).queues
            told = await rig.queues.GetQueueStats(qpb.GetQueueStatsRequest(queue=queue.name))
            assert (told.durability, queue.paused) == (job_pb2.DURABILITY_REPLICATED, False)
            assert told.durability_reached == job_pb2.DURABILITY_ALWAYS
            assert await levels(rig) == ("REPLICATED", "ALWAYS")
            await asyncio.to_thread(replicas.replica.start)
            await asyncio.to_thread(replicas.follow, replicas.replica, replicas.primary)
            await eventually(lambda: rig.readiness.ready, "it is ready again", within_s=60)
            repeated = await acknowledged(rig, "during")
            assert repeated.outcome == pb.SUBMIT_OUTCOME_REPEATED


@pytest.mark.timeout(180)
async def test_a_gateway_that_stops_waits_for_no_replica_and_says_so(server_binary: Path) -> None:
    with Replicas(server_binary) as replicas, capture_logs() as lines:
        settings = {"min_durability": "replicated", "replica_timeout_s": 5.0}
        async with rig_on(replicas.primary.url, shutdown_grace_s=120.0, **settings) as rig:
            await eventually(lambda: rig.readiness.ready, "the gateway is ready", within_s=60)
            await acknowledged(rig, "before")
            replicas.replica.kill()
            request = pb.SubmitJobRequest(job=spec(request_id="during"))
            refused = asyncio.create_task(refusal_of(rig.jobs.SubmitJob(request)))
            await eventually(lambda: rig.admission.unary == 1, "a submit waits for the replica")
            await rig.gateway.stop()
            refusal = await refused
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.UNAVAILABLE, "NOT_REPLICATED")
    assert "within 1 s: repeat the call, with the same request id" in refusal.message
    assert not [line for line in lines if "grace" in line["event"]]


@pytest.mark.timeout(180)
async def test_a_gateway_does_not_start_without_its_replica(server_binary: Path) -> None:
    with Replicas(server_binary) as replicas:
        replicas.replica.kill()
        settings = ServerSettings.load(
            redis_url=replicas.primary.url, listen="127.0.0.1:0", min_durability="replicated"
        )
        with pytest.raises(UnsafeServer, match="Attach replicas"):
            await Gateway(settings).start()


async def levels(rig: Rig) -> tuple[str, str]:
    """What a check of health tells of durability: what is acknowledged, and what is reached."""
    check = rig.health.Check(health_pb2.HealthCheckRequest())
    assert await check
    facts = dict(await check.trailing_metadata())
    return str(facts["penstock-durability"]), str(facts["penstock-durability-reached"])


async def acknowledged(rig: Rig, request_id: str) -> pb.SubmittedJob:
    """The receipt of a submit, however slow the machine is."""

    async def submitted() -> pb.SubmittedJob | None:
        try:
            return await rig.submit(request_id=request_id)
        except grpc.aio.AioRpcError as error:
            if error.code() is not grpc.StatusCode.UNAVAILABLE:
                raise
            return None

    receipt = await eventually(submitted, "the submit is acknowledged", within_s=60)
    assert receipt is not None
    assert receipt.durability == job_pb2.DURABILITY_REPLICATED
    return receipt
