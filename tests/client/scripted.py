"""A gateway that does what a test says: a real gRPC server of the contract, without a broker.

For faults that a real gateway shows only by chance, such as a stream that breaks after its third
event. Each method has a list of steps; a call takes the next one, the last one stays.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from typing import TYPE_CHECKING, Any, Self

import grpc
from google.protobuf import any_pb2, message_factory
from google.protobuf.duration_pb2 import Duration
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status

from penstock.v1 import (
    cache_service_pb2,
    job_pb2,
    job_service_pb2,
    queue_service_pb2,
    topic_service_pb2,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from types import TracebackType

    from google.protobuf.message import Message

    Context = grpc.aio.ServicerContext[Any, Any]
    Step = Callable[[Any, Context], Awaitable[Any]]


class ScriptedGateway(grpc.GenericRpcHandler):
    """A server on a port of loopback; 0 finds a free one.

    Attributes:
        requests: what came in, by method.
        metadata: of every call, in order.
    """

    def __init__(self, port: int = 0, *, credentials: grpc.ServerCredentials | None = None) -> None:
        self.requests: defaultdict[str, list[Any]] = defaultdict(list)
        self.metadata: list[dict[str, Any]] = []
        self._steps: dict[str, list[Step]] = {}
        self._server = grpc.aio.server(
            handlers=[self],
            options=[("grpc.so_reuseport", 0), ("grpc.max_receive_message_length", 4 << 20)],
        )
        target = f"127.0.0.1:{port}"
        port = (
            self._server.add_insecure_port(target)
            if credentials is None
            else self._server.add_secure_port(target, credentials)
        )
        self.address = f"127.0.0.1:{port}"

    def on(self, method: str, *steps: Step) -> None:
        """Says what the next calls of a method do."""
        self._steps[method] = list(steps)

    def calls(self, method: str) -> int:
        """How many calls of a method came in."""
        return len(self.requests[method])

    def service(self, details: Any) -> Any:  # noqa: ANN401 - gRPC's own interface.
        _, service, method = details.method.split("/")
        files = (job_service_pb2, queue_service_pb2, topic_service_pb2, cache_service_pb2)
        services = {s.full_name: s for f in files for s in f.DESCRIPTOR.services_by_name.values()}
        if service not in services or method not in self._steps:
            return None
        described = services[service].methods_by_name[method]
        request = message_factory.GetMessageClass(described.input_type)
        response = message_factory.GetMessageClass(described.output_type)
        make = (
            grpc.unary_stream_rpc_method_handler
            if described.server_streaming
            else grpc.unary_unary_rpc_method_handler
        )

        async def answer(message: Any, context: Context) -> Any:  # noqa: ANN401
            return await self._answer(method, message, context)

        return make(
            answer,
            request_deserializer=request.FromString,
            response_serializer=response.SerializeToString,
        )

    async def _answer(self, method: str, request: Any, context: Context) -> Any:  # noqa: ANN401
        self.requests[method].append(request)
        self.metadata.append(dict(context.invocation_metadata() or ()))
        steps = self._steps[method]
        step = steps.pop(0) if len(steps) > 1 else steps[0]
        return await step(request, context)

    async def stop(self) -> None:
        """Hangs up on everybody."""
        await self._server.stop(0)

    async def __aenter__(self) -> Self:
        await self._server.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.stop()


# Steps.


def answers(response: Message) -> Step:
    async def step(_: object, __: Context) -> Message:
        return response

    return step


def fails(code: grpc.StatusCode, text: str = "scripted", *details: Message) -> Step:
    """A status, with google.rpc details if there are any, as a gateway sends it."""

    async def step(_: object, context: Context) -> None:
        await context.abort(code, text, trailers(code, text, *details) if details else ())

    return step


def writes(*messages: Message, then: Step | None = None) -> Step:
    """Messages of a stream, and how it ends; by default, in peace."""

    async def step(request: object, context: Context) -> None:
        for message in messages:
            await context.write(message)
        if then is not None:
            await then(request, context)

    return step


async def hangs(_: object, __: Context) -> None:
    """Says nothing more, until the caller goes."""
    await asyncio.Event().wait()


# Details.


def trailers(code: grpc.StatusCode, text: str, *details: Message) -> Any:  # noqa: ANN401
    packed = []
    for detail in details:
        boxed = any_pb2.Any()
        boxed.Pack(detail)
        packed.append(boxed)
    status = status_pb2.Status(code=code.value[0], message=text, details=packed)
    return rpc_status.to_status(status).trailing_metadata


def retry_info(after_s: float) -> error_details_pb2.RetryInfo:
    delay = Duration()
    delay.FromNanoseconds(int(after_s * 1e9))
    return error_details_pb2.RetryInfo(retry_delay=delay)


# Messages of a stream.


def snapshot(state: job_pb2.JobState = job_pb2.JOB_STATE_RUNNING, last: int = 0) -> Message:
    job = job_pb2.Job(job_id="job", type="t", queue="q", state=state, last_sequence=last)
    return job_service_pb2.StreamProgressResponse(snapshot=job)


def chunk(sequence: int) -> Message:
    return job_service_pb2.StreamProgressResponse(
        first_sequence=sequence,
        last_sequence=sequence,
        chunk=job_service_pb2.Chunk(data=str(sequence).encode(), attempt=1),
    )


def progress(first: int, last: int) -> Message:
    return job_service_pb2.StreamProgressResponse(
        first_sequence=first,
        last_sequence=last,
        progress=job_pb2.Progress(current=last, total=10),
    )


def terminal(sequence: int) -> Message:
    job = job_pb2.Job(job_id="job", state=job_pb2.JOB_STATE_SUCCEEDED, last_sequence=sequence)
    return job_service_pb2.StreamProgressResponse(
        first_sequence=sequence,
        last_sequence=sequence,
        state_change=job_service_pb2.StateChange(
            state=job_pb2.JOB_STATE_SUCCEEDED, attempt=1, job=job
        ),
    )


def end(reason: job_service_pb2.EndOfStream.Reason, cursor: int) -> Message:
    return job_service_pb2.StreamProgressResponse(
        end=job_service_pb2.EndOfStream(reason=reason, cursor=cursor)
    )
