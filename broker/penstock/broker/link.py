"""The connection that everybody shares: pipelined, supervised, reconnecting."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Final, TypeAlias

from penstock.broker.errors import ServerRefused, Unavailable, UnsafeServer
from penstock.broker.handshake import open_connection, parse_endpoint
from penstock.broker.pipeline import Arg, Caller, LinkOptions, LinkStats, Pipeline, Reply, fail
from penstock.broker.retry import backoff

if TYPE_CHECKING:
    from asyncio import Future
    from collections.abc import Iterator
    from typing import Self

Hook: TypeAlias = Callable[[Caller], Awaitable[None]]

_FIRST_DELAY_S: Final = 0.05
#: A server that is back is met within this and half of it (s): everybody waits for it.
_LONGEST_DELAY_S: Final = 0.5
#: A connection that lasted for so long was a good one (s).
_GOOD_S: Final = 2.0

_log = logging.getLogger(__name__)


class RedisLink:
    """One multiplexed connection to one Redis node, for short commands of many callers.

    `start` it inside the event loop that will use it; a task keeps it connected until `close`. As
    an async context manager it is started, waited for and closed.

    Never issue a blocking command here (XREAD BLOCK, BLPOP, WAIT), nor a subscription, nor MULTI:
    everybody's replies wait behind it. Such readers have connections of their own.

    Attributes:
        on_connect: called in order after each connect, before anybody else may use the connection,
            with something to issue commands through. One that raises, or outlasts
            connect_timeout_s, fails the attempt, which is then repeated.
        endpoint: host:port or path, fit for logs.
    """

    def __init__(self, url: str, options: LinkOptions | None = None) -> None:
        """Parses the URL; raises ValueError where it is malformed. Nothing is dialled yet."""
        self._endpoint = parse_endpoint(url)
        self._options = options or LinkOptions()
        self._stats = LinkStats()
        self._pipeline: Pipeline | None = None
        self._changed = asyncio.Event()  # Set while connected, and for good once closed.
        self._keeper: asyncio.Task[None] | None = None
        self._closed = False
        self._last_error: Exception | None = None
        self.endpoint = self._endpoint.label
        self.on_connect: list[Hook] = []

    # Commands.

    def call(self, *args: Arg) -> Future[Reply]:
        """Issues a command and returns the future of its reply; many can be issued in one turn.

        Fails at once where there is no connection: `ready` waits for one. See `Pipeline.call`.
        """
        pipeline = self._pipeline
        if pipeline is None:
            future: Future[Reply] = asyncio.get_running_loop().create_future()
            fail(future, self._unavailable())
            return future
        return pipeline.call(*args)

    def send(self, *args: Arg) -> None:
        """Issues a command whose reply nobody needs; failures are counted in the stats."""
        if self._pipeline is None:
            self._stats.failed_sends += 1
        else:
            self._pipeline.send(*args)

    @property
    def connected(self) -> bool:
        """Whether the connection is in service."""
        return self._pipeline is not None

    @property
    def trouble(self) -> Unavailable | None:
        """Why commands cannot be issued now; None while they can."""
        return None if self.connected else self._unavailable()

    @property
    def stats(self) -> LinkStats:
        """A snapshot of the counters."""
        return replace(self._stats, pending=self._pipeline.pending if self._pipeline else 0)

    # Life.

    def start(self) -> None:
        """Begins to connect, in the background, and to stay connected. Does nothing if started."""
        if self._keeper is None and not self._closed:
            self._keeper = asyncio.create_task(self._keep_connected(), name="redis-link")

    async def ready(self, timeout_s: float | None = None) -> None:
        """Returns when the connection is in service.

        Args:
            timeout_s: in seconds; None waits for as long as it takes.

        Raises:
            Unavailable: not within the time, for the reason in its cause; or the link is closed.
        """
        try:
            async with asyncio.timeout(timeout_s):
                while self._pipeline is None and not self._closed:
                    await self._changed.wait()
        except TimeoutError:
            raise self._unavailable() from self._last_error
        if self._closed:
            raise self._unavailable()

    def renew(self, reason: str) -> None:
        """Drops the connection that is in service; it is made anew, and examined like any other."""
        if self._pipeline is not None:
            self._pipeline.abort(reason)

    async def close(self) -> None:
        """Ends the connection; what is pending fails with ConnectionLost. Idempotent."""
        self._closed = True
        self._changed.set()
        if self._keeper:
            self._keeper.cancel()
            await asyncio.wait([self._keeper])

    async def __aenter__(self) -> Self:
        self.start()
        try:
            await self.ready(self._options.connect_timeout_s)
        except BaseException:
            await self.close()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def _unavailable(self) -> Unavailable:
        state = "closed" if self._closed else "not connected"
        text = f"the link to Redis at {self.endpoint} is {state}"
        if self._closed or self._last_error is None:
            return Unavailable(text)
        text += f": {_reason_of(self._last_error)}"
        if isinstance(self._last_error, UnsafeServer):
            return ServerRefused(text, str(self._last_error))
        return Unavailable(text)

    # The keeper.

    async def _keep_connected(self) -> None:
        loop = asyncio.get_running_loop()
        delays_s = backoff(_FIRST_DELAY_S, _LONGEST_DELAY_S)
        while True:
            pipeline = await self._connect(delays_s)
            since = loop.time()
            reason = await self._serve(pipeline)
            self._last_error = ConnectionError(reason)
            _log.warning("redis %s: connection lost: %s", self.endpoint, reason)
            # A server that accepts and drops us again is not asked more and more often for it.
            if loop.time() - since > _GOOD_S:
                delays_s = backoff(_FIRST_DELAY_S, _LONGEST_DELAY_S)
            await asyncio.sleep(next(delays_s))

    async def _connect(self, delays_s: Iterator[float]) -> Pipeline:
        """Tries until a connection is ready for service."""
        loop = asyncio.get_running_loop()
        since = loop.time()
        attempt = 0
        told = ""
        while True:
            attempt += 1
            try:
                pipeline = await self._attempt()
            except Exception as error:  # noqa: BLE001 - whatever a hook raises, we go on trying.
                self._last_error = error
                reason = _reason_of(error)
                # One that stays is told once: a server is asked twice a second.
                level = logging.DEBUG if reason == told else logging.WARNING
                told = reason
                _log.log(level, "redis %s: attempt %d: %s", self.endpoint, attempt, reason)
                await asyncio.sleep(next(delays_s))
            else:
                took_s = loop.time() - since
                verb = "reconnected" if self._stats.connects else "connected"
                _log.info("redis %s: %s (attempt %d, %.1f s)", self.endpoint, verb, attempt, took_s)
                return pipeline

    async def _attempt(self) -> Pipeline:
        options = self._options
        pipeline = Pipeline(options, self._stats, self._go_down)
        pipeline.keepalive = await open_connection(
            self._endpoint,
            pipeline,
            client_name=options.client_name,
            timeout_s=options.connect_timeout_s,
            user_timeout_s=options.stall_timeout_s,
        )
        try:
            for hook in self.on_connect:
                async with asyncio.timeout(options.connect_timeout_s):
                    await hook(pipeline)
        except BaseException:
            pipeline.abort("a connect hook failed")
            await pipeline.ended()
            raise
        return pipeline

    async def _serve(self, pipeline: Pipeline) -> str:
        """Offers the connection to callers until it is lost; returns the reason."""
        self._stats.connects += 1
        self._last_error = None
        self._pipeline = pipeline
        self._changed.set()
        try:
            return await pipeline.ended()
        finally:
            await pipeline.close()

    def _go_down(self) -> None:
        # Called by the pipeline itself: whoever is told of a loss must find `ready` waiting.
        self._pipeline = None
        if not self._closed:
            self._changed.clear()


def _reason_of(error: Exception) -> str:
    return str(error) or type(error).__name__
