"""The client, for those who have an event loop; the blocking one borrows it whole (client.py)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from grpc_health.v1 import health_pb2

from penstock.client.aio_transport import AioTransport
from penstock.client.cache_calls import AsyncCacheCalls
from penstock.client.channel import Endpoint
from penstock.client.policy_calls import AsyncPolicyCalls
from penstock.client.queue_calls import AsyncQueueCalls
from penstock.client.rpc import Rpc
from penstock.client.schedule_calls import AsyncScheduleCalls
from penstock.client.topic_calls import AsyncTopicCalls

if TYPE_CHECKING:
    from types import TracebackType

    from penstock.client.channel import Secure


class AsyncCalls(
    AsyncScheduleCalls, AsyncQueueCalls, AsyncPolicyCalls, AsyncTopicCalls, AsyncCacheCalls
):
    """All that a gateway can be asked, over any transport."""

    def __init__(self, rpc: Rpc) -> None:
        self._rpc = rpc

    @property
    def address(self) -> str:
        """Of the gateway."""
        return self._rpc.transport.address

    async def health(self, service: str = "", *, rpc_timeout: float | None = None) -> bool:
        """Whether a service of the gateway is serving; tried once, since a probe wants to know now.

        Args:
            service: full name, such as penstock.v1.JobService; '' is the gateway as a whole.
            rpc_timeout: in seconds; None is the client's own.

        Raises:
            NotFound: the gateway has no such service.
            Unavailable: no gateway can be reached.
            DeadlineExceeded: it did not answer in time.
        """
        request = health_pb2.HealthCheckRequest(service=service)
        timeout_s = self._rpc.timeout_s if rpc_timeout is None else rpc_timeout
        answer = await self._rpc.once(self._rpc.stubs.health.Check, request, timeout_s)
        serving: bool = answer.status == health_pb2.HealthCheckResponse.SERVING
        return serving

    async def aclose(self) -> None:
        """Ends every call, and the connection. Idempotent."""
        await self._rpc.transport.close()


class AsyncClient(AsyncCalls):
    """A client of a gateway, for one event loop.

    ::

        async with AsyncClient() as client:
            handle = await client.submit("image.resize", {"path": "a.png", "width": 80})
            async for event in handle.watch():
                print(event)
            print(await handle.result())

    A call that finds no gateway, or one that cannot serve, is repeated until its time is up; waits
    and watches go on for longer. So a gateway that restarts goes unnoticed.

    Args:
        address: of the gateway, as a gRPC target: host:port, dns:///host:port, unix:/path. None is
            PENSTOCK_ADDRESS, else 127.0.0.1:50051.
        secure: True for TLS, or credentials for roots of one's own or mutual TLS.
        timeout: of every call that is not given its own, retries included, in seconds.
        reconnect_for: how long waits and watches outlive a gateway that is away, in seconds.
        retry_for: how long after its start a call is still repeated, in seconds; None is to the
            end of its time. Shorter than timeout, it leaves a slow answer time to arrive.
        wait_for_ready: let calls wait for a connection instead of trying again and again. Where
            there is no gateway, they then end with DeadlineExceeded.
    """

    def __init__(
        self,
        address: str | None = None,
        *,
        secure: Secure = False,
        timeout: float = 10.0,
        reconnect_for: float = 300.0,
        retry_for: float | None = None,
        wait_for_ready: bool = False,
    ) -> None:
        transport = AioTransport(
            Endpoint.of(address, secure, repeats=retry_for is None), wait_for_ready=wait_for_ready
        )
        super().__init__(Rpc(transport, timeout, reconnect_for, retry_for))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.aclose()
