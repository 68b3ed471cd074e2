"""Callers that change their minds, for as long as it takes to see what each of them leaves."""

from __future__ import annotations

import asyncio
import statistics
from collections import Counter
from typing import TYPE_CHECKING, ClassVar, Final, NamedTuple

import grpc
import grpc.aio

from penstock.broker import Broker
from penstock.v1 import job_pb2, job_service_pb2_grpc
from penstock.v1 import job_service_pb2 as pb
from tests.chaos.load.leavers import Leavers
from tests.chaos.scenario import Scenario
from tests.chaos.worlds.stage import Stage

if TYPE_CHECKING:
    from tests.chaos.scenario import Run
    from tests.chaos.worlds.observed_gateway import ObservedGateway
    from tests.chaos.worlds.vitals import Vitals

__all__ = ["CancelledStreams"]

#: At scale 1; at scale 20, a hundred thousand.
STREAMS: Final = 5_000
JOBS: Final = 20
SAMPLES: Final = 20
LOOKS: Final = 4
LOOK_EVERY_S: Final = 0.2
#: What each call may leave beyond what it leaves in a server with nothing but gRPC, in bytes.
MOST_EACH: Final = 30.0
#: What it may leave there: more would hide what the gateway keeps.
MOST_BARE: Final = 150.0
#: Memory comes in steps, whatever is asked for: growth by less (bytes) tells nothing.
HEAP_STEPS: Final = 500_000
RSS_STEPS: Final = 6_000_000


class Sample(NamedTuple):
    """What a gateway holds after so many calls, when all of them are over."""

    calls: int
    vitals: Vitals


class CancelledStreams(Scenario):
    """Streams are cancelled by their callers 0 to 50 ms after they began.

    With them waits, submits that are followed at once, and submits whose deadlines pass meanwhile.
    The same is then done to a bare gRPC server: what it keeps of such calls is not the gateway's.
    """

    name: ClassVar = "cancelled_streams"
    rows: ClassVar = (31,)
    expects: ClassVar = (
        "memory is as flat as that of a bare gRPC server, and no task, connection, file, place "
        "among the limits or watcher is left; a submit whose caller is gone is stored whole or not "
        "at all"
    )
    seconds: ClassVar = 60.0

    async def run(self, run: Run) -> None:
        """See `Scenario`."""
        async with Stage(run) as stage:
            gateway = await stage.start_observed_gateway()
            async with stage.connect() as client:
                async with Broker(stage.server.url) as broker:
                    await broker.registry.register_types({"task": {}})
                jobs = [(await client.submit("task", number)).job_id for number in range(JOBS)]
            run.result.jobs += JOBS
            leavers = Leavers(gateway.address, jobs, run.chance, str(run.seed))
            samples = await _sample(run, gateway, leavers)
            fault = "a call is cancelled at a random moment"
            run.result.tally(fault, CancelledStreams.rows).strikes += leavers.calls
            await _check_submits(run, gateway, leavers)
            bare = await stage.start_bare_server()
            control = Leavers(bare.address, jobs, run.chance, str(run.seed))
            _judge(run, samples, await _sample(run, bare, control))


async def _sample(run: Run, gateway: ObservedGateway, leavers: Leavers) -> list[Sample]:
    """All calls, batch by batch: after each, nothing of it may be left."""
    total = run.scaled(STREAMS)
    samples = []
    for number in range(SAMPLES + 1):
        # Whatever is made once is made by the end of the first batch.
        await leavers.come_and_go(total // SAMPLES if number else total // 10)
        samples.append(Sample(leavers.calls, await _settled(gateway)))
        run.say(f"{leavers.calls} calls cancelled ({number} of {SAMPLES})")
        left = {name: count for name, count in samples[-1].vitals.counts.items() if count}
        run.result.expect(not left, "I11", f"the gateway still held {left}")
        if left:
            break
    return samples


async def _settled(gateway: ObservedGateway) -> Vitals:
    # What gRPC still has to look through is no leak: the least of a few looks counts.
    looks = [await gateway.settled()]
    for _ in range(LOOKS):
        await asyncio.sleep(LOOK_EVERY_S)
        looks.append(await gateway.look())
    return min(looks, key=lambda vitals: vitals.heap_bytes)


async def _check_submits(run: Run, gateway: ObservedGateway, leavers: Leavers) -> None:
    """Those that timed out are stored whole or not at all: a repetition settles it."""
    result, outcomes = run.result, Counter[int]()
    jobs = list(leavers.stored)
    async with grpc.aio.insecure_channel(gateway.address) as channel:
        stub: job_service_pb2_grpc.JobServiceAsyncStub
        stub = job_service_pb2_grpc.JobServiceStub(channel)
        for request_id in leavers.timed_out:
            spec = job_pb2.JobSpec(type="task", request_id=request_id)
            receipt = (await stub.SubmitJob(pb.SubmitJobRequest(job=spec))).job
            outcomes[receipt.outcome] += 1
            jobs.append(receipt.job_id)
        for job_id in jobs:
            job = (await stub.GetStatus(pb.GetStatusRequest(job_id=job_id))).job
            result.expect(
                job.state == job_pb2.JOB_STATE_QUEUED, "I1", f"job {job_id} is {job.state}"
            )
    result.jobs += len(jobs)
    before = outcomes[pb.SUBMIT_OUTCOME_REPEATED]
    result.figures["submits whose deadline passed"] = (
        f"{len(leavers.timed_out)}, of which {before} had been stored"
    )
    strange = leavers.codes - {grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.UNAVAILABLE}
    told = ", ".join(code.name for code in strange)
    result.expect(not strange, "cancelled", f"submits that came too late were answered {told}")
    result.expect(
        outcomes.keys() <= {pb.SUBMIT_OUTCOME_REPEATED, pb.SUBMIT_OUTCOME_CREATED},
        "I3",
        f"repeated submits had the outcomes {dict(outcomes)}",
    )
    result.expect(leavers.timed_out, "cancelled", "no deadline passed: the run proves nothing")


def _judge(run: Run, samples: list[Sample], control: list[Sample]) -> None:
    """What is left after each batch, and what a call has cost, over the second half.

    Args:
        run: takes the verdict.
        samples: of the gateway.
        control: of the bare server.
    """
    first, last = samples[0].vitals, samples[-1].vitals
    for name, before, after in (
        ("tasks", first.tasks, last.tasks),
        ("open files and sockets", first.descriptors, last.descriptors),
    ):
        run.result.figures[name] = f"{before} before, {after} after"
        run.result.expect(after <= before + 2, "I11", f"{name} went from {before} to {after}")
    run.result.figures["heap on the way"] = ", ".join(
        f"{vitals.heap_bytes / 1e6:.1f} MB after {calls}"
        for calls, vitals in samples[:: SAMPLES // 4]
    )
    run.result.figures["memory of the gateway"] = _memory(samples)
    run.result.figures["memory of a bare gRPC server"] = _memory(control)
    half = samples[len(samples) // 2 :]
    calls = half[-1].calls - half[0].calls
    for name, steps, each, bare in (
        ("on the heap", HEAP_STEPS, _heap_each(samples), _heap_each(control)),
        ("of resident memory", RSS_STEPS, _rss_each(samples), _rss_each(control)),
    ):
        more = each - max(bare, 0.0)
        run.result.expect(
            more < MOST_EACH or more * calls < steps,
            "I11",
            f"each cancelled call left {each:.0f} bytes {name}; in a bare server {bare:.0f}",
        )
        run.result.expect(
            bare < MOST_BARE or bare * calls < steps,
            "harness",
            f"each cancelled call left {bare:.0f} bytes {name} of a bare server: no measure",
        )


def _memory(samples: list[Sample]) -> str:
    first, last = samples[0].vitals, samples[-1].vitals
    return (
        f"{first.rss_kb / 1024:.1f} MB before, {last.rss_kb / 1024:.1f} MB after "
        f"{samples[-1].calls} calls; over the second half {_heap_each(samples):.0f} bytes of heap "
        f"and {_rss_each(samples):.0f} resident for each"
    )


def _heap_each(samples: list[Sample]) -> float:
    return _slope([(calls, vitals.heap_bytes) for calls, vitals in samples])


def _rss_each(samples: list[Sample]) -> float:
    return _slope([(calls, vitals.rss_kb * 1024) for calls, vitals in samples])


def _slope(points: list[tuple[int, int]]) -> float:
    """Bytes per call, by least squares over the second half."""
    counts, sizes = zip(*points[len(points) // 2 :], strict=True)
    return statistics.linear_regression(counts, sizes).slope
