"""Calls that are repeated for as long as it makes sense.

gRPC repeats a call itself, within about a second (service_config.json). That hides a dropped
connection; a gateway that restarts takes longer, and is met here. Every method may be repeated:
those that store something carry a request id, the others ask, or do again what is done already.
"""

from __future__ import annotations

import random
import time
from typing import TYPE_CHECKING, Final, TypeVar

import grpc

from penstock.client.errors import (
    DeadlineExceeded,
    Internal,
    ResourceExhausted,
    StatusError,
    Unavailable,
)
from penstock.client.status import error_of

if TYPE_CHECKING:
    from grpc import aio

    from penstock.client.transport import Stream, Stubs, Transport

Request = TypeVar("Request")
Response = TypeVar("Response")

FIRST_PAUSE_S: Final = 0.1
LONGEST_PAUSE_S: Final = 1.0


def is_passing(error: StatusError) -> bool:
    """Whether it is worth while to try again: nothing is wrong with the call itself."""
    if isinstance(error, ResourceExhausted):
        # Without a hint when to come back it is a limit that time does not mend, such as the size
        # of a message.
        return error.retry_after_s is not None
    return isinstance(error, Unavailable)


def is_break(error: StatusError) -> bool:
    """Whether a stream that ends so may be gone on with.

    Besides what is passing: what gateways never send, so that it was made on the way, by a proxy's
    time limit, or by a connection that broke in the middle of a frame.
    """
    cut = isinstance(error, Internal) and "RST_STREAM" in error.status.message
    return cut or is_passing(error) or isinstance(error, DeadlineExceeded)


class Outage:
    """A time in which calls fail, from the first failure on, and when to call again.

    Args:
        limit_s: how long it may last, in seconds.
    """

    def __init__(self, limit_s: float) -> None:
        self._limit_s = limit_s
        self._failures = 0
        self._ends_by = 0.0

    def over(self) -> None:
        """A call succeeded."""
        self._failures = 0

    def pause_s(self, error: StatusError) -> float:
        """The pause before the next try after a failure that is passing, in seconds.

        Raises:
            StatusError: the error itself, if the outage would outlast its limit.
        """
        now = time.monotonic()
        if self._failures == 0:
            self._ends_by = now + self._limit_s
        # The exponent is bounded so that a long outage cannot overflow the float.
        backoff = min(FIRST_PAUSE_S * 2.0 ** min(self._failures, 16), LONGEST_PAUSE_S)
        self._failures += 1
        # At least half of it, so that callers spread without calling at once again.
        pause = max(backoff * random.uniform(0.5, 1.0), error.retry_after_s or 0.0)  # noqa: S311 - spread, no secret.
        if now + pause >= self._ends_by:
            raise error
        return pause


class Rpc:
    """Calls over a transport, with the errors of this client.

    Args:
        transport: that they go over.
        timeout_s: of a call that is given none, retries included, in seconds.
        reconnect_for_s: how long a wait or a watch outlives a gateway that is away, in seconds.
        retry_for_s: how long after its start a call is still repeated, in seconds; None is to the
            end of its time.
    """

    def __init__(
        self,
        transport: Transport,
        timeout_s: float,
        reconnect_for_s: float,
        retry_for_s: float | None = None,
    ) -> None:
        self.transport = transport
        self.timeout_s = timeout_s
        self.reconnect_for_s = reconnect_for_s
        self._retry_for_s = retry_for_s

    @property
    def stubs(self) -> Stubs:
        """The services of the gateway."""
        return self.transport.stubs

    async def call(
        self,
        method: aio.UnaryUnaryMultiCallable[Request, Response],
        request: Request,
        timeout_s: float | None = None,
    ) -> Response:
        """Calls a method until it is answered, or until the time is up.

        Args:
            method: of a stub.
            request: of that method.
            timeout_s: for all tries together, in seconds; None is the client's own.

        Raises:
            StatusError: of the last try.
        """
        budget_s = self.timeout_s if timeout_s is None else timeout_s
        began = time.monotonic()
        give_up = began + budget_s
        retry_by = give_up if self._retry_for_s is None else began + self._retry_for_s
        outage: Outage | None = None
        cause: StatusError | None = None
        while True:
            try:
                return await self.once(method, request, max(give_up - time.monotonic(), 0.001))
            except StatusError as error:
                if isinstance(error, DeadlineExceeded) and cause is not None:
                    raise cause from None  # It tells more than that the time is up.
                if not is_passing(error):
                    raise
                cause = error
                outage = outage or Outage(max(min(give_up, retry_by) - time.monotonic(), 0.0))
                pause_s = outage.pause_s(error)
            await self.transport.waker().wait(pause_s)

    async def once(
        self,
        method: aio.UnaryUnaryMultiCallable[Request, Response],
        request: Request,
        timeout_s: float,
    ) -> Response:
        """Calls a method. Raises StatusError."""
        try:
            return await self.transport.unary(method, request, timeout_s)
        except grpc.RpcError as error:
            raise error_of(error, self.transport.address) from error

    async def read(self, stream: Stream[Response]) -> Response | None:
        """The next message of a stream, or None. Raises StatusError."""
        try:
            return await stream.read()
        except grpc.RpcError as error:
            raise error_of(error, self.transport.address) from error
