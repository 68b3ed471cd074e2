"""The date that the server of a run goes by."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from tests.chaos.history.journal import Journal
    from tests.chaos.server.preload import Dial

__all__ = ["ServerDate"]

_NS_PER_MS: Final = 1_000_000


class ServerDate:
    """Turns it, and writes down when.

    Args:
        offset: of the server's date from the true one, in ns; of the shim "clock".
        journal: takes the lines.
    """

    def __init__(self, offset: Dial, journal: Journal) -> None:
        self._offset = offset
        self._journal = journal
        self._ahead_ms = 0
        self._latest_ms = 0

    def jump(self, by_ms: int) -> str:
        """At once; negative is back. Returns from where to where, as a strike tells it."""
        self._ahead_ms += by_ms
        self._latest_ms = max(self._latest_ms, self._ahead_ms)
        self._journal.write("clock", ahead_ms=self._ahead_ms)
        self._offset.value = self._ahead_ms * _NS_PER_MS
        self._journal.write("clock", ahead_ms=self._ahead_ms, turned=True)
        return f"by {by_ms / 1000:+.1f} s, to {self._ahead_ms / 1000:+.1f} s"

    def to_the_latest(self) -> None:
        """Turns it to where it was furthest ahead: nothing has long to wait for a date then."""
        if self._ahead_ms < self._latest_ms:
            self.jump(self._latest_ms - self._ahead_ms)
