"""What a context stands between: what is known of an attempt, and where its words go."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from penstock.broker import CacheTarget, Message

__all__ = ["Facts", "Outlet"]


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of an attempt before it runs. See the properties of the contexts."""

    job_id: str
    type: str
    queue: str
    attempt: int
    max_attempts: int
    fencing_token: int
    deadline_ms: int | None
    metadata: Mapping[str, str]
    checkpoint: bytes | None
    schedule_id: str = ""
    occurrence_ms: int | None = None
    message: Message | None = None


class Outlet(Protocol):
    """Where what a handler says goes to. Used in the event loop's thread alone."""

    def progress(self, current: float, total: float, message: str) -> None:
        """Takes progress; the latest wins."""

    def log(self, level: str, message: str) -> None:
        """Takes a line of log."""

    async def emit(self, data: bytes) -> None:
        """Takes a chunk, as soon as there is room. Raises Stopped once the attempt is over."""

    async def checkpoint(self, data: bytes) -> None:
        """Returns once the data is stored. Raises Stopped once the attempt is over."""

    async def invalidate(self, targets: Sequence[CacheTarget]) -> None:
        """Returns once the results count no more. Raises Stopped once the attempt is over."""
