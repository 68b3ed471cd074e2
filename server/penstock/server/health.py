"""Health, as grpc.health.v1 has it, on a servicer of our own.

The stock one writes to watchers while it holds the lock that setting a status needs, so that one
watcher who stops reading hangs it, and a shutdown with it. Here each watcher waits and writes by
itself, without a lock, and there are only so many.

Services: "" and those of the contract are ready while the storage takes writes; "liveness" is up
for as long as the process serves at all.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

import grpc.aio
from google.protobuf.message import DecodeError
from google.protobuf.message_factory import GetMessageClass
from grpc_health.v1 import health_pb2

from penstock.server.errors import Shed, fault_of
from penstock.server.open_calls import OpenCalls

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping

    from google.protobuf.descriptor import MethodDescriptor

    Context = grpc.aio.ServicerContext[Any, Any]

__all__ = ["LIVENESS", "REASON_KEY", "Health"]

LIVENESS: Final = "liveness"
#: Trailing metadata of a check of readiness: why it is not there.
REASON_KEY: Final = "penstock-reason"
_MAX_REASON: Final = 512
#: For the last answers to watchers (s).
_TELL_S: Final = 1.0
#: A watcher that takes nothing for so long does not keep its place (s).
STALL_S: Final = 30.0

_SERVICE: Final = health_pb2.DESCRIPTOR.services_by_name["Health"]
_SERVING: Final[int] = health_pb2.HealthCheckResponse.SERVING
_NOT_SERVING: Final[int] = health_pb2.HealthCheckResponse.NOT_SERVING
_UNKNOWN: Final[int] = health_pb2.HealthCheckResponse.SERVICE_UNKNOWN


class Health:
    """The servicer, and what it answers."""

    def __init__(
        self,
        services: Iterable[str],
        max_watches: int,
        facts: Callable[[], Mapping[str, str]] = dict,
    ) -> None:
        """A servicer.

        Args:
            services: names of those that are ready while the storage takes writes.
            max_watches: at a time.
            facts: tells what a check of readiness is answered with beside it: trailing metadata.
        """
        self._readiness = frozenset({"", *services})
        self._max_watches = max_watches
        self._facts = facts
        self._ready = False
        self._reason = ""
        self._closing = False
        self._changed = asyncio.Event()
        self._open = OpenCalls()
        self.watches = 0

    @property
    def ready(self) -> bool:
        """What readiness is answered with."""
        return self._ready

    def set_ready(self, *, ready: bool, reason: str = "") -> None:
        """Says whether the services can serve; once closed, they never can again.

        Args:
            ready: whether they can.
            reason: why they cannot, fit for everybody who may check health.
        """
        if not self._closing:
            self._reason = reason
        ready = ready and not self._closing
        if ready is not self._ready:
            self._ready = ready
            self._tell()

    def close(self) -> None:
        """The gateway goes down: nothing is ready any more, and watches end after saying so."""
        self._closing = True
        self._ready = False
        self._reason = "this gateway is stopping"
        self._tell()

    async def finish(self) -> None:
        """After `close`: waits until watchers were told, but not for those who do not read."""
        await self._open.ended(_TELL_S)

    def handlers(self) -> grpc.GenericRpcHandler:
        """What a server is to be given to serve it."""
        made = {method.name: self._handler(method) for method in _SERVICE.methods}
        return grpc.method_handlers_generic_handler(_SERVICE.full_name, made)

    # ruff: noqa: N802 - the methods have the names of the standard.

    async def Check(
        self, request: health_pb2.HealthCheckRequest, context: Context
    ) -> health_pb2.HealthCheckResponse:
        """The status now; NOT_FOUND for a service that is not here."""
        status = self._status(request.service)
        if status == _UNKNOWN:
            await context.abort(grpc.StatusCode.NOT_FOUND, "no such service")
        if request.service != LIVENESS:
            context.set_trailing_metadata(self._trailers())
        return health_pb2.HealthCheckResponse(status=status)

    async def List(self, _: health_pb2.HealthListRequest, __: Context) -> object:
        """The statuses of all services now."""
        names = (*self._readiness, LIVENESS)
        return health_pb2.HealthListResponse(
            statuses={
                name: health_pb2.HealthCheckResponse(status=self._status(name)) for name in names
            }
        )

    async def Watch(self, request: health_pb2.HealthCheckRequest, context: Context) -> None:
        """The status now, and whenever it changes."""
        if self.watches >= self._max_watches:
            shed = Shed(f"the gateway is at its limit of {self._max_watches} watches")
            fault = fault_of(shed)
            await context.abort(fault.code, fault.message, fault.trailers())
        self._open.enter(context)
        self.watches += 1
        try:
            await self._tell_all(request.service, context)
        except TimeoutError:
            # Without a status, which would wait behind the message that is not taken. gRPC holds
            # that one, which is small, until the connection ends.
            raise asyncio.CancelledError from None
        except grpc.aio.BaseError:
            raise asyncio.CancelledError from None  # The watcher is gone.
        finally:
            self.watches -= 1

    async def _tell_all(self, service: str, context: Context) -> None:
        """Writes each change. Raises TimeoutError where the watcher takes nothing."""
        told: int | None = None
        while True:
            # Before the write: what changes meanwhile must be told, too.
            changed, closing = self._changed, self._closing
            status = self._status(service)
            if status != told:
                async with asyncio.timeout(STALL_S):
                    await context.write(health_pb2.HealthCheckResponse(status=status))
                told = status
            if closing:
                return
            await changed.wait()

    def _handler(self, descriptor: MethodDescriptor) -> grpc.RpcMethodHandler[bytes, Any]:
        # Requests are parsed here rather than by gRPC, which would answer UNKNOWN with the parser's
        # text, and log a traceback for each.
        parse = GetMessageClass(descriptor.input_type).FromString
        method: Callable[[Any, Context], Awaitable[Any]] = getattr(self, descriptor.name)

        async def handle(data: bytes, context: Context) -> object:
            try:
                request = parse(data)
            except DecodeError:
                await context.abort(
                    grpc.StatusCode.INVALID_ARGUMENT,
                    "the request is not a message of the method's type",
                )
            return await method(request, context)

        make = (
            grpc.unary_stream_rpc_method_handler
            if descriptor.server_streaming
            else grpc.unary_unary_rpc_method_handler
        )
        serialize = GetMessageClass(descriptor.output_type).SerializeToString
        return make(handle, request_deserializer=None, response_serializer=serialize)

    def _status(self, service: str) -> int:
        if service == LIVENESS:
            return _SERVING
        if service not in self._readiness:
            return _UNKNOWN
        return _SERVING if self._ready else _NOT_SERVING

    def _trailers(self) -> tuple[tuple[str, str], ...]:
        facts = dict(self._facts())
        if not self._ready and self._reason:
            # The values of metadata are printable ASCII.
            printable = (char if " " <= char <= "~" else "?" for char in self._reason[:_MAX_REASON])
            facts[REASON_KEY] = "".join(printable).strip()
        return tuple(facts.items())

    def _tell(self) -> None:
        # Each watcher holds the event of the state that it told, so that none misses a change.
        self._changed.set()
        self._changed = asyncio.Event()
