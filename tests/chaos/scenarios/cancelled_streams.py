"""Callers that change their minds: streams cancelled, and calls timed out, at any moment."""

from __future__ import annotations

import asyncio
import contextlib
import statistics
from typing import TYPE_CHECKING, ClassVar, Final, cast

import grpc
import grpc.aio

from penstock.broker import Broker
from penstock.v1 import job_pb2, job_service_pb2_grpc
from penstock.v1 import job_service_pb2 as pb
from tests.chaos.scenario import Scenario
from tests.chaos.worlds.stage import Stage

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from tests.chaos.scenario import Run
    from tests.chaos.worlds.observed_gateway import ObservedGateway
    from tests.chaos.worlds.vitals import Vitals

__all__ = ["CancelledStreams"]

#: At scale 1; at scale 20, a hundred thousand.
STREAMS: Final = 5_000
#: One in so many calls is a submit whose deadline is about as long as it takes.
SUBMIT_EVERY: Final = 10
AT_ONCE: Final = 50
LONGEST_S: Final = 0.05
CHANNELS: Final = 4
JOBS: Final = 20
SAMPLES: Final = 20
LOOKS: Final = 4
LOOK_EVERY_S: Final = 0.2
#: What each stream may leave, in bytes: 100,000 of them a tenth of what the process has anyway.
MOST_EACH: Final = 100.0
#: Memory comes in steps, whatever is asked for: growth by less (bytes) tells nothing.
STEPS: Final = 6_000_000


class CancelledStreams(Scenario):
    """Streams are cancelled by their callers 0 to 50 ms after they began.

    With them waits, submits that are followed at once, and submits whose deadlines pass meanwhile.
    """

    name: ClassVar = "cancelled_streams"
    rows: ClassVar = (31,)
    expects: ClassVar = (
        "memory is flat, and no task, connection, file, place among the limits or watcher is left; "
        "a submit whose caller is gone is stored whole or not at all"
    )
    seconds: ClassVar = 40.0

    async def run(self, run: Run) -> None:
        """See `Scenario`."""
        async with Stage(run) as stage:
            gateway = await stage.start_observed_gateway()
            async with stage.connect() as client:
                async with Broker(stage.server.url) as broker:
                    await broker.registry.register_types({"task": {}})
                jobs = [(await client.submit("task", number)).job_id for number in range(JOBS)]
            run.result.jobs += JOBS
            callers = _Callers(run, gateway, jobs)
            await callers.go()
            await callers.check_submits()


class _Callers:
    """Those who change their minds."""

    def __init__(self, run: Run, gateway: ObservedGateway, jobs: list[str]) -> None:
        self._run = run
        self._gateway = gateway
        self._jobs = jobs
        self._timed_out: list[str] = []
        self._stored: list[str] = []
        self._count = 0

    async def go(self) -> None:
        """All of it, sample by sample: after each, nothing of it may be left."""
        total = self._run.scaled(STREAMS)
        begun = await self._batch(total // 10)  # Whatever is made once is made by now.
        samples = [(self._count, begun)]
        for number in range(SAMPLES):
            samples.append((self._count, await self._batch(total // SAMPLES)))
            self._run.say(f"{self._count} calls cancelled ({number + 1} of {SAMPLES})")
            left = {name: count for name, count in samples[-1][1].counts.items() if count}
            if left:
                self._run.result.expect(None, "I11", f"the gateway still held {left}")
                return
        self._judge(samples)
        fault = "a call is cancelled at a random moment"
        self._run.result.tally(fault, CancelledStreams.rows).strikes += self._count

    async def _batch(self, count: int) -> Vitals:
        """So many calls, over channels that are closed at the end; what is left after them."""
        async with contextlib.AsyncExitStack() as exits:
            stubs = [
                job_service_pb2_grpc.JobServiceStub(
                    await exits.enter_async_context(
                        grpc.aio.insecure_channel(
                            self._gateway.address, options=[("grpc.use_local_subchannel_pool", 1)]
                        )
                    )
                )
                for _ in range(CHANNELS)
            ]
            left = iter(range(count))

            async def call_on() -> None:
                for number in left:
                    await self._one(stubs[number % CHANNELS], number)

            await asyncio.gather(*(call_on() for _ in range(AT_ONCE)))
        # What gRPC still has to look through is no leak: the least of a few looks counts.
        looks = [await self._gateway.settled()]
        for _ in range(LOOKS):
            await asyncio.sleep(LOOK_EVERY_S)
            looks.append(await self._gateway.look())
        return min(looks, key=lambda vitals: vitals.heap_bytes)

    async def _one(self, stub: job_service_pb2_grpc.JobServiceAsyncStub, number: int) -> None:
        chance = self._run.chance
        self._count += 1
        patience_s = chance.uniform(0, LONGEST_S)
        job_id = chance.choice(self._jobs)
        way = number % SUBMIT_EVERY
        if way == 0:
            await self._submit(stub, patience_s)
        elif way == 1:
            await _leave(stub.WaitJob(pb.WaitJobRequest(job_id=job_id)), patience_s)
        elif way == 2:
            spec = job_pb2.JobSpec(type="task", request_id=f"watched-{self._run.seed}-{number}")
            await _leave(stub.SubmitAndWatch(pb.SubmitAndWatchRequest(job=spec)), patience_s)
        else:
            request = pb.StreamProgressRequest(job_id=job_id)
            await _leave(stub.StreamProgress(request), patience_s)

    async def _submit(
        self, stub: job_service_pb2_grpc.JobServiceAsyncStub, patience_s: float
    ) -> None:
        request_id = f"submit-{self._run.seed}-{self._count}"
        spec = job_pb2.JobSpec(type="task", request_id=request_id)
        try:
            # Some deadlines are over before they begin, most come while the call is under way.
            answer = await stub.SubmitJob(pb.SubmitJobRequest(job=spec), timeout=patience_s / 10)
            self._stored.append(answer.job.job_id)
        except grpc.aio.AioRpcError as error:
            self._timed_out.append(request_id)
            self._run.result.expect(
                error.code() in {grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.UNAVAILABLE},
                "cancelled",
                f"a submit that came too late was answered {error.code().name}: {error.details()}",
            )

    async def check_submits(self) -> None:
        """Those that timed out are stored whole or not at all: a repetition settles it."""
        outcomes: dict[int, int] = {}
        async with grpc.aio.insecure_channel(self._gateway.address) as channel:
            stub: job_service_pb2_grpc.JobServiceAsyncStub
            stub = job_service_pb2_grpc.JobServiceStub(channel)
            for request_id in self._timed_out:
                spec = job_pb2.JobSpec(type="task", request_id=request_id)
                receipt = (await stub.SubmitJob(pb.SubmitJobRequest(job=spec))).job
                outcomes[receipt.outcome] = outcomes.get(receipt.outcome, 0) + 1
                self._stored.append(receipt.job_id)
            for job_id in self._stored:
                job = (await stub.GetStatus(pb.GetStatusRequest(job_id=job_id))).job
                self._run.result.expect(
                    job.state == job_pb2.JOB_STATE_QUEUED, "I1", f"job {job_id} is {job.state}"
                )
        self._run.result.jobs += len(self._stored)
        before = outcomes.get(pb.SUBMIT_OUTCOME_REPEATED, 0)
        self._run.result.figures["submits whose deadline passed"] = (
            f"{len(self._timed_out)}, of which {before} had been stored"
        )
        self._run.result.expect(
            set(outcomes) <= {pb.SUBMIT_OUTCOME_REPEATED, pb.SUBMIT_OUTCOME_CREATED},
            "I3",
            f"repeated submits had the outcomes {outcomes}",
        )
        self._run.result.expect(
            self._timed_out, "cancelled", "no deadline passed: the run proves nothing"
        )

    def _judge(self, samples: list[tuple[int, Vitals]]) -> None:
        """What is left after each batch, and what a stream has cost, over the second half."""
        first, last = samples[0][1], samples[-1][1]
        for name, before, after in (
            ("tasks", first.tasks, last.tasks),
            ("open files and sockets", first.descriptors, last.descriptors),
        ):
            self._run.result.figures[name] = f"{before} before, {after} after"
            self._run.result.expect(
                after <= before + 2, "I11", f"{name} went from {before} to {after}"
            )
        half = samples[len(samples) // 2 :]
        heap = _slope([(count, vitals.heap_bytes) for count, vitals in half])
        rss = _slope([(count, vitals.rss_kb * 1024) for count, vitals in half])
        quarters = samples[:: SAMPLES // 4]
        self._run.result.figures["heap on the way"] = ", ".join(
            f"{vitals.heap_bytes / 1e6:.1f} MB after {count}" for count, vitals in quarters
        )
        self._run.result.figures["memory of the gateway"] = (
            f"{first.rss_kb / 1024:.1f} MB before, {last.rss_kb / 1024:.1f} MB after "
            f"{samples[-1][0]} streams; over the second half {heap:.0f} bytes of heap and "
            f"{rss:.0f} resident for each"
        )
        streams = half[-1][0] - half[0][0]
        for name, each in (("on the heap", heap), ("of resident memory", rss)):
            self._run.result.expect(
                each < MOST_EACH or each * streams < STEPS,
                "I11",
                f"each cancelled stream left {each:.0f} bytes {name}",
            )


async def _leave(call: grpc.aio.Call, patience_s: float) -> None:
    """Reads what comes, and cancels after so long."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(patience_s):
            if isinstance(call, grpc.aio.UnaryStreamCall):
                async for _ in call:
                    pass
            else:
                await cast("Awaitable[object]", call)
    call.cancel()


def _slope(points: list[tuple[int, int]]) -> float:
    """Bytes per stream, by least squares."""
    counts, sizes = zip(*points, strict=True)
    return statistics.linear_regression(counts, sizes).slope
