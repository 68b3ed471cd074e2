"""Wake-ups for watchers: sharded pub/sub, one connection per process, one channel per watched job.

Messages may be lost, so whoever listens also looks by itself now and then. A listener is called for
each message, once its subscription is confirmed, and after every reconnect, since something may
have been missed.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, cast

import hiredis

from penstock.broker.errors import Unavailable
from penstock.broker.handshake import open_connection, parse_endpoint
from penstock.broker.retry import backoff

if TYPE_CHECKING:
    from collections.abc import Callable

_CONNECT_TIMEOUT_S: Final = 5.0
_PING_EVERY_S: Final = 5.0
_FIRST_DELAY_S: Final = 0.05
_LONGEST_DELAY_S: Final = 2.0

_log = logging.getLogger(__name__)


class Wakeups:
    """Subscriptions of one process. Callbacks run in the event loop and must not block."""

    def __init__(self, url: str) -> None:
        self._endpoint = parse_endpoint(url)
        self._callbacks: dict[bytes, set[Callable[[], None]]] = {}
        self._subscriber: _Subscriber | None = None
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begins to connect, in the background, and to stay connected. Does nothing if started."""
        if self._task is None:
            self._task = asyncio.create_task(self._keep_connected(), name="wakeups")

    async def close(self) -> None:
        """Ends the connection. Idempotent."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
            self._task = None

    def listen(self, channel: bytes, callback: Callable[[], None]) -> None:
        """Calls back whenever the channel is published to, until `unlisten`."""
        callbacks = self._callbacks.get(channel)
        if callbacks is None:
            self._callbacks[channel] = {callback}
            if self._subscriber is not None:
                self._subscriber.command(b"SSUBSCRIBE", channel)
        else:
            callbacks.add(callback)

    def unlisten(self, channel: bytes, callback: Callable[[], None]) -> None:
        """Undoes `listen`; does nothing if it was undone before."""
        callbacks = self._callbacks.get(channel)
        if callbacks is None:
            return
        callbacks.discard(callback)
        if not callbacks:
            del self._callbacks[channel]
            if self._subscriber is not None:
                self._subscriber.command(b"SUNSUBSCRIBE", channel)

    async def _keep_connected(self) -> None:
        delays_s = backoff(_FIRST_DELAY_S, _LONGEST_DELAY_S)
        while True:
            subscriber = _Subscriber(self._wake)
            try:
                streams = await open_connection(
                    self._endpoint,
                    subscriber,
                    client_name="penstock-wakeups",
                    timeout_s=_CONNECT_TIMEOUT_S,
                    user_timeout_s=_PING_EVERY_S,
                )
            except (Unavailable, TimeoutError, OSError) as error:
                _log.debug("wake-ups: %s", error)
                await asyncio.sleep(next(delays_s))
                continue
            delays_s = backoff(_FIRST_DELAY_S, _LONGEST_DELAY_S)
            self._subscriber = subscriber
            try:
                for channel in self._callbacks:
                    subscriber.command(b"SSUBSCRIBE", channel)
                await subscriber.watch()
            finally:
                self._subscriber = None
                subscriber.abort()
                del streams  # Held until here: its finalizer closes the transport.

    def _wake(self, channel: bytes) -> None:
        for callback in tuple(self._callbacks.get(channel, ())):
            callback()


class _Subscriber(asyncio.Protocol):
    """One connection in subscriber mode: what arrives on a channel, and whether the peer lives."""

    def __init__(self, wake: Callable[[bytes], None]) -> None:
        self._wake = wake
        self._reader = hiredis.Reader()
        self._transport: asyncio.Transport | None = None
        self._lost = asyncio.Event()
        self._heard = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature.
        self._lost.set()

    def data_received(self, data: bytes) -> None:
        self._heard = True
        self._reader.feed(data)
        while (message := self._reader.gets()) is not False:
            if isinstance(message, list) and message[0] in {b"smessage", b"ssubscribe"}:
                self._wake(cast("bytes", message[1]))
            elif isinstance(message, Exception):
                _log.warning("wake-ups: %s", message)

    def command(self, *args: bytes) -> None:
        """Sends a command; its answer is a message like all others."""
        if self._transport is not None and not self._transport.is_closing():
            pack: Any = hiredis.pack_command
            self._transport.write(pack(args))

    async def watch(self) -> None:
        """Returns when the connection is lost, or the server says nothing although asked to."""
        while True:
            self._heard = False
            self.command(b"PING")
            with suppress(TimeoutError):
                await asyncio.wait_for(self._lost.wait(), _PING_EVERY_S)
                return
            if not self._heard:
                return

    def abort(self) -> None:
        """Drops the connection."""
        if self._transport is not None:
            self._transport.abort()
