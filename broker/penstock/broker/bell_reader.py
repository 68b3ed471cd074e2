"""The one who listens to a worker's bell: a blocking read, on a connection of its own.

The read is never cancelled half-way: the connection is dropped as a whole. Hints may be lost; see
`doorbell.py`.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from penstock.broker.dedicated import Dedicated, Session
from penstock.broker.doorbell import CANCEL_MARK
from penstock.broker.keys import NamespaceKeys

if TYPE_CHECKING:
    from collections.abc import Callable

    from penstock.broker.pipeline import Reply

#: How long the server blocks on one read (s).
BLOCK_S: Final = 2
#: A read without an answer for so much longer is on a dead connection (s).
MARGIN_S: Final = 3.0
#: Hints that one read takes, as many as a bell holds.
HINTS: Final = 32


class BellReader(Dedicated):
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
        super().__init__(url, "bell", BLOCK_S + MARGIN_S)
        self._bell = NamespaceKeys(namespace).bell(worker_id)
        self._on_jobs = on_jobs
        self._on_cancel = on_cancel

    def _session(self) -> Session:
        return _Reading(self._bell, self._heard)

    def _heard(self, hint: bytes) -> None:
        text = hint.decode("utf-8", "replace")
        if text.startswith(CANCEL_MARK):
            self._on_cancel(text.removeprefix(CANCEL_MARK))
            return
        code, _, partition = text.partition(":")
        if partition.isascii() and partition.isdigit():
            self._on_jobs(code, int(partition))


class _Reading(Session):
    """One connection that asks for hints again and again."""

    def __init__(self, bell: bytes, heard: Callable[[bytes], None]) -> None:
        super().__init__()
        self._bell = bell
        self._hear = heard
        self._answers = 0

    async def serve(self) -> bool:
        self._ask()
        before = -1
        while self._answers > before and not self.lost.is_set():
            before = self._answers
            with suppress(TimeoutError):
                await asyncio.wait_for(self.lost.wait(), BLOCK_S + MARGIN_S)
        return self._answers > 0

    def received(self, reply: Reply) -> None:
        self._answers += 1
        self._ask()
        if reply is not None:
            for hint in reply[1]:
                self._hear(hint)

    def _ask(self) -> None:
        self.command(b"BLMPOP", BLOCK_S, 1, self._bell, b"LEFT", b"COUNT", HINTS)
