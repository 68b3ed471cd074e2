"""Wake-ups for watchers: sharded pub/sub, one connection per process, one channel per watched job.

Messages may be lost, so whoever listens also looks by itself now and then. A listener is called for
each message, once its subscription is confirmed, and after every reconnect, since something may
have been missed.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from penstock.broker.dedicated import Dedicated, Session

if TYPE_CHECKING:
    from collections.abc import Callable

    from penstock.broker.pipeline import Reply

#: A server that answers nothing for so long is taken for dead (s).
PING_EVERY_S: Final = 5.0


class Wakeups(Dedicated):
    """Subscriptions of one process. Callbacks run in the event loop and must not block."""

    def __init__(self, url: str) -> None:
        super().__init__(url, "wakeups", PING_EVERY_S)
        self._callbacks: dict[bytes, set[Callable[[], None]]] = {}
        self._current: _Subscriptions | None = None

    def listen(self, channel: bytes, callback: Callable[[], None]) -> None:
        """Calls back whenever the channel is published to, until `unlisten`."""
        callbacks = self._callbacks.setdefault(channel, set())
        if not callbacks and self._current is not None:
            self._current.command(b"SSUBSCRIBE", channel)
        callbacks.add(callback)

    def unlisten(self, channel: bytes, callback: Callable[[], None]) -> None:
        """Undoes `listen`; does nothing if it was undone before."""
        callbacks = self._callbacks.get(channel)
        if callbacks is None:
            return
        callbacks.discard(callback)
        if not callbacks:
            del self._callbacks[channel]
            if self._current is not None:
                self._current.command(b"SUNSUBSCRIBE", channel)

    def _session(self) -> Session:
        self._current = _Subscriptions(self._callbacks)
        return self._current


class _Subscriptions(Session):
    """One connection in subscriber mode."""

    def __init__(self, callbacks: dict[bytes, set[Callable[[], None]]]) -> None:
        super().__init__()
        self._callbacks = callbacks
        self._heard = False
        self._was_answered = False

    async def serve(self) -> bool:
        for channel in self._callbacks:
            self.command(b"SSUBSCRIBE", channel)
        self._heard = True
        while self._heard and not self.lost.is_set():
            self._heard = False
            self.command(b"PING")
            with suppress(TimeoutError):
                await asyncio.wait_for(self.lost.wait(), PING_EVERY_S)
        # One that is answered with errors alone (BUSY, NOPERM) is not tried more and more often.
        return self._was_answered

    def received(self, reply: Reply) -> None:
        self._heard = self._was_answered = True
        if isinstance(reply, list) and reply[0] in {b"smessage", b"ssubscribe"}:
            for callback in tuple(self._callbacks.get(reply[1], ())):
                callback()
