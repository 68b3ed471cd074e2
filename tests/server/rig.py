"""What the gateway's tests have in common: a gateway, its clients, and somebody to run the jobs."""

from __future__ import annotations

import contextlib
import itertools
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast

import grpc.aio
from google.protobuf.duration_pb2 import Duration
from google.rpc import error_details_pb2
from grpc_health.v1 import health_pb2_grpc
from grpc_status import rpc_status

from penstock.broker import Broker, Content, Grant
from penstock.server import Gateway, ServerSettings
from penstock.v1 import (
    cache_service_pb2_grpc,
    job_pb2,
    job_service_pb2,
    job_service_pb2_grpc,
    queue_service_pb2_grpc,
    schedule_service_pb2_grpc,
    topic_service_pb2_grpc,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Iterator, Mapping

    from google.protobuf.message import Message

    from penstock.broker import Chunk, LogLine, Progress
    from penstock.server.admission import Admission
    from penstock.server.health import Health
    from penstock.server.streaming import _Stream
    from penstock.server.watching import Hub

__all__ = [
    "Refusal",
    "Rig",
    "next_of",
    "refusal_of",
    "rest_of",
    "rig_on",
    "seconds",
    "spec",
    "states_of",
]

Answer = TypeVar("Answer")

JOB_TYPE: Final = "image.resize"
SCHEMA: Final[Mapping[str, Any]] = {
    "type": "object",
    "properties": {"width": {"type": "integer", "minimum": 1}, "name": {"type": "string"}},
    "required": ["width"],
    "additionalProperties": False,
}
PAYLOAD: Final = b'{"width": 80}'
LEASE_MS: Final = 30_000


def seconds(span_s: float) -> Duration:
    """A span as protobuf has it."""
    span = Duration()
    span.FromNanoseconds(round(span_s * 1e9))
    return span


def spec(**fields: Any) -> job_pb2.JobSpec:  # noqa: ANN401 - the fields of JobSpec.
    """A job that is accepted, but for the fields that are given."""
    payload = fields.pop("payload", job_pb2.Content(data=PAYLOAD))
    if isinstance(payload, bytes):
        payload = job_pb2.Content(data=payload)
    return job_pb2.JobSpec(**{"type": JOB_TYPE, "payload": payload, **fields})


@dataclass(frozen=True)
class Refusal:
    """A status that is not OK, with its details by the name of their type."""

    code: grpc.StatusCode
    message: str
    details: Mapping[str, Message]
    trailers: Mapping[str, str | bytes]

    @property
    def reason(self) -> str:
        """The reason of its ErrorInfo."""
        info = self.details["ErrorInfo"]
        assert isinstance(info, error_details_pb2.ErrorInfo)
        return str(info.reason)

    @property
    def facts(self) -> Mapping[str, str]:
        """The metadata of its ErrorInfo."""
        info = self.details["ErrorInfo"]
        assert isinstance(info, error_details_pb2.ErrorInfo)
        return dict(info.metadata)

    @property
    def violations(self) -> dict[str, str]:
        """What its BadRequest says of each field."""
        request = self.details["BadRequest"]
        assert isinstance(request, error_details_pb2.BadRequest)
        return {violation.field: violation.description for violation in request.field_violations}


_DETAILS: Final = (
    error_details_pb2.BadRequest,
    error_details_pb2.ErrorInfo,
    error_details_pb2.QuotaFailure,
    error_details_pb2.PreconditionFailure,
    error_details_pb2.ResourceInfo,
    error_details_pb2.RetryInfo,
)


def unpacked(details: Any) -> dict[str, Message]:  # noqa: ANN401 - repeated Any of protobuf.
    """Details by the name of their type."""
    found: dict[str, Message] = {}
    for boxed in details:
        for kind in _DETAILS:
            if boxed.Is(kind.DESCRIPTOR):
                message = kind()
                boxed.Unpack(message)
                found[kind.DESCRIPTOR.name] = message
    assert len(found) == len(details)
    return found


def refusal_from(error: grpc.aio.AioRpcError) -> Refusal:
    """The refusal that an error of a call stands for."""
    status = rpc_status.from_call(error)
    return Refusal(
        error.code(),
        error.details() or "",
        unpacked(status.details) if status else {},
        dict(error.trailing_metadata()),
    )


async def refusal_of(call: Awaitable[Any]) -> Refusal:
    """The refusal that a call is answered with."""
    try:
        answer = await call
    except grpc.aio.AioRpcError as error:
        return refusal_from(error)
    raise AssertionError(f"not refused: {answer}")


async def next_of(call: grpc.aio.UnaryStreamCall[Any, Answer]) -> Answer:
    """The next message of a stream."""
    answer = await call.read()
    assert answer is not grpc.aio.EOF
    return cast("Answer", answer)


async def rest_of(call: grpc.aio.UnaryStreamCall[Any, Answer]) -> list[Answer]:
    """What a stream still tells, read one by one as before."""
    answers = []
    while (answer := await call.read()) is not grpc.aio.EOF:
        answers.append(cast("Answer", answer))
    return answers


@dataclass
class Rig:
    """A gateway under test, and both sides of it.

    Attributes:
        gateway: the one under test.
        channel: a client's.
        jobs: a client's stub.
        queues: a client's stub.
        schedules: a client's stub.
        topics: a client's stub.
        cache: a client's stub.
        health: a client's stub.
        broker: of whoever plays the worker.
    """

    gateway: Gateway
    channel: grpc.aio.Channel
    jobs: job_service_pb2_grpc.JobServiceAsyncStub
    queues: queue_service_pb2_grpc.QueueServiceAsyncStub
    schedules: schedule_service_pb2_grpc.ScheduleServiceAsyncStub
    topics: topic_service_pb2_grpc.TopicServiceAsyncStub
    cache: cache_service_pb2_grpc.CacheServiceAsyncStub
    health: Any
    broker: Broker
    reports: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    # Behind the gateway's surface.

    @property
    def admission(self) -> Admission:
        """How many calls are open."""
        return self.gateway._admission

    @property
    def readiness(self) -> Health:
        """What the health service says."""
        return self.gateway._health

    @property
    def hub(self) -> Hub:
        """Who is watched."""
        return self.gateway._hub

    @property
    def open_streams(self) -> set[_Stream]:
        """Streams on their way to their readers."""
        return self.gateway._streams._streams

    # The client.

    async def submit(self, **fields: Any) -> job_service_pb2.SubmittedJob:  # noqa: ANN401 - as spec.
        """The receipt of a job."""
        request = job_service_pb2.SubmitJobRequest(job=spec(**fields))
        return (await self.jobs.SubmitJob(request)).job

    async def job(self, job_id: str) -> job_pb2.Job:
        """A job as it stands, with all that it carries."""
        request = job_service_pb2.GetStatusRequest(
            job_id=job_id, include_payload=True, include_result=True
        )
        return (await self.jobs.GetStatus(request)).job

    def stream(
        self, job_id: str, after: int = 0
    ) -> grpc.aio.UnaryStreamCall[
        job_service_pb2.StreamProgressRequest, job_service_pb2.StreamProgressResponse
    ]:
        """A stream of a job."""
        return self.jobs.StreamProgress(
            job_service_pb2.StreamProgressRequest(job_id=job_id, after_sequence=after)
        )

    async def stored(self) -> int:
        """How many keys the server holds, but for those that come with a running gateway."""
        keys = await self.broker.link.call("KEYS", "*")
        return len([key for key in keys if not key.endswith((b":probe", b":walk"))])

    # The worker.

    async def register(self, schema: Mapping[str, Any] = SCHEMA, name: str = JOB_TYPE) -> None:
        """Publishes a job type."""
        await self.broker.registry.register_types({name: schema})

    async def claim(self, queue: str = "default") -> Grant:
        """The grant of the one job that waits."""
        info = await self.broker.queues.get(queue)
        (slot,) = self.broker.engine.slots(info)
        (grant,) = await self.broker.attempts.claim(slot, "worker-1", 1, LEASE_MS)
        return grant

    async def report(self, grant: Grant, *events: Progress | Chunk | LogLine) -> None:
        """Appends events."""
        await self.broker.attempts.report(
            grant.job_id, grant.fencing_token, next(self.reports), events
        )

    async def complete(self, grant: Grant, result: bytes = b'"done"') -> None:
        """Succeeds."""
        await self.broker.attempts.complete(grant.job_id, grant.fencing_token, Content(result))


@contextlib.asynccontextmanager
async def rig_on(redis_url: str, **settings: Any) -> AsyncIterator[Rig]:  # noqa: ANN401 - of ServerSettings.
    """A gateway on a free port, with a job type registered; the settings are in a hurry."""
    hurried = {
        "listen": "127.0.0.1:0",
        "shutdown_grace_s": 2.0,
        "call_budget_s": 5.0,
        **settings,
    }
    async with (
        Broker(redis_url) as broker,
        Gateway(ServerSettings.load(redis_url=redis_url, **hurried)) as gateway,
        grpc.aio.insecure_channel(gateway.address) as channel,
    ):
        rig = Rig(
            gateway,
            channel,
            job_service_pb2_grpc.JobServiceStub(channel),
            queue_service_pb2_grpc.QueueServiceStub(channel),
            schedule_service_pb2_grpc.ScheduleServiceStub(channel),
            topic_service_pb2_grpc.TopicServiceStub(channel),
            cache_service_pb2_grpc.CacheServiceStub(channel),
            health_pb2_grpc.HealthStub(channel),
            broker,
        )
        await rig.register()
        yield rig


def states_of(events: list[job_service_pb2.StreamProgressResponse]) -> list[str]:
    """The states that a stream told, in order."""
    return [
        job_pb2.JobState.Name(event.state_change.state)
        for event in events
        if event.HasField("state_change")
    ]
