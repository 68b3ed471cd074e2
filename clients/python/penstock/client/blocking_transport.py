"""The transport of `Client`: gRPC's blocking stack. None of its coroutines ever suspends."""

from __future__ import annotations

import queue
import threading
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

import grpc

from penstock.client.blocking import run
from penstock.client.transport import Stubs

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from penstock.client.channel import Endpoint

Request = TypeVar("Request")
Response = TypeVar("Response")
Item = TypeVar("Item")


class BlockingTransport:
    """Calls that block their thread. May be used from several threads."""

    def __init__(self, endpoint: Endpoint, *, wait_for_ready: bool) -> None:
        self.address = endpoint.address
        self._wait_for_ready = wait_for_ready
        self._channel = _dial(endpoint)
        self._stubs: Stubs | None = Stubs.over(self._channel)

    @property
    def stubs(self) -> Stubs:
        """The services. Raises RuntimeError once it is closed."""
        if self._stubs is None:
            raise RuntimeError("the client is closed")
        return self._stubs

    async def unary(
        self,
        method: grpc.aio.UnaryUnaryMultiCallable[Request, Response],
        request: Request,
        timeout_s: float,
    ) -> Response:
        """Calls a method once."""
        # On a blocking channel, a stub's methods are the blocking ones, whatever the types say.
        call = cast("grpc.UnaryUnaryMultiCallable[Request, Response]", method)
        try:
            return call(request, timeout=timeout_s, wait_for_ready=self._wait_for_ready)
        except grpc.RpcError:
            if self._stubs is None:
                raise RuntimeError("the client was closed during the call") from None
            raise

    def stream(
        self, method: grpc.aio.UnaryStreamMultiCallable[Request, Response], request: Request
    ) -> _Stream[Response]:
        """Calls a method that is answered with a stream."""
        call = cast("grpc.UnaryStreamMultiCallable[Request, Response]", method)
        return _Stream(call(request))

    def waker(self) -> _Waker:
        """A pause."""
        return _Waker()

    def mailbox(self) -> _Mailbox[Any]:
        """A mailbox."""
        return _Mailbox()

    def run_beside(self, coroutine: Coroutine[Any, Any, None], name: str) -> _Running:
        """Runs a coroutine in a thread of its own."""
        # Daemons: an interpreter that ends must not wait for jobs that somebody watches.
        thread = threading.Thread(target=run, args=(coroutine,), name=name, daemon=True)
        thread.start()
        return _Running(thread)

    async def close(self) -> None:
        """Ends every call, and the connection. Idempotent."""
        self._stubs = None
        self._channel.close()


class _Stream(Generic[Response]):
    """A blocking call that is answered with a stream."""

    def __init__(self, call: grpc._CallIterator[Response]) -> None:
        self._call = call
        self._cancelled = False

    async def read(self) -> Response | None:
        try:
            return next(self._call, None)
        except grpc.RpcError:
            if self._cancelled:
                return None
            raise

    def cancel(self) -> None:
        self._cancelled = True
        self._call.cancel()

    def __del__(self) -> None:
        # gRPC keeps a call alive until it ends, so one that nobody reads would go on for ever.
        self.cancel()


class _Waker:
    """A pause of one thread."""

    def __init__(self) -> None:
        self._woken = threading.Event()

    async def wait(self, seconds: float | None = None) -> None:
        self._woken.wait(seconds)
        self._woken.clear()

    def wake(self) -> None:
        self._woken.set()


class _Mailbox(Generic[Item]):
    """A queue between threads."""

    def __init__(self) -> None:
        self._items: queue.SimpleQueue[Item] = queue.SimpleQueue()

    def put(self, item: Item) -> None:
        self._items.put(item)

    async def get(self) -> Item:
        return self._items.get()


class _Running:
    """A thread."""

    def __init__(self, thread: threading.Thread) -> None:
        self._thread = thread

    async def join(self) -> None:
        self._thread.join()


def _dial(endpoint: Endpoint) -> grpc.Channel:
    if endpoint.credentials is None:
        return grpc.insecure_channel(endpoint.address, endpoint.options)
    return grpc.secure_channel(endpoint.address, endpoint.credentials, endpoint.options)
