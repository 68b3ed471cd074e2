"""The one who listens to a worker's bell: a blocking read, on a connection of its own.

The read is never cancelled half-way, which would lose its reply in a shared buffer: the connection
is this reader's alone, and is dropped as a whole. Hints may be lost; see `doorbell.py`.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, cast

import hiredis

from penstock.broker.doorbell import CANCEL_MARK
from penstock.broker.errors import Unavailable
from penstock.broker.handshake import open_connection, parse_endpoint
from penstock.broker.keys import NamespaceKeys
from penstock.broker.retry import backoff

if TYPE_CHECKING:
    from collections.abc import Callable

#: How long the server blocks on one read (s).
BLOCK_S: Final = 2
#: A read without an answer for so much longer is on a dead connection (s).
MARGIN_S: Final = 3.0
#: Hints that one read takes, as many as a bell holds.
HINTS: Final = 32

_CONNECT_TIMEOUT_S: Final = 5.0
_FIRST_DELAY_S: Final = 0.05
_LONGEST_DELAY_S: Final = 2.0

_log = logging.getLogger(__name__)


class BellReader:
    """Reads one worker's bell for as long as it is started. Callbacks must not block.

    Args:
        url: of the server.
        namespace: of the worker.
        worker_id: whose bell.
        on_jobs: called with queue code and partition where there may be jobs.
        on_cancel: called with the id of a job whose cancel is requested.

    Raises:
        ValueError: the URL is malformed.
    """

    def __init__(
        self,
        url: str,
        namespace: str,
        worker_id: str,
        *,
        on_jobs: Callable[[str, int], None],
        on_cancel: Callable[[str], None],
    ) -> None:
        self._endpoint = parse_endpoint(url)
        self._bell = NamespaceKeys(namespace).bell(worker_id)
        self._on_jobs = on_jobs
        self._on_cancel = on_cancel
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begins to connect, in the background, and to stay connected. Does nothing if started."""
        if self._task is None:
            self._task = asyncio.create_task(self._keep_reading(), name="bell")

    async def stop(self) -> None:
        """Ends the connection. Idempotent."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    async def _keep_reading(self) -> None:
        delays_s = backoff(_FIRST_DELAY_S, _LONGEST_DELAY_S)
        while True:
            connection = _BellConnection(self._bell, self._heard)
            try:
                streams = await open_connection(
                    self._endpoint,
                    connection,
                    client_name="penstock-bell",
                    timeout_s=_CONNECT_TIMEOUT_S,
                    user_timeout_s=BLOCK_S + MARGIN_S,
                )
            except (Unavailable, TimeoutError, OSError) as error:
                _log.debug("bell: %s", error)
            else:
                try:
                    if await connection.read_until_lost():
                        delays_s = backoff(_FIRST_DELAY_S, _LONGEST_DELAY_S)
                finally:
                    connection.abort()
                    del streams  # Held until here: its finalizer closes the transport.
            await asyncio.sleep(next(delays_s))

    def _heard(self, hint: bytes) -> None:
        text = hint.decode("utf-8", "replace")
        if text.startswith(CANCEL_MARK):
            self._on_cancel(text.removeprefix(CANCEL_MARK))
            return
        code, _, partition = text.partition(":")
        if partition.isascii() and partition.isdigit():
            self._on_jobs(code, int(partition))


class _BellConnection(asyncio.Protocol):
    """One connection that asks for hints again and again."""

    def __init__(self, bell: bytes, heard: Callable[[bytes], None]) -> None:
        self._bell = bell
        self._heard = heard
        self._reader = hiredis.Reader()
        self._transport: asyncio.Transport | None = None
        self._news = asyncio.Event()  # An answer has come, or the connection is lost.
        self._lost = False
        self._answers = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature.
        self._lost = True
        self._news.set()

    def data_received(self, data: bytes) -> None:
        self._reader.feed(data)
        while (reply := self._reader.gets()) is not False:
            if isinstance(reply, Exception):
                _log.warning("bell: %s", reply)
                self.abort()
                return
            self._answers += 1
            self._ask()
            self._news.set()
            if reply is not None:
                for hint in cast("list[Any]", reply)[1]:
                    self._heard(hint)

    async def read_until_lost(self) -> bool:
        """Reads until the connection is lost or answers no more. Returns whether it ever did."""
        self._ask()
        with suppress(TimeoutError):
            while not self._lost:
                self._news.clear()
                async with asyncio.timeout(BLOCK_S + MARGIN_S):
                    await self._news.wait()
        return self._answers > 0

    def abort(self) -> None:
        """Drops the connection."""
        if self._transport is not None:
            self._transport.abort()

    def _ask(self) -> None:
        if self._transport is not None and not self._transport.is_closing():
            pack: Any = hiredis.pack_command
            self._transport.write(
                pack((b"BLMPOP", BLOCK_S, 1, self._bell, b"LEFT", b"COUNT", HINTS))
            )
