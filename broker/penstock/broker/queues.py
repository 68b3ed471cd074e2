"""The operators' side of the broker: count, pause, purge, clean and redrive queues."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from penstock.broker.engine import DEFAULT_BUDGET_S, SCRIPT_BATCH, Engine, QueueInfo
from penstock.broker.errors import NotFound, PenstockError
from penstock.broker.job import FailureReason, Job, JobState, Priority
from penstock.broker.jobs import Jobs, renewed
from penstock.broker.new_job import SubmitOutcome, Submitted
from penstock.broker.record import fields_of
from penstock.broker.retry import with_retry
from penstock.broker.script import load_script
from penstock.broker.walk import Walk

if TYPE_CHECKING:
    from collections.abc import Awaitable, Iterable, Mapping, Sequence

STATS = load_script("stats")
PURGE = load_script("purge")
CLEAN = load_script("clean")

PURGED: Final = "purged"
PURGE_STEPS: Final = 10
CLEAN_STEPS: Final = 20
REDRIVE_STEP: Final = 100


@dataclass(frozen=True, slots=True)
class TypeLoad:
    """A job type whose number of jobs at once is limited."""

    running: int
    held: int


@dataclass(frozen=True, slots=True)
class QueueStats:
    """Counts of a queue.

    Those of terminal states are of jobs still retained; counters and failed_by_reason count since
    the queue was created. held are jobs that wait and are passed over; types are those with a limit
    of their own.
    """

    waiting: Mapping[Priority, int]
    scheduled: int
    running: int
    succeeded: int
    failed: int
    cancelled: int
    expired: int
    oldest_waiting_age_ms: int | None
    held: int
    types: Mapping[str, TypeLoad]
    throughput_per_s: float
    failed_by_reason: Mapping[FailureReason, int]
    counters: Mapping[str, int] = field(default_factory=dict)


class Queues:
    """What may be asked of queues by those who run them.

    Every method but `all` raises NotFound for a queue that nobody ever used.
    """

    def __init__(self, engine: Engine, jobs: Jobs) -> None:
        self._engine = engine
        self._jobs = jobs

    async def all(self, budget_s: float = DEFAULT_BUDGET_S) -> list[QueueInfo]:
        """All queues, by name."""
        return await self._engine.queues(budget_s)

    async def get(self, name: str, budget_s: float = DEFAULT_BUDGET_S) -> QueueInfo:
        """One queue."""
        return await self._engine.queue(name, budget_s)

    async def stats(self, name: str, budget_s: float = DEFAULT_BUDGET_S) -> QueueStats:
        """Counts of a queue, summed over its partitions."""
        queue = await self._engine.queue(name, budget_s)
        replies = await asyncio.gather(
            *(
                self._engine.run(STATS, [slot.base], budget_s=budget_s)
                for slot in self._engine.slots(queue)
            )
        )
        return _sum(replies)

    async def paused(self, name: str, budget_s: float = DEFAULT_BUDGET_S) -> bool:
        """Whether the queue grants nothing."""
        return all(await self._each(name, "EXISTS", told=False, budget_s=budget_s))

    async def pause(self, name: str, budget_s: float = DEFAULT_BUDGET_S) -> None:
        """Stops grants; running jobs go on, submits are accepted."""
        await self._each(name, "SET", 1, budget_s=budget_s)

    async def resume(self, name: str, budget_s: float = DEFAULT_BUDGET_S) -> None:
        """Undoes `pause`. Idle workers notice at their next poll."""
        await self._each(name, "DEL", budget_s=budget_s)

    async def purge(self, name: str, budget_s: float = DEFAULT_BUDGET_S) -> tuple[int, bool]:
        """Cancels waiting jobs, in bounded steps: how many, and whether more wait."""
        queue = await self._engine.queue(name, budget_s)
        cancelled, steps, slots = 0, PURGE_STEPS, self._engine.slots(queue)
        while slots and steps:
            done, more = await self._engine.write(
                PURGE, [slots[-1].base], SCRIPT_BATCH, PURGED, budget_s=budget_s
            )
            cancelled, steps = cancelled + done, steps - 1
            if not more:
                slots.pop()
        return cancelled, bool(slots)

    async def clean(
        self,
        name: str,
        states: Iterable[JobState],
        *,
        older_than_ms: int = 0,
        job_type: str = "",
        page_token: str = "",
        budget_s: float = DEFAULT_BUDGET_S,
    ) -> tuple[int, str]:
        """Forgets ended jobs before their retention is over, in bounded steps.

        Args:
            name: of the queue.
            states: terminal ones.
            older_than_ms: only those that ended so long ago at least.
            job_type: only those of this type; '' is all.
            page_token: of the step before; '' to begin.
            budget_s: how long to try each step.

        Returns:
            How many were forgotten, and the token of the next step ('' after the last).

        Raises:
            NotFound: no such queue.
            InvalidArgument: the token is not one of ours.
        """
        queue = await self._engine.queue(name, budget_s)
        places = [
            (slot, state.value)
            for state in sorted(set(states))
            for slot in self._engine.slots(queue)
        ]
        walk = Walk(places, page_token)
        forgotten, steps = 0, CLEAN_STEPS
        while walk.place is not None and steps:
            slot, state = walk.place
            args = state, walk.position, SCRIPT_BATCH, job_type, older_than_ms
            position, _, gone = await self._engine.write(
                CLEAN, [slot.base], *args, budget_s=budget_s
            )
            walk.go_on(position)
            forgotten, steps = forgotten + gone, steps - 1
        return forgotten, walk.token

    async def redrive(
        self,
        name: str,
        *,
        job_type: str = "",
        page_token: str = "",
        budget_s: float = DEFAULT_BUDGET_S,
    ) -> tuple[int, str]:
        """Runs dead letters anew: how many jobs were made, and the token of the next step.

        The new job's request id is derived from the old job's id, so that each dead letter is
        redriven once, however often this is called. The oldest are the first to run again.
        """
        page, next_token = await self._jobs.list(
            name,
            [JobState.FAILED],
            job_type=job_type,
            limit=REDRIVE_STEP,
            page_token=page_token,
            oldest_first=True,
            budget_s=budget_s,
        )
        letters: list[Job] = []
        for job in page:
            with suppress(NotFound):  # Forgotten since the page was read.
                letters.append(await self._jobs.get(job.job_id, payload=True, budget_s=budget_s))
        outcomes: list[Submitted | PenstockError] = await self._jobs.submit_many(
            [renewed(job, f"\0redrive {job.job_id}") for job in letters], budget_s
        )
        made = 0
        for outcome in outcomes:
            if isinstance(outcome, PenstockError):
                raise outcome
            made += outcome.outcome is SubmitOutcome.CREATED
        return made, next_token

    async def _each(
        self, name: str, command: str, *args: int, told: bool = True, budget_s: float
    ) -> list[int]:
        """One command on the pause key of each partition; `told` as `Engine.write` is."""
        queue = await self._engine.queue(name, budget_s)
        link = self._engine.link

        def issue(key: bytes) -> Awaitable[int]:
            flight: Awaitable[int] = link.call(command, key, *args)
            return self._engine.held(flight) if told else flight

        async def on(key: bytes) -> int:
            return await with_retry(lambda: issue(key), link=link, budget_s=budget_s)

        return [await on(slot.paused()) for slot in self._engine.slots(queue)]


def _sum(replies: Sequence[Sequence[Any]]) -> QueueStats:
    """Stats of a queue from the replies of stats.lua, one per partition."""
    totals = [sum(column) for column in zip(*(reply[1:10] for reply in replies), strict=True)]
    high, default, low, scheduled, running, succeeded, failed, cancelled, expired = totals
    arrivals = [(reply[0], reply[10]) for reply in replies if reply[10] != -1]
    counters: dict[str, int] = {}
    for reply in replies:
        for key, value in fields_of(reply[12]).items():
            name = key.decode()
            counters[name] = counters.get(name, 0) + int(value)
    types: dict[str, TypeLoad] = {}
    for reply in replies:
        row = reply[14]
        for name, busy, held in zip(row[::3], row[1::3], row[2::3], strict=True):
            known = types.get(name.decode(), TypeLoad(0, 0))
            types[name.decode()] = TypeLoad(known.running + busy, known.held + held)
    return QueueStats(
        waiting={Priority.HIGH: high, Priority.DEFAULT: default, Priority.LOW: low},
        scheduled=scheduled,
        running=running,
        succeeded=succeeded,
        failed=failed,
        cancelled=cancelled,
        expired=expired,
        oldest_waiting_age_ms=max((max(0, now - at) for now, at in arrivals), default=None),
        held=sum(reply[13] for reply in replies),
        types=types,
        throughput_per_s=sum(reply[11] for reply in replies) / 60,
        failed_by_reason={
            reason: counters[f"failed:{reason}"]
            for reason in FailureReason
            if f"failed:{reason}" in counters
        },
        counters=counters,
    )
