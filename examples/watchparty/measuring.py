"""How long a read takes from the database, as a job, and from the cache: through the same API."""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

    import httpx

__all__ = ["Comparison", "compare"]

_TIMES: Final = 25
_FRESH: Final = {"cache-control": "no-cache"}


@dataclass(frozen=True, slots=True)
class Comparison:
    """What was measured of one read; medians over HTTP, in ms.

    Attributes:
        name: Of the read.
        direct_ms: By an API that asks the database itself, without jobs or cache.
        job_ms: As a job that is run each time.
        cached_ms: From the cache.
        all_hits: Whether every cached answer said that it was cached.
        equal: Whether each of them was what the last job had read.
    """

    name: str
    direct_ms: float
    job_ms: float
    cached_ms: float
    all_hits: bool
    equal: bool

    @property
    def told(self) -> str:
        """In words."""
        return (
            f"{self.direct_ms:.1f} ms from the database, {self.job_ms:.1f} ms as a job, "
            f"{self.cached_ms:.1f} ms cached: {self.direct_ms / self.cached_ms:.1f} times as fast"
        )


async def compare(
    api: httpx.AsyncClient, direct: httpx.AsyncClient, name: str, path: str
) -> Comparison:
    """Reads a path many times in each of the three ways, one by one."""
    for client in (direct, api):  # Once each that does not count.
        await client.get(path)
    direct_ms, _ = await _timed(direct, path, {})
    job_ms, from_jobs = await _timed(api, path, _FRESH)
    cached_ms, cached = await _timed(api, path, {})
    all_hits = all(each["cached"] for each in cached)
    equal = all(each["data"] == from_jobs[-1]["data"] for each in cached)
    return Comparison(name, direct_ms, job_ms, cached_ms, all_hits, equal)


async def _timed(
    client: httpx.AsyncClient, path: str, headers: Mapping[str, str]
) -> tuple[float, list[dict[str, object]]]:
    times_ms, answers = [], []
    for _ in range(_TIMES):
        began = time.perf_counter()
        answer = await client.get(path, headers=headers)
        times_ms.append(1000 * (time.perf_counter() - began))
        answers.append(answer.raise_for_status().json())
    return statistics.median(times_ms), answers
