"""The data of an attempt: a worker's right to it, and what a renewal tells.

Times and spans are as those of `job`.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from penstock.broker.job import Backoff, Content, Message


@dataclass(frozen=True, slots=True)
class Grant:
    """A worker's right to one attempt. Every write that it makes carries fencing_token.

    A suspect is a job that one more crash would have quarantined: its worker runs it alone, and
    says so by `Attempts.begin`.
    """

    job_id: str
    type: str
    queue: str
    fencing_token: int
    attempt: int
    failures: int
    crashes: int
    max_attempts: int
    backoff: Backoff
    payload: Content
    created_ms: int
    queued_ms: int
    granted_ms: int
    deadline_ms: int | None
    timeout_ms: int | None
    metadata: Mapping[str, str]
    checkpoint: bytes | None
    cancel_requested: bool
    message: Message | None
    schedule_id: str = ""
    occurrence_ms: int | None = None
    suspect: bool = False


class Renewal(Enum):
    """What a renewal tells about one lease."""

    RENEWED = 1
    CANCEL_REQUESTED = 2
    LOST = 0
