"""Stores jobs, one by one and in batches: each is tried until it is settled, and rung for."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING, Any, Final

from penstock.broker.errors import NotReplicated, PenstockError, Unavailable
from penstock.broker.new_job import NewJob, SubmitOutcome, Submitted
from penstock.broker.retry import with_retry

if TYPE_CHECKING:
    from collections.abc import Awaitable, Iterator, Mapping, Sequence

    from penstock.broker.cache import Cache
    from penstock.broker.doorbell import Doorbell
    from penstock.broker.engine import Engine
    from penstock.broker.keys import Slot
    from penstock.broker.preparer import Preparer
    from penstock.broker.replication import Replication

#: Payload of one call's submits that are unanswered at any time, but for one that is longer.
BYTES_UNDER_WAY: Final = 4 * 2**20


class Submitter:
    """Puts submits under way, and waits for what becomes of them."""

    def __init__(
        self, engine: Engine, doorbell: Doorbell, cache: Cache, preparer: Preparer
    ) -> None:
        self._engine = engine
        self._doorbell = doorbell
        self._cache = cache
        self._preparer = preparer

    async def submit(self, job: NewJob, budget_s: float) -> Submitted:
        """Stores a job, and wakes who may run it: see `Jobs.submit`."""

        async def attempt() -> Submitted:
            # Prepared each time: after a reconnect, the server may have lost the queue or the mark.
            slot, script, args = await self._preparer.prepare(job, budget_s, tell_result=True)
            flight = self._engine.held(script.run(self._engine.link, [slot.base], args))
            if job.cache is None:
                # Issued behind the submit, on the same connection: it rings once the job is there.
                self._doorbell.ring_soon(slot)
                return self._preparer.receipt(job, slot, await flight)
            receipt = self._preparer.receipt(job, slot, await flight)
            # Mostly there is nobody to wake; but a first try may not have come to ring.
            if receipt.outcome in {SubmitOutcome.CREATED, SubmitOutcome.REPEATED}:
                self._doorbell.ring_soon(slot)
            return receipt

        return await with_retry(attempt, link=self._engine.link, budget_s=budget_s)

    async def submit_many(
        self, jobs: Sequence[NewJob], budget_s: float
    ) -> list[Submitted | PenstockError]:
        """Stores many jobs: see `Jobs.submit_many`."""
        deadline = asyncio.get_running_loop().time() + budget_s
        generations = await self._generations(jobs, budget_s)
        answers: list[Submitted | PenstockError] = []
        for together in _in_goes(jobs):
            answers += await self._submit_together(together, generations, deadline)
        return answers

    async def _submit_together(
        self, jobs: Sequence[NewJob], generations: Mapping[str, str] | None, deadline: float
    ) -> list[Submitted | PenstockError]:
        replication = self._engine.replication
        history = replication.history if replication is not None else ""
        flights = await self._issue(jobs, generations, deadline)
        answers = await self._answers(jobs, flights, deadline)
        if replication is not None:
            answers = await self._confirmed(jobs, answers, history, replication, deadline)
        return answers

    async def _issue(
        self, jobs: Sequence[NewJob], generations: Mapping[str, str] | None, deadline: float
    ) -> list[tuple[Slot, Awaitable[Any]] | PenstockError]:
        """Puts jobs under way, and a ring for each slot behind them; or why one could not be."""
        loop = asyncio.get_running_loop()
        flights: list[tuple[Slot, Awaitable[Any]] | PenstockError] = []
        rings: Counter[Slot] = Counter()
        for job in jobs:
            try:
                left_s = max(0.0, deadline - loop.time())
                slot, script, args = await self._preparer.prepare(job, left_s, generations)
            except PenstockError as error:
                flights.append(error)
                continue
            flights.append((slot, script.run(self._engine.link, [slot.base], args)))
            rings[slot] += 1
        for slot, count in rings.items():
            self._doorbell.ring(slot, count)
        return flights

    async def _answers(
        self,
        jobs: Sequence[NewJob],
        flights: Sequence[tuple[Slot, Awaitable[Any]] | PenstockError],
        deadline: float,
    ) -> list[Submitted | PenstockError]:
        """What became of jobs that are under way."""
        loop = asyncio.get_running_loop()
        answers: list[Submitted | PenstockError] = []
        for job, flight in zip(jobs, flights, strict=True):
            if isinstance(flight, PenstockError):
                answers.append(flight)
                continue
            try:
                answers.append(self._preparer.receipt(job, flight[0], await flight[1]))
            except Unavailable:
                # Whether it was stored is not known; the same request id makes repeating it safe.
                answers.append(await self._settle(job, deadline - loop.time()))
            except PenstockError as error:
                answers.append(error)
        return answers

    async def _confirmed(
        self,
        jobs: Sequence[NewJob],
        answers: list[Submitted | PenstockError],
        history: str,
        replication: Replication,
        deadline: float,
    ) -> list[Submitted | PenstockError]:
        """The answers, once replicas have what they acknowledge; else errors in their place."""
        try:
            await replication.confirm(history)
        except Unavailable:
            left_s = deadline - asyncio.get_running_loop().time()

            async def settle(
                job: NewJob, answer: Submitted | PenstockError
            ) -> Submitted | PenstockError:
                if isinstance(answer, Submitted):
                    return await self._settle(job, left_s)
                return answer

            return await asyncio.gather(*map(settle, jobs, answers))
        except NotReplicated as error:
            return [error if isinstance(answer, Submitted) else answer for answer in answers]
        return answers

    async def _settle(self, job: NewJob, budget_s: float) -> Submitted | PenstockError:
        try:
            return await self.submit(job, budget_s)
        except PenstockError as error:
            return error

    async def _generations(
        self, jobs: Sequence[NewJob], budget_s: float
    ) -> Mapping[str, str] | None:
        """What the cached ones of a batch go by; None if it cannot be read for all at once."""
        try:
            return await self._cache.generations(jobs, budget_s)
        except PenstockError:
            return None


def _in_goes(jobs: Sequence[NewJob]) -> Iterator[Sequence[NewJob]]:
    """The jobs, in order, in parts that may be under way at once."""
    begin = size = 0
    for index, job in enumerate(jobs):
        size += len(job.payload.data)
        if size > BYTES_UNDER_WAY and index > begin:
            yield jobs[begin:index]
            begin, size = index, len(job.payload.data)
    yield jobs[begin:]
