"""The part of the result cache outside of queues: generations of types, keys and tags."""

from __future__ import annotations

from typing import TYPE_CHECKING

from penstock.broker.cache_keys import CacheTarget, fields_for_all
from penstock.broker.engine import DEFAULT_BUDGET_S, Engine
from penstock.broker.retry import with_retry
from penstock.broker.script import load_script

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from penstock.broker.new_job import NewJob

INVALIDATE = load_script("invalidate")


class Cache:
    """Reads and raises generations. They are never held: who needs them reads them anew."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def generations(
        self, jobs: Iterable[NewJob], budget_s: float = DEFAULT_BUDGET_S
    ) -> Mapping[str, str]:
        """What the cached ones of these submits go by, as of now; {} without asking if none is."""
        fields = fields_for_all((job.type, job.cache) for job in jobs if job.cache is not None)
        if not fields:
            return {}
        link, key = self._engine.link, self._engine.names.generations()
        values = await with_retry(
            lambda: link.call("HMGET", key, *fields), link=link, budget_s=budget_s
        )
        return {
            field: "" if value is None else value.decode()
            for field, value in zip(fields, values, strict=True)
        }

    async def invalidate(
        self, targets: Sequence[CacheTarget], budget_s: float = DEFAULT_BUDGET_S
    ) -> None:
        """Gives no submit that begins after this call what was submitted before it. All at once.

        Args:
            targets: at most 2,000.
            budget_s: for all tries, in seconds.
        """
        fields = sorted({target.field for target in targets})
        if fields:
            names = self._engine.names
            await self._engine.write(INVALIDATE, [names.generations()], *fields, budget_s=budget_s)
