"""A connection for one purpose alone, kept up: for reads that block, and for subscriptions."""

from __future__ import annotations

import asyncio
import logging
from abc import ABC, abstractmethod
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, cast

import hiredis

from penstock.broker.errors import Unavailable
from penstock.broker.handshake import open_connection, parse_endpoint
from penstock.broker.retry import backoff

if TYPE_CHECKING:
    from penstock.broker.pipeline import Arg, Reply

_CONNECT_TIMEOUT_S: Final = 5.0
_FIRST_DELAY_S: Final = 0.05
_LONGEST_DELAY_S: Final = 0.5

_log = logging.getLogger(__name__)


class Session(asyncio.Protocol, ABC):
    """One connection, from the handshake's end until it is lost.

    Attributes:
        lost: set once it is.
    """

    def __init__(self) -> None:
        self._reader = hiredis.Reader()
        self._transport: asyncio.Transport | None = None
        self.lost = asyncio.Event()

    @abstractmethod
    async def serve(self) -> bool:
        """Does its work until it is lost or should be; returns whether it was of any use."""

    @abstractmethod
    def received(self, reply: Reply) -> None:
        """Takes one reply, or one message."""

    def command(self, *args: Arg) -> None:
        """Sends a command, unless the connection is going down."""
        if self._transport is not None and not self._transport.is_closing():
            pack: Any = hiredis.pack_command  # The stub says a tuple of one.
            self._transport.write(pack(args))

    def abort(self) -> None:
        """Drops the connection."""
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See asyncio.Protocol; as the two below."""
        self._transport = cast("asyncio.Transport", transport)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002, D102
        self.lost.set()

    def data_received(self, data: bytes) -> None:  # noqa: D102
        self._reader.feed(data)
        while (reply := self._reader.gets()) is not False:
            if isinstance(reply, Exception):
                _log.warning("%s: %s", type(self).__name__, reply)
                self.abort()
                return
            self.received(reply)


class Dedicated(ABC):
    """Opens one session after the other, for as long as it is started.

    Args:
        url: of the server.
        name: of the connection, in CLIENT LIST after penstock-, and in logs.
        user_timeout_s: how long sent bytes may stay unacknowledged (s).

    Raises:
        ValueError: the URL is malformed.
    """

    def __init__(self, url: str, name: str, user_timeout_s: float) -> None:
        self._endpoint = parse_endpoint(url)
        self._name = name
        self._user_timeout_s = user_timeout_s
        self._task: asyncio.Task[None] | None = None

    @abstractmethod
    def _session(self) -> Session:
        """A new session, not yet connected."""

    async def start(self) -> None:
        """Begins to connect, in the background, and to stay connected. Does nothing if started."""
        if self._task is None:
            self._task = asyncio.create_task(self._keep_connected(), name=self._name)

    async def stop(self) -> None:
        """Ends the connection. Idempotent."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    async def _keep_connected(self) -> None:
        delays_s = backoff(_FIRST_DELAY_S, _LONGEST_DELAY_S)
        while True:
            session = self._session()
            try:
                streams = await open_connection(
                    self._endpoint,
                    session,
                    client_name=f"penstock-{self._name}",
                    timeout_s=_CONNECT_TIMEOUT_S,
                    user_timeout_s=self._user_timeout_s,
                )
            except (Unavailable, TimeoutError, OSError) as error:
                _log.debug("%s: %s", self._name, error)
            else:
                try:
                    if await session.serve():
                        delays_s = backoff(_FIRST_DELAY_S, _LONGEST_DELAY_S)
                finally:
                    session.abort()
                    del streams  # Held until here: its finalizer closes the transport.
            await asyncio.sleep(next(delays_s))
