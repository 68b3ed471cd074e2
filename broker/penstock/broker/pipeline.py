"""One connection as a pipeline: commands out in order, replies in, each to its own future.

This is the hot path of everything: a command costs 1 to 2 us of CPU here under load, so it trades a
little repetition for few calls, and keeps counters per write rather than per command.
"""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, cast

import hiredis

from penstock.broker.errors import ConnectionLost, Overloaded, Unavailable, reply_error
from penstock.broker.pacing import Watchdog, Window

if TYPE_CHECKING:
    from asyncio import Future
    from collections.abc import Callable

Arg: TypeAlias = bytes | str | int
"""An argument of a command. A str is sent as UTF-8, an int in decimal."""

Reply: TypeAlias = Any
"""A RESP2 reply: bytes (a status such as OK, too), int, None or a list of replies.

Any, since whoever issues a command knows the one shape that its reply has.
"""

# The stub says a tuple of one.
_pack: Callable[[tuple[Arg, ...]], bytes] = hiredis.pack_command  # type: ignore[assignment]


class Caller(Protocol):
    """What runs a command: a `RedisLink`, or the `Pipeline` that a connect hook is given."""

    def call(self, *args: Arg) -> Future[Reply]:
        """Issues a command; see `Pipeline.call`."""


@dataclass(frozen=True, slots=True)
class LinkOptions:
    """What may be tuned on a connection.

    Attributes:
        client_name: shown by CLIENT LIST.
        connect_timeout_s: bound of one attempt to connect and of each connect hook, in seconds.
        stall_timeout_s: a connection whose commands wait for so long without a byte coming in is
            given up, in seconds. Must exceed what Redis needs for all the commands of one read,
            since it answers them together.
        ping_interval_s: an idle connection is tried so often, in seconds.
        max_pending: unanswered commands beyond which a call fails with `Overloaded`.
        max_unsent_bytes: likewise, of commands that the connection does not take now.
        coalesce_ms: at high rates, how long a write waits so that one carries several commands, in
            ms; 0 writes once per turn of the event loop. 1 costs little latency and saves Redis
            CPU; uvloop's timers have a resolution of 1 ms.
    """

    client_name: str = "penstock"
    connect_timeout_s: float = 5.0
    stall_timeout_s: float = 5.0
    ping_interval_s: float = 15.0
    max_pending: int = 20_000
    max_unsent_bytes: int = 32 * 1024 * 1024
    coalesce_ms: float = 0.0


@dataclass(slots=True)
class LinkStats:
    """Counters since the link was made; pending is of the moment.

    Attributes:
        commands: handed to the socket.
        connects: connections that came into service, the first included.
        dropped_replies: replies whose caller had gone.
        failed_sends: fire-and-forget commands that were refused, lost or answered with an error.
        pending: commands that wait for their reply.
    """

    commands: int = 0
    connects: int = 0
    dropped_replies: int = 0
    failed_sends: int = 0
    pending: int = 0


def fail(future: Future[Reply], error: Unavailable | Overloaded) -> None:
    """Fails a command for want of a connection.

    Its error counts as seen: where one awaits the first of many commands that fail together, the
    others would each be logged as never retrieved.
    """
    future.set_exception(error)
    future.exception()


class Pipeline(asyncio.Protocol):
    """The protocol of one connection, from the handshake's end until it is lost.

    Not for blocking commands (XREAD BLOCK, BLPOP, WAIT), subscriptions, MULTI or anything else that
    changes the connection: every caller shares it, and each reply waits for those before it.
    """

    def __init__(self, options: LinkOptions, stats: LinkStats, on_down: Callable[[], None]) -> None:
        """Needs a running event loop; on_down is called once it refuses commands for good."""
        self._loop = asyncio.get_running_loop()
        self._create_future = self._loop.create_future
        self._options = options
        self._stats = stats
        self._reader = hiredis.Reader(replyError=reply_error)
        # Callers in the order of their commands; None for fire-and-forget.
        self._pending: deque[Future[Reply] | None] = deque()
        self._unsent: list[bytes] = []  # The commands of the last len(_unsent) entries above.
        self._on_down = on_down
        self._limit = 0  # Of _pending. 0 while out of service, which saves the hot path a check.
        self._writable = True
        self._held_bytes = 0  # Of commands that came while the connection took none.
        self._window = Window(options.coalesce_ms / 1000) if options.coalesce_ms else None
        self._watchdog = Watchdog(
            self,
            stall_timeout_s=options.stall_timeout_s,
            ping_interval_s=options.ping_interval_s,
        )
        self._transport: asyncio.Transport
        self._reason: str | None = None
        self._ended: Future[str] = self._create_future()
        self.keepalive: object = None
        """What must live as long as the transport; see `handshake.open_connection`."""

    # Commands.

    def call(self, *args: Arg) -> Future[Reply]:
        """Issues a command; its reply or error arrives in the future.

        Cancelling the future drops the reply, never the command.

        Raises, through the future:
            ReplyError: Redis answered with an error.
            ConnectionLost: the connection broke first.
            Unavailable: not connected; nothing was sent.
            Overloaded: max_pending commands are unanswered, or too many bytes wait to be sent;
                nothing was sent.

        Raises, at once:
            TypeError: an argument is of another type.
        """
        packed = _pack(args)
        future: Future[Reply] = self._create_future()
        pending = self._pending
        if len(pending) >= self._limit:
            fail(future, self._refusal())
            return future
        if not self._writable and not self._has_room(len(packed)):
            fail(future, Overloaded("Redis takes commands too slowly; too many wait to be sent"))
            return future
        pending.append(future)
        unsent = self._unsent
        unsent.append(packed)
        if len(unsent) == 1:
            self._schedule_write()
        return future

    def send(self, *args: Arg) -> None:
        """Issues a command whose reply nobody needs; failures are counted in the stats."""
        packed = _pack(args)
        if len(self._pending) >= self._limit:
            self._stats.failed_sends += 1
            return
        self._pending.append(None)
        self._unsent.append(packed)
        if len(self._unsent) == 1:
            self._schedule_write()

    @property
    def pending(self) -> int:
        """Commands that wait for their reply."""
        return len(self._pending)

    def _refusal(self) -> Unavailable | Overloaded:
        if self._limit:
            return Overloaded(f"{self._limit} commands to Redis are unanswered")
        return Unavailable("the connection to Redis is closed")

    def _has_room(self, size: int) -> bool:
        """Whether a command may wait until the connection takes more; counts it if so."""
        if self._held_bytes + size > self._options.max_unsent_bytes:
            return False
        self._held_bytes += size
        return True

    def _schedule_write(self) -> None:
        delay_s = self._window.delay_s() if self._window else 0.0
        if delay_s:
            self._loop.call_later(delay_s, self._write)
        else:
            self._loop.call_soon(self._write)

    def _write(self) -> None:
        unsent = self._unsent
        # What cannot be written now stays in _unsent, and is known not to have been executed.
        if not unsent or not self._writable or self._transport.is_closing():
            return
        self._stats.commands += len(unsent)
        if self._window:
            self._window.written(len(unsent), self._loop.time())
        self._unsent = []
        self._transport.write(b"".join(unsent))

    # Callbacks of the event loop.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Goes into service."""
        self._transport = cast("asyncio.Transport", transport)
        self._limit = self._options.max_pending
        self._watchdog.start()

    def data_received(self, data: bytes) -> None:
        """Hands each complete reply to the caller whose turn it is."""
        self._watchdog.heard = True
        try:
            self._reader.feed(data)
            self._resolve()
        except (hiredis.ProtocolError, IndexError) as error:
            # Which reply belongs to whom is unknown from here on.
            self.abort(f"protocol error: {error}")

    def _resolve(self) -> None:
        gets, next_caller = self._reader.gets, self._pending.popleft
        while (reply := gets()) is not False:  # False: no complete reply. RESP2 has no booleans.
            future = next_caller()
            if future is None:
                if isinstance(reply, Exception):
                    self._stats.failed_sends += 1
            elif future.done():
                self._stats.dropped_replies += 1
            elif isinstance(reply, Exception):
                future.set_exception(reply)
            else:
                future.set_result(reply)

    def pause_writing(self) -> None:
        """Holds commands back while the socket takes no more."""
        self._writable = False

    def resume_writing(self) -> None:
        """Writes what was held back."""
        self._writable = True
        self._held_bytes = 0
        self._write()

    def connection_lost(self, exc: Exception | None) -> None:
        """Fails everything that is pending."""
        self._go_down()
        reason = self._reason or str(exc or "closed by the server")
        written = len(self._pending) - len(self._unsent)
        for position, future in enumerate(self._pending):
            if future is None:
                self._stats.failed_sends += 1
            elif not future.done():
                message = f"connection to Redis lost: {reason}"
                fail(future, ConnectionLost(message, maybe_executed=position < written))
        self._pending.clear()
        self._unsent.clear()
        self._ended.set_result(reason)

    # The end.

    async def ended(self) -> str:
        """Waits until the connection has ended, and returns the reason."""
        # Shielded: the future has several waiters, and outlives each of them.
        return await asyncio.shield(self._ended)

    def abort(self, reason: str) -> None:
        """Ends the connection at once, without writing what is left."""
        self._go_down()
        self._reason = self._reason or reason
        self._transport.abort()

    async def close(self, timeout_s: float = 1.0) -> None:
        """Writes what is left and ends the connection; whoever still waits gets ConnectionLost."""
        self._go_down()
        self._reason = self._reason or "closed"
        self._write()
        self._transport.close()
        try:
            async with asyncio.timeout(timeout_s):
                await self.ended()
        except TimeoutError:  # The server takes no more bytes, or does not answer TLS's farewell.
            self._transport.abort()
            await self.ended()

    def _go_down(self) -> None:
        if self._limit:
            self._limit = 0
            self._watchdog.stop()
            self._on_down()
