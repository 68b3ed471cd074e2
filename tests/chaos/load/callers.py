"""Those who call gateways all the time, and note each call that failed them."""

from __future__ import annotations

import asyncio
import uuid
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final, Self

import grpc

from penstock.client import PenstockError, StateEvent
from penstock.client.channel import service_config
from penstock.v1 import job_pb2, job_service_pb2
from penstock.v1.job_service_pb2_grpc import JobServiceStub

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Coroutine

    from penstock.client import AsyncClient
    from tests.chaos.result import Result

__all__ = ["Callers", "plain_channel"]

#: Pause between two calls of one caller (s).
PAUSE_S: Final = 0.02
#: Deadline of a call over plain stubs (s).
DEADLINE_S: Final = 10.0
#: How long a watched job talks (s).
TALK_S: Final = 6.0


@asynccontextmanager
async def plain_channel(ports: list[int]) -> AsyncIterator[grpc.aio.Channel]:
    """A channel as one has who knows nothing but gRPC and the published service config."""
    addresses = ",".join(f"127.0.0.1:{port}" for port in ports)
    options = [("grpc.service_config", service_config()), ("grpc.enable_http_proxy", 0)]
    async with grpc.aio.insecure_channel(f"ipv4:{addresses}", options) as channel:
        yield channel


class Callers:
    """Several at once, as tasks; an async context manager, which ends them.

    Attributes:
        calls: that were answered, by kind.
        failures: of those that failed, what they failed with.
        events: that watches told.
    """

    def __init__(self) -> None:
        self.calls: dict[str, int] = {}
        self.failures: list[str] = []
        self.events = 0
        self._tasks: list[asyncio.Task[None]] = []
        self._stopping = False

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_error: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def finish(self) -> None:
        """Lets each end what it is at. Raises what none of them expected."""
        self._stopping = True
        await asyncio.gather(*self._tasks)

    def add(self, caller: Coroutine[None, None, None]) -> None:
        """One more."""
        self._tasks.append(asyncio.create_task(caller))

    async def submits(self, client: AsyncClient) -> None:
        """Submits short jobs, and asks for what becomes of each."""
        while not self._stopping:
            try:
                handle = await client.submit("hold", 0.01)
                self._answered("submit")
                await handle.status()
                self._answered("status")
                await handle.wait(timeout=DEADLINE_S)
                self._answered("wait")
            except PenstockError as error:
                self.failures.append(f"{type(error).__name__}: {error}")
            await asyncio.sleep(PAUSE_S)

    async def submits_plainly(self, channel: grpc.aio.Channel) -> None:
        """Submits with bare stubs: nobody repeats but gRPC itself."""
        jobs = JobServiceStub(channel)
        while not self._stopping:
            spec = job_pb2.JobSpec(
                type="hold",
                payload=job_pb2.Content(data=b"0.01", content_type="application/json"),
                request_id=str(uuid.uuid4()),
            )
            try:
                request = job_service_pb2.SubmitJobRequest(job=spec)
                answer = await jobs.SubmitJob(request, timeout=DEADLINE_S)
                self._answered("plain submit")
                await jobs.GetStatus(
                    job_service_pb2.GetStatusRequest(job_id=answer.job.job_id), timeout=DEADLINE_S
                )
                self._answered("plain status")
            except grpc.aio.AioRpcError as error:
                self.failures.append(f"plain gRPC: {error.code().name}: {error.details()}")
            await asyncio.sleep(PAUSE_S)

    async def watches(self, client: AsyncClient) -> None:
        """Watches jobs that talk, one after the other, each to its end and without a gap."""
        while not self._stopping:
            try:
                handle = await client.submit("talk", TALK_S)
                last, ended = 0, 0
                async for event in handle.watch():
                    if event.first_sequence > event.last_sequence or event.last_sequence == 0:
                        continue
                    if event.first_sequence != last + 1 and last:
                        self.failures.append(
                            f"watch: after {last} came {event.first_sequence} of {handle.job_id}"
                        )
                    last = event.last_sequence
                    self.events += 1
                    ended += isinstance(event, StateEvent) and event.terminal
                if ended != 1:
                    self.failures.append(f"watch: {ended} ends of {handle.job_id}")
                self._answered("watch")
            except PenstockError as error:
                self.failures.append(f"watch: {type(error).__name__}: {error}")

    def into(self, result: Result) -> None:
        """Adds its figures and failures to a result."""
        for kind, number in self.calls.items():
            result.operations[kind] = result.operations.get(kind, 0) + number
        result.jobs += sum(self.calls.get(kind, 0) for kind in ("submit", "plain submit", "watch"))
        result.expect(
            not self.failures,
            "calls",
            f"{len(self.failures)} calls failed",
            *self.failures[:5],
        )

    def _answered(self, kind: str) -> None:
        self.calls[kind] = self.calls.get(kind, 0) + 1
