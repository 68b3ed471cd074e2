"""Those who call gateways all the time, and note each call that failed them."""

from __future__ import annotations

import time
import uuid
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from typing import TYPE_CHECKING, ClassVar, Final

import grpc
import grpc.aio

from penstock.client import PenstockError, StateEvent
from penstock.client.channel import service_config
from penstock.v1 import job_pb2, job_service_pb2_grpc
from penstock.v1 import job_service_pb2 as pb
from tests.chaos.load.loops import Loops

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from penstock.client import AsyncClient
    from tests.chaos.result import Result

__all__ = ["Callers", "plain_channel"]

#: Pause between two calls of one caller (s).
PAUSE_S: Final = 0.02
#: Deadline of a call (s).
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


class Callers(Loops):
    """Several at once, as tasks; an async context manager, which ends them.

    Attributes:
        calls: that were answered, by kind.
        errors: what those that failed failed with.
        events: that watches told.
    """

    failures: ClassVar = (PenstockError, grpc.aio.AioRpcError, TimeoutError)

    def __init__(self, pause_s: float = PAUSE_S) -> None:
        super().__init__(pause_s)
        self.calls: dict[str, int] = {}
        self.errors: list[str] = []
        self.events = 0
        self._took_s: list[float] = []

    def failed(self, loop: str, error: Exception, /) -> None:
        """See `Loops`."""
        told = f"{type(error).__name__}: {error}"
        if isinstance(error, grpc.aio.AioRpcError):
            told = f"{error.code().name}: {error.details()}"
        self.errors.append(f"{loop}: {told}")

    def submit_by(self, client: AsyncClient) -> None:
        """One more, who submits short jobs, and asks for what becomes of each."""
        self.begin("submit", partial(self._submit, client))

    def submit_plainly_by(
        self, channel: grpc.aio.Channel, type_: str = "hold", deadline_s: float = DEADLINE_S
    ) -> None:
        """One more, who submits with bare stubs: nobody repeats but gRPC itself, if it is told to.

        Args:
            channel: to gateways.
            type_: of the jobs.
            deadline_s: of each call (s).
        """
        stub: job_service_pb2_grpc.JobServiceAsyncStub
        stub = job_service_pb2_grpc.JobServiceStub(channel)
        self.begin("plain submit", partial(self._submit_plainly, stub, type_, deadline_s))

    def watch_by(self, client: AsyncClient) -> None:
        """One more, who watches jobs that talk, each to its end and without a gap."""
        self.begin("watch", partial(self._watch, client))

    @contextmanager
    def call(self, kind: str) -> Iterator[None]:
        """Counts a call that is answered, and how long that takes."""
        began_s = time.monotonic()
        yield
        self.calls[kind] = self.calls.get(kind, 0) + 1
        self._took_s.append(time.monotonic() - began_s)

    def waited(self) -> str:
        """How long answers took, since this was asked last."""
        sample, self._took_s = sorted(self._took_s), []
        if not sample:
            return "no call"
        p99_ms = sample[int(0.99 * (len(sample) - 1))] * 1000
        return f"{len(sample)} calls, p99 {p99_ms:.0f} ms"

    def into(self, result: Result) -> None:
        """Adds its figures and failures to a result."""
        for kind, number in self.calls.items():
            result.operations[kind] = result.operations.get(kind, 0) + number
        result.jobs += sum(self.calls.get(kind, 0) for kind in ("submit", "plain submit", "watch"))
        result.expect(
            not self.errors, "calls", f"{len(self.errors)} calls failed", *self.errors[:5]
        )

    async def _submit(self, client: AsyncClient) -> None:
        with self.call("submit"):
            handle = await client.submit("hold", 0.01)
        with self.call("status"):
            await handle.status()
        with self.call("wait"):
            await handle.wait(timeout=DEADLINE_S)

    async def _submit_plainly(
        self, stub: job_service_pb2_grpc.JobServiceAsyncStub, type_: str, deadline_s: float
    ) -> None:
        payload = job_pb2.Content(data=b"0.01", content_type="application/json")
        spec = job_pb2.JobSpec(type=type_, payload=payload, request_id=str(uuid.uuid4()))
        with self.call("plain submit"):
            answer = await stub.SubmitJob(pb.SubmitJobRequest(job=spec), timeout=deadline_s)
        with self.call("plain status"):
            request = pb.GetStatusRequest(job_id=answer.job.job_id)
            await stub.GetStatus(request, timeout=deadline_s)

    async def _watch(self, client: AsyncClient) -> None:
        with self.call("watch"):
            handle = await client.submit("talk", TALK_S)
            last, ends = 0, 0
            async for event in handle.watch():
                if event.first_sequence > event.last_sequence or event.last_sequence == 0:
                    continue
                if event.first_sequence != last + 1 and last:
                    self.errors.append(
                        f"watch: after {last} came {event.first_sequence} of {handle.job_id}"
                    )
                last = event.last_sequence
                self.events += 1
                ends += isinstance(event, StateEvent) and event.terminal
            if ends != 1:
                self.errors.append(f"watch: {ends} ends of {handle.job_id}")
