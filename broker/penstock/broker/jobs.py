"""The callers' side of the broker: submit, read, list, cancel, retry, and the events of a job."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from penstock.broker.engine import DEFAULT_BUDGET_S, Engine
from penstock.broker.errors import CursorOutOfRange, FailedPrecondition, NotFound, PenstockError
from penstock.broker.event_log import decode_page
from penstock.broker.job import Content, Job, JobState
from penstock.broker.new_job import NewJob, Submitted
from penstock.broker.record import decode_job, fields_of
from penstock.broker.script import load_script
from penstock.broker.walk import ENDED, STRUCTURES, Walk

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from penstock.broker.doorbell import Doorbell
    from penstock.broker.event import EventPage
    from penstock.broker.keys import Slot
    from penstock.broker.submitter import Submitter

READ = load_script("read")
EVENTS = load_script("events")
CANCEL = load_script("cancel")
LIST = load_script("list")

#: States that RetryJob starts from.
RETRYABLE: Final = frozenset({JobState.FAILED, JobState.CANCELLED, JobState.EXPIRED})
EVENTS_PER_PAGE: Final = 500
BYTES_PER_PAGE: Final = 1_048_576


class Jobs:
    """What may be asked of jobs by those who submit them.

    Every method retries by itself within budget_s (seconds, usually what is left of the caller's
    deadline) and raises Unavailable, Overloaded or StorageFull when Redis cannot serve.
    """

    def __init__(self, engine: Engine, doorbell: Doorbell, submitter: Submitter) -> None:
        self._engine = engine
        self._doorbell = doorbell
        self._submitter = submitter

    async def submit(self, job: NewJob, budget_s: float = DEFAULT_BUDGET_S) -> Submitted:
        """Stores a job; repeating it with the same request id yields the same job.

        Raises:
            AlreadyExists: the request id or idempotency key stands for other work.
            InvalidArgument: the deadline has passed.
            LimitExceeded: the queue is new, and there are too many.
            QueueFull: as many jobs wait in the queue as may.
        """
        return await self._submitter.submit(job, budget_s)

    async def submit_many(
        self, jobs: Sequence[NewJob], budget_s: float = DEFAULT_BUDGET_S
    ) -> list[Submitted | PenstockError]:
        """Stores many jobs in one go; each has its own outcome, in the same order.

        Those with much payload go in several, so that others' commands, which wait behind them on
        the same connection, do not wait for long.
        """
        return await self._submitter.submit_many(jobs, budget_s)

    async def get(
        self,
        job_id: str,
        *,
        payload: bool = False,
        result: bool = False,
        budget_s: float = DEFAULT_BUDGET_S,
    ) -> Job:
        """The job as it stands, with payload and result if asked for. Raises NotFound."""
        slot, tail, queue = await self._engine.locate(job_id, budget_s)
        payload_apart, result_apart, flat = await self._engine.run(
            READ, [slot.base], tail, int(payload), int(result), budget_s=budget_s
        )
        if not flat:
            raise NotFound("job", job_id)
        return decode_job(
            job_id,
            queue,
            fields_of(flat),
            payload=payload_apart,
            result=result_apart,
            with_payload=payload,
            with_result=result,
        )

    async def events(
        self,
        job_id: str,
        after: int = 0,
        *,
        limit: int = EVENTS_PER_PAGE,
        page_bytes: int = BYTES_PER_PAGE,
        budget_s: float = DEFAULT_BUDGET_S,
    ) -> EventPage:
        """Events after a sequence, at most limit of them, oldest first; none if there are none yet.

        A page ends with the event that makes it page_bytes long or, rarely, some events later.

        Raises:
            NotFound: no such job.
            CursorOutOfRange: after is beyond the newest event.
        """
        slot, tail, _ = await self._engine.locate(job_id, budget_s)
        reply = await self._engine.run(
            EVENTS, [slot.base], tail, after, limit, page_bytes, budget_s=budget_s
        )
        if not reply:
            raise NotFound("job", job_id)
        page = decode_page(after, reply)
        if after > page.last_sequence:
            raise CursorOutOfRange(page.last_sequence)
        return page

    async def cancel(self, job_id: str, reason: str, budget_s: float = DEFAULT_BUDGET_S) -> Job:
        """Ends a waiting job, asks a running one to stop; a terminal one stays. Raises NotFound."""
        slot, tail, _ = await self._engine.locate(job_id, budget_s)
        state, worker = await self._engine.write(
            CANCEL, [slot.base], tail, reason, budget_s=budget_s
        )
        if not state:
            raise NotFound("job", job_id)
        if worker:
            self._doorbell.tell_cancel(worker.decode(), job_id)
        return await self.get(job_id, budget_s=budget_s)

    async def retry(
        self, job_id: str, request_id: str, budget_s: float = DEFAULT_BUDGET_S
    ) -> Submitted:
        """Makes a new job from one that ended without success.

        Raises:
            NotFound: no such job.
            FailedPrecondition: it is in another state.
        """
        job = await self.get(job_id, payload=True, budget_s=budget_s)
        if job.state not in RETRYABLE:
            raise FailedPrecondition(
                "JOB_NOT_RETRYABLE",
                f"the job is {job.state.name}; only FAILED, CANCELLED and EXPIRED ones are retried",
                {"state": job.state.name},
            )
        # Of a space of its own, which no caller's request id reaches: neither a submit's nor that
        # of another job's retry.
        return await self.submit(renewed(job, f"\0retry {job_id} {request_id}"), budget_s)

    async def list(
        self,
        queue: str,
        states: Iterable[JobState] = (),
        *,
        job_type: str = "",
        limit: int = 100,
        page_token: str = "",
        oldest_first: bool = False,
        budget_s: float = DEFAULT_BUDGET_S,
    ) -> tuple[list[Job], str]:
        """One page of a queue's jobs, and the token of the next page ('' after the last).

        State by state, and within a state partition by partition: RUNNING (of a page, the oldest
        grant first), QUEUED (the next to run first, and after them
        those whose type is at its limit), SCHEDULED (the soonest first), then the
        terminal ones, where who is forgotten last comes first: the newest, where all have one
        retention. ``oldest_first`` turns these round.

        A call looks at no more than limit jobs, whatever the type filter lets through, so a page
        may be short or empty and still have a next.

        Raises:
            NotFound: no such queue.
            InvalidArgument: the token is not one of ours.
        """
        info = await self._engine.queue(queue, budget_s)
        wanted = set(states) or set(STRUCTURES)
        places = [
            (slot, structure)
            for state, structures in STRUCTURES.items()
            if state in wanted
            for slot in self._engine.slots(info)
            for structure in structures
        ]
        walk = Walk(places, page_token)
        jobs: list[Job] = []
        looked_at = 0
        while walk.place is not None and looked_at < limit:
            slot, structure = walk.place
            position, seen, *rows = await self._engine.run(
                LIST,
                [slot.base],
                structure,
                walk.position,
                limit - looked_at,
                job_type,
                int(structure in ENDED and not oldest_first),
                budget_s=budget_s,
            )
            jobs += _found(slot, structure, queue, rows)
            walk.go_on(position)
            looked_at += seen
        return jobs, walk.token


def _found(slot: Slot, structure: str, queue: str, rows: Sequence[Sequence[Any]]) -> list[Job]:
    """Jobs as list.lua told of them."""
    jobs = [decode_job(slot.job_id(tail.decode()), queue, fields_of(flat)) for tail, flat in rows]
    if structure in STRUCTURES[JobState.RUNNING]:  # Which is in the order of renewals.
        jobs.sort(key=lambda job: job.fencing_token)
    return jobs


def renewed(job: Job, request_id: str) -> NewJob:
    """A submit of the same work as an ended job (read with its payload), to run at once."""
    return NewJob(
        type=job.type,
        queue=job.queue,
        request_id=request_id,
        payload=job.payload or Content(),
        priority=job.priority,
        max_attempts=job.max_attempts,
        backoff=job.backoff,
        timeout_ms=job.timeout_ms,
        retention_ms=job.retention_ms,
        retention_succeeded_ms=job.retention_succeeded_ms,
        metadata=job.metadata,
        retried_from=job.job_id,
        message=job.message,
        schedule_id=job.schedule_id,
        occurrence_ms=job.occurrence_ms,
    )
