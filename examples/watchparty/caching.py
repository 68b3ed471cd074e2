"""Reads through the result cache of Penstock, and past it where that is of no use."""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from examples.watchparty.jobs import READS as QUEUE
from examples.watchparty.reads import READS
from penstock.client import (
    CachePolicy,
    DeadlineExceeded,
    Internal,
    ResourceExhausted,
    SubmitOutcome,
    Unavailable,
    WaitTimeout,
)

if TYPE_CHECKING:
    from pydantic import BaseModel

    from penstock.client import AsyncClient

__all__ = ["Answer", "Reader"]

_log = logging.getLogger("watchparty.cache")

_WORDS: Final = {
    SubmitOutcome.CACHED: "HIT",
    SubmitOutcome.JOINED: "JOINED",
    SubmitOutcome.CREATED: "MISS",
}
_PATIENCE_S: Final = 5.0
"""How long a read waits for a worker before it is answered here."""

_PAUSE_S: Final = 2.0
"""How long nobody asks again after that."""

_AWAY: Final = (DeadlineExceeded, Internal, ResourceExhausted, Unavailable, WaitTimeout)


@dataclass(frozen=True, slots=True)
class Answer:
    """What a read found, and how.

    Attributes:
        data: That was found.
        how: HIT, JOINED (an equal read was under way), MISS, or PAST the cache.
    """

    data: Any
    how: str


class Reader:
    """Answers reads, and forgets answers that have become wrong.

    While the cache, or whoever runs reads for it, is away, reads are answered by the database
    directly; and what should have been forgotten meanwhile is forgotten before it is asked again.

    Args:
        jobs: The client.
        cached: False to leave the cache alone, such as to measure what it brings.
    """

    def __init__(self, jobs: AsyncClient, *, cached: bool = True) -> None:
        self._jobs = jobs
        self._cached = cached
        self._stale: dict[str, int] = {}  # Tag -> number of the last write that made it so.
        self._writes = 0
        self._asks_again_at = 0.0

    async def read(
        self, job_type: str, wanted: BaseModel, *tags: str, fresh: bool = False
    ) -> Answer:
        """Answers a read.

        Args:
            job_type: One of `READS`.
            wanted: What of it.
            *tags: By which the answer is forgotten.
            fresh: Not to be answered from the cache, but to be kept there.
        """
        answer = None
        if self._cached and time.monotonic() >= self._asks_again_at:
            try:
                answer = await self._through_cache(job_type, wanted, tags, fresh=fresh)
            except _AWAY as error:
                self._asks_again_at = time.monotonic() + _PAUSE_S
                _log.warning("reads go past the cache for a while: %s", error)
        if answer is None:
            answer = Answer(await asyncio.to_thread(READS[job_type].run, wanted), "PAST")
        _log.info("%s %s %s", answer.how, job_type, wanted)
        return answer

    async def forget(self, *tags: str) -> None:
        """Forgets answers, once what makes them wrong is committed."""
        self._writes += 1
        self._stale.update(dict.fromkeys(tags, self._writes))
        try:
            await self._settle()
        except _AWAY as error:
            _log.warning("%s: forgotten later: %s", ", ".join(tags), error)

    async def _settle(self) -> None:
        if owed := dict(self._stale):
            await self._jobs.invalidate(tags=owed, rpc_timeout=1)
            # What was written meanwhile, this may have come too early for.
            for tag, write in owed.items():
                if self._stale.get(tag) == write:
                    del self._stale[tag]

    async def _through_cache(
        self, job_type: str, wanted: BaseModel, tags: tuple[str, ...], *, fresh: bool
    ) -> Answer:
        await self._settle()
        handle = await self._jobs.submit(
            job_type,
            wanted,
            queue=QUEUE,
            cache=CachePolicy(READS[job_type].ttl_s, tags=tags, skip_cache=fresh),
            max_attempts=1,
            expires_in=60,
            allow_unregistered=True,
        )
        data = await handle.result(timeout=_PATIENCE_S)
        return Answer(data, _WORDS[handle.outcome or SubmitOutcome.CREATED])
