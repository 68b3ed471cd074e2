"""More submits than there is room for, and what each is answered."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections import Counter
from typing import TYPE_CHECKING, Any, Final

from penstock.client import StatusError

if TYPE_CHECKING:
    from collections.abc import Callable

    from penstock.client import AsyncClient

__all__ = ["BULK", "Flood"]

#: A queue that no worker serves, and the type of its jobs.
BULK: Final = "bulk"


class Flood:
    """Large jobs that nobody runs, submitted by several at once.

    Args:
        client: to a gateway; one that does not repeat its calls.
        size: of each payload, in bytes.
        options: further ones of each submit.

    Attributes:
        accepted: ids of jobs.
        refusals: of all other submits.
        slowest_s: how long the slowest answer took (s).
    """

    def __init__(self, client: AsyncClient, size: int, **options: Any) -> None:  # noqa: ANN401 - as it says.
        self._client = client
        self._size = size
        self._options = options
        self._numbers = itertools.count()
        self.accepted: list[str] = []
        self.refusals: list[StatusError] = []
        self.slowest_s = 0.0

    @property
    def answers(self) -> Counter[str]:
        """How often each status was answered, by name."""
        return Counter(OK=len(self.accepted)) + Counter(error.code for error in self.refusals)

    async def submit(self) -> bool:
        """One job. Returns whether it was accepted."""
        number, began_s = next(self._numbers), time.monotonic()
        try:
            handle = await self._client.submit(
                BULK,
                number.to_bytes(4) * (self._size // 4),
                queue=BULK,
                idempotency_key=f"{BULK} {number}",
                allow_unregistered=True,
                **self._options,
            )
        except StatusError as error:
            self.refusals.append(error)
            return False
        finally:
            self.slowest_s = max(self.slowest_s, time.monotonic() - began_s)
        self.accepted.append(handle.job_id)
        return True

    async def pour(self, submitters: int, until: Callable[[], bool]) -> None:
        """Submits from so many tasks, until something holds."""

        async def submit() -> None:
            while not until():
                await self.submit()

        async with asyncio.TaskGroup() as group:
            for _ in range(submitters):
                group.create_task(submit())
