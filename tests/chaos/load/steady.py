"""A steady load of one process, which knows what was acknowledged, and what it was told."""

from __future__ import annotations

import asyncio
import itertools
import time
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Final, Self

from penstock.client import JobState, NotFound, PenstockError
from tests.chaos.load.loops import Loops
from tests.chaos.waiting import PATIENCE_S, when

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from penstock.client import AsyncClient, Durability, Job, SubmitOutcome

__all__ = ["Ack", "Load"]

#: After a call that failed (s).
_RESPITE_S: Final = 0.1


@dataclass(frozen=True, slots=True)
class Ack:
    """An acknowledged submit.

    Attributes:
        number: what was submitted; its request id is made of it.
        job_id: as answered.
        began: when it was first sent, in seconds of the monotonic clock.
        at: when it was answered, likewise.
        durability: as answered.
    """

    number: int
    job_id: str
    began: float
    at: float
    durability: Durability | None


@dataclass(frozen=True, slots=True)
class Outcome:
    """An outcome as a client was told it, and when (s, monotonic)."""

    job_id: str
    result: bytes | None
    at: float


class Load(Loops):
    """Submits jobs, and waits for some of them, from several tasks, for as long as it is entered.

    Args:
        client: submits.
        tasks: how many submit at once.
        pause_s: between two submits of a task, in seconds.
        first: the number of the first job.

    Attributes:
        client: as given.
        acks: every acknowledged submit, by number.
        outcomes: every outcome that was waited for, by number.
        errors: of submits and waits that failed, by the name of the exception.
        slowest_s: how long the slowest acknowledged submit took.
    """

    def __init__(
        self, client: AsyncClient, *, tasks: int = 6, pause_s: float = 0.02, first: int = 0
    ) -> None:
        super().__init__(pause_s)
        self._numbers = [itertools.count(first + number, tasks) for number in range(tasks)]
        self.client = client
        self.acks: dict[int, Ack] = {}
        self.outcomes: dict[int, Outcome] = {}
        self.errors: dict[str, int] = {}
        self.slowest_s = 0.0

    async def __aenter__(self) -> Self:
        for numbers in self._numbers:
            self.begin("submit", partial(self._submit, numbers))
        return self

    async def __aexit__(self, *error: object) -> None:
        try:
            if error[0] is None:
                await self.finish()
        finally:
            await super().__aexit__(*error)

    def failed(self, _loop: str, error: Exception, /) -> None:
        """See `Loops`."""
        name = type(error).__name__
        self.errors[name] = self.errors.get(name, 0) + 1

    async def more(self, count: int, within_s: float = PATIENCE_S) -> None:
        """Returns once so many more submits are acknowledged."""
        goal = len(self.acks) + count
        await when(lambda: len(self.acks) >= goal, f"{count} more jobs are acknowledged", within_s)

    async def again(self, ack: Ack) -> SubmitOutcome:
        """Submits the same once more. Returns what the receipt says."""
        handle = await self.client.submit("tally", ack.number, request_id=_request_id(ack.number))
        assert handle.submitted is not None
        assert handle.job_id == ack.job_id, f"{ack} became {handle.job_id}"
        return handle.submitted.outcome

    async def look(self, acks: Sequence[Ack]) -> dict[int, Job | None]:
        """What the service knows of those jobs now, by number; None where it knows nothing."""
        gate = asyncio.Semaphore(20)

        async def look(ack: Ack) -> tuple[int, Job | None]:
            async with gate:
                try:
                    return ack.number, await self.client.status(ack.job_id)
                except NotFound:
                    return ack.number, None

        return dict(await asyncio.gather(*(look(ack) for ack in acks)))

    async def forget_lost(self) -> None:
        """Asks no more for those that are lost: by agreement, as the scenario knows."""
        for number, job in (await self.look(list(self.acks.values()))).items():
            if job is None:
                del self.acks[number]

    async def _submit(self, numbers: Iterator[int]) -> None:
        number = next(numbers)
        began = time.monotonic()
        try:
            handle = await self.client.submit("tally", number, request_id=_request_id(number))
        except PenstockError:
            await asyncio.sleep(_RESPITE_S)
            raise
        now = time.monotonic()
        self.slowest_s = max(self.slowest_s, now - began)
        assert handle.submitted is not None
        self.acks[number] = Ack(number, handle.job_id, began, now, handle.submitted.durability)
        if number % 3 == 0:
            await self._wait(number, handle.job_id)

    async def _wait(self, number: int, job_id: str) -> None:
        with suppress(NotFound):  # Whether it may be lost is for the scenario to say.
            job = await self.client.wait(job_id, timeout=PATIENCE_S)
            if job.state is JobState.SUCCEEDED:
                self.outcomes[number] = Outcome(job_id, job.result_bytes, time.monotonic())


def _request_id(number: int) -> str:
    return f"steady-{number}"
