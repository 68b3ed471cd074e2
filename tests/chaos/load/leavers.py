"""Callers that change their minds: streams cancelled, and calls timed out, at any moment."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Final, cast

import grpc
import grpc.aio

from penstock.v1 import job_pb2, job_service_pb2_grpc
from penstock.v1 import job_service_pb2 as pb

if TYPE_CHECKING:
    import random
    from collections.abc import Awaitable, Sequence

__all__ = ["Leavers"]

#: One in so many calls is a submit whose deadline is about as long as it takes.
SUBMIT_EVERY: Final = 10
AT_ONCE: Final = 50
LONGEST_S: Final = 0.05
CHANNELS: Final = 4


class Leavers:
    """Those who begin calls, and leave 0 to 50 ms later.

    Args:
        address: of the gateway.
        jobs: ids of jobs to watch and to wait for.
        chance: when they leave.
        name: the beginning of their request ids.

    Attributes:
        calls: how many they have begun.
        stored: ids of the jobs of submits that were answered in time.
        timed_out: request ids of those that were not.
        codes: what these were answered.
    """

    def __init__(self, address: str, jobs: Sequence[str], chance: random.Random, name: str) -> None:
        self._address = address
        self._jobs = jobs
        self._chance = chance
        self._name = name
        self.calls = 0
        self.stored: list[str] = []
        self.timed_out: list[str] = []
        self.codes: set[grpc.StatusCode] = set()

    async def come_and_go(self, count: int) -> None:
        """So many calls, over channels that are closed at the end."""
        async with contextlib.AsyncExitStack() as exits:
            stubs = [
                job_service_pb2_grpc.JobServiceStub(
                    await exits.enter_async_context(
                        grpc.aio.insecure_channel(
                            self._address, options=[("grpc.use_local_subchannel_pool", 1)]
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

    async def _one(self, stub: job_service_pb2_grpc.JobServiceAsyncStub, number: int) -> None:
        self.calls += 1
        patience_s = self._chance.uniform(0, LONGEST_S)
        job_id = self._chance.choice(self._jobs)
        way = number % SUBMIT_EVERY
        if way == 0:
            await self._submit(stub, patience_s)
        elif way == 1:
            await _leave(stub.WaitJob(pb.WaitJobRequest(job_id=job_id)), patience_s)
        elif way == 2:
            spec = job_pb2.JobSpec(type="task", request_id=f"watched-{self._name}-{number}")
            await _leave(stub.SubmitAndWatch(pb.SubmitAndWatchRequest(job=spec)), patience_s)
        else:
            request = pb.StreamProgressRequest(job_id=job_id)
            await _leave(stub.StreamProgress(request), patience_s)

    async def _submit(
        self, stub: job_service_pb2_grpc.JobServiceAsyncStub, patience_s: float
    ) -> None:
        request_id = f"submit-{self._name}-{self.calls}"
        spec = job_pb2.JobSpec(type="task", request_id=request_id)
        try:
            # Some deadlines are over before they begin, most come while the call is under way.
            answer = await stub.SubmitJob(pb.SubmitJobRequest(job=spec), timeout=patience_s / 10)
            self.stored.append(answer.job.job_id)
        except grpc.aio.AioRpcError as error:
            self.timed_out.append(request_id)
            self.codes.add(error.code())


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
