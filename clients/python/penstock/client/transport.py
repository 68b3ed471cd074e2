"""What the client needs of the world, so that one implementation serves async and blocking callers.

The client is written once, as coroutines over a `Transport`. There are two of these:

- `AioTransport` (aio_transport.py), over grpc.aio: its coroutines suspend, on the caller's loop.
- `BlockingTransport` (blocking_transport.py), over gRPC's blocking stack: its coroutines never
  suspend, they block. Whatever is built of them runs to its end in one step, and needs no loop
  (see blocking.py).

The other way, an event loop in a thread behind a blocking facade, was tried and measured: a call
takes a quarter longer, and whoever wants no loop gets one all the same, and a thread with it.

For this to hold, the client awaits nothing but what a transport offers, and never imports asyncio.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, Self, TypeVar, cast

from grpc_health.v1.health_pb2_grpc import HealthStub

from penstock.v1.cache_service_pb2_grpc import CacheServiceStub
from penstock.v1.job_service_pb2_grpc import JobServiceStub
from penstock.v1.queue_service_pb2_grpc import QueueServiceStub
from penstock.v1.schedule_service_pb2_grpc import ScheduleServiceStub
from penstock.v1.topic_service_pb2_grpc import TopicServiceStub

if TYPE_CHECKING:
    from collections.abc import Coroutine

    import grpc
    from grpc import aio

    from penstock.v1.cache_service_pb2_grpc import CacheServiceAsyncStub
    from penstock.v1.job_service_pb2_grpc import JobServiceAsyncStub
    from penstock.v1.queue_service_pb2_grpc import QueueServiceAsyncStub
    from penstock.v1.schedule_service_pb2_grpc import ScheduleServiceAsyncStub
    from penstock.v1.topic_service_pb2_grpc import TopicServiceAsyncStub

Request = TypeVar("Request")
Response = TypeVar("Response")
Item = TypeVar("Item")
Response_co = TypeVar("Response_co", covariant=True)


class Stream(Protocol[Response_co]):
    """A call that is answered with a stream of messages. Dropped, it cancels itself."""

    async def read(self) -> Response_co | None:
        """The next message; None after the last, and once it was cancelled here.

        Raises:
            grpc.RpcError: it ended with a status other than OK.
        """

    def cancel(self) -> None:
        """Ends it, and any read(). Idempotent; for a blocking stream, from any thread."""


class Waker(Protocol):
    """A pause that can be cut short."""

    async def wait(self, seconds: float | None = None) -> None:
        """Waits for that time (None is for ever), or for wake(), also one that came before."""

    def wake(self) -> None:
        """Ends the wait, or the next one."""


class Mailbox(Protocol[Item]):
    """What several senders leave for one reader, in order."""

    def put(self, item: Item) -> None:
        """Leaves an item; never waits."""

    async def get(self) -> Item:
        """Takes the oldest item; waits for one."""


class Running(Protocol):
    """A coroutine that runs beside its starter."""

    async def join(self) -> None:
        """Waits for its end."""


@dataclass(frozen=True, slots=True)
class Stubs:
    """The services of a gateway, typed as those of an async channel."""

    jobs: JobServiceAsyncStub
    queues: QueueServiceAsyncStub
    schedules: ScheduleServiceAsyncStub
    topics: TopicServiceAsyncStub
    cache: CacheServiceAsyncStub
    health: HealthStub

    @classmethod
    def over(cls, channel: grpc.Channel | grpc.aio.Channel) -> Self:
        """The generated stubs over a channel, async or blocking."""
        channel = cast("grpc.aio.Channel", channel)
        return cls(
            jobs=JobServiceStub(channel),
            queues=QueueServiceStub(channel),
            schedules=ScheduleServiceStub(channel),
            topics=TopicServiceStub(channel),
            cache=CacheServiceStub(channel),
            health=HealthStub(channel),
        )


class Transport(Protocol):
    """Calls to a gateway, and waiting.

    Attributes:
        address: of the gateway.
    """

    address: str

    @property
    def stubs(self) -> Stubs:
        """The services. Raises RuntimeError once the transport is closed."""

    async def unary(
        self,
        method: aio.UnaryUnaryMultiCallable[Request, Response],
        request: Request,
        timeout_s: float,
    ) -> Response:
        """Calls a method of a stub once.

        Raises:
            grpc.RpcError: it ended with a status other than OK.
        """

    def stream(
        self, method: aio.UnaryStreamMultiCallable[Request, Response], request: Request
    ) -> Stream[Response]:
        """Calls a method of a stub that answers with a stream. It has no deadline."""

    def waker(self) -> Waker:
        """A pause."""

    def mailbox(self) -> Mailbox[Any]:
        """A mailbox."""

    def run_beside(self, coroutine: Coroutine[Any, Any, None], name: str) -> Running:
        """Runs a coroutine of this client beside the caller."""

    async def close(self) -> None:
        """Ends every call, and the connection. Idempotent."""
