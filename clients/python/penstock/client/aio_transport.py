"""The transport of `AsyncClient`: grpc.aio, on the event loop of whoever calls first."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

import grpc

from penstock.client.transport import Stubs

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from penstock.client.channel import Endpoint

Request = TypeVar("Request")
Response = TypeVar("Response")
Item = TypeVar("Item")


class AioTransport:
    """Calls on an event loop."""

    def __init__(self, endpoint: Endpoint, *, wait_for_ready: bool) -> None:
        self.address = endpoint.address
        self._endpoint = endpoint
        self._wait_for_ready = wait_for_ready
        self._channel: grpc.aio.Channel | None = None
        self._stubs: Stubs | None = None
        self._closed = False

    @property
    def stubs(self) -> Stubs:
        """The services. Raises RuntimeError once it is closed."""
        # Made at the first call: a channel belongs to the loop that runs when it is made.
        if self._stubs is None:
            self._channel = self._dial()
            self._stubs = Stubs.over(self._channel)
        return self._stubs

    async def unary(
        self,
        method: grpc.aio.UnaryUnaryMultiCallable[Request, Response],
        request: Request,
        timeout_s: float,
    ) -> Response:
        """Calls a method once."""
        try:
            return await method(request, timeout=timeout_s, wait_for_ready=self._wait_for_ready)
        except asyncio.CancelledError:
            if _is_being_cancelled():
                raise
            raise RuntimeError("the client was closed during the call") from None

    def stream(
        self, method: grpc.aio.UnaryStreamMultiCallable[Request, Response], request: Request
    ) -> _Stream[Response]:
        """Calls a method that is answered with a stream."""
        return _Stream(method(request))

    def waker(self) -> _Waker:
        """A pause."""
        return _Waker()

    def mailbox(self) -> _Mailbox[Any]:
        """A mailbox."""
        return _Mailbox()

    def run_beside(self, coroutine: Coroutine[Any, Any, None], name: str) -> _Running:
        """Runs a coroutine in a task of its own."""
        return _Running(asyncio.create_task(coroutine, name=name))

    async def close(self) -> None:
        """Ends every call, and the connection. Idempotent."""
        self._closed = True
        self._stubs = None
        channel, self._channel = self._channel, None
        if channel is not None:
            await channel.close()

    def _dial(self) -> grpc.aio.Channel:
        if self._closed:
            raise RuntimeError("the client is closed")
        endpoint = self._endpoint
        if endpoint.credentials is None:
            return grpc.aio.insecure_channel(endpoint.address, endpoint.options)
        return grpc.aio.secure_channel(endpoint.address, endpoint.credentials, endpoint.options)


class _Stream(Generic[Response]):
    """A grpc.aio call that is answered with a stream."""

    def __init__(self, call: grpc.aio.UnaryStreamCall[Any, Response]) -> None:
        self._call = call
        self._loop = asyncio.get_running_loop()
        self._cancelled = False

    async def read(self) -> Response | None:
        if self._cancelled:
            return None
        try:
            message = await self._call.read()
        except asyncio.CancelledError:
            self._call.cancel()
            if _is_being_cancelled():
                raise
            return None  # By cancel() in another task, or by close().
        return None if message is grpc.aio.EOF else cast("Response", message)

    def cancel(self) -> None:
        self._cancelled = True
        self._call.cancel()

    def __del__(self) -> None:
        # gRPC keeps a call alive until it ends, so one that nobody reads would go on for ever. The
        # collector may run in any thread, and after the loop is gone.
        if not self._cancelled:
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._call.cancel)


class _Waker:
    """A pause of one task."""

    def __init__(self) -> None:
        self._woken = asyncio.Event()

    async def wait(self, seconds: float | None = None) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._woken.wait()
        self._woken.clear()

    def wake(self) -> None:
        self._woken.set()


class _Mailbox(Generic[Item]):
    """A queue between tasks."""

    def __init__(self) -> None:
        self._items: asyncio.Queue[Item] = asyncio.Queue()

    def put(self, item: Item) -> None:
        self._items.put_nowait(item)

    async def get(self) -> Item:
        return await self._items.get()


class _Running:
    """A task."""

    def __init__(self, task: asyncio.Task[None]) -> None:
        self._task = task

    async def join(self) -> None:
        await asyncio.wait({self._task})


def _is_being_cancelled() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
