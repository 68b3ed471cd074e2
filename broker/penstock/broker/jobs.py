"""The callers' side of the broker: submit, read, list, cancel, retry, and the events of a job."""

from __future__ import annotations

import asyncio
import re
import time
from collections import Counter
from typing import TYPE_CHECKING, Any, Final

from penstock.broker import cache_keys, ids
from penstock.broker.engine import DEFAULT_BUDGET_S, Engine
from penstock.broker.errors import (
    AlreadyExists,
    CursorOutOfRange,
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    NotReplicated,
    PenstockError,
    QueueFull,
    Unavailable,
)
from penstock.broker.event_log import decode_page
from penstock.broker.job import (
    DEFAULTS,
    Content,
    EventPage,
    Job,
    JobState,
    NewJob,
    Priority,
    SubmitOutcome,
    Submitted,
)
from penstock.broker.record import INLINE_BYTES, decode_job, digest_of, encode_new, fields_of
from penstock.broker.retry import with_retry
from penstock.broker.script import load_script

if TYPE_CHECKING:
    from collections.abc import Awaitable, Iterable, Iterator, Mapping, Sequence

    from penstock.broker.activity import Activity
    from penstock.broker.cache import Cache
    from penstock.broker.depths import Depths
    from penstock.broker.doorbell import Doorbell
    from penstock.broker.keys import Slot
    from penstock.broker.pipeline import Arg
    from penstock.broker.policies import Policies
    from penstock.broker.replication import Replication
    from penstock.broker.script import Script

SUBMIT = load_script("submit")
SUBMIT_CACHED = load_script("submit_cached")
READ = load_script("read")
EVENTS = load_script("events")
CANCEL = load_script("cancel")
LIST = load_script("list")

#: States that RetryJob starts from.
RETRYABLE: Final = frozenset({JobState.FAILED, JobState.CANCELLED, JobState.EXPIRED})
DEFAULT_IDEMPOTENCY_TTL_MS: Final = 86_400_000
EVENTS_PER_PAGE: Final = 500
BYTES_PER_PAGE: Final = 1_048_576
#: Payload of one call's submits that are unanswered at any time, but for one that is longer.
BYTES_UNDER_WAY: Final = 4 * 2**20
#: Fields of a receipt without a result.
_TOLD: Final = 3

#: A page token: which structure, and where in it; '' is its beginning.
_TOKEN = re.compile(r"([0-9]{1,6}):(.*)")
#: Positions: a stream id, or a score and a tail. No longer than Redis can read.
_STREAM_POSITION = re.compile(r"[0-9]{1,19}-[0-9]{1,19}")
_SET_POSITION = re.compile(r"[0-9]{1,17} [0-9a-z]{26}")

#: The structures that ListJobs walks for each state, in this order. Waiting jobs come in the order
#: in which they will run, ended ones from the end of their retention set: the newest first.
STRUCTURES: Final[dict[JobState, tuple[str, ...]]] = {
    JobState.RUNNING: ("lease",),
    JobState.QUEUED: ("h", "d", "l", "held"),
    JobState.SCHEDULED: ("due",),
    JobState.FAILED: ("F",),
    JobState.SUCCEEDED: ("D",),
    JobState.CANCELLED: ("C",),
    JobState.EXPIRED: ("E",),
}
_STREAMS: Final = frozenset(priority.value for priority in Priority)
_ENDED: Final = frozenset(
    structure for state in JobState if state.terminal for structure in STRUCTURES[state]
)


class Jobs:
    """What may be asked of jobs by those who submit them.

    Every method retries by itself within budget_s (seconds, usually what is left of the caller's
    deadline) and raises Unavailable, Overloaded or StorageFull when Redis cannot serve.
    """

    def __init__(  # noqa: PLR0917 - each has its place, and its own type.
        self,
        engine: Engine,
        doorbell: Doorbell,
        activity: Activity,
        cache: Cache,
        policies: Policies,
        depths: Depths,
        idempotency_ttl_ms: int = DEFAULT_IDEMPOTENCY_TTL_MS,
    ) -> None:
        self._engine = engine
        self._doorbell = doorbell
        self._activity = activity
        self._cache = cache
        self._policies = policies
        self._depths = depths
        self._idempotency_ttl_ms = idempotency_ttl_ms

    async def submit(self, job: NewJob, budget_s: float = DEFAULT_BUDGET_S) -> Submitted:
        """Stores a job; repeating it with the same request id yields the same job.

        Raises:
            AlreadyExists: the request id or idempotency key stands for other work.
            InvalidArgument: the deadline has passed.
            LimitExceeded: the queue is new, and there are too many.
            QueueFull: as many jobs wait in the queue as may.
        """

        async def attempt() -> Submitted:
            # Prepared each time: after a reconnect, the server may have lost the queue or the mark.
            slot, script, args = await self.prepare(job, budget_s, tell_result=True)
            flight = self._engine.held(script.run(self._engine.link, [slot.base], args))
            if job.cache is None:
                # Issued behind the submit, on the same connection: it rings once the job is there.
                self._doorbell.ring_soon(slot)
                return self._receipt(job, slot, await flight)
            receipt = self._receipt(job, slot, await flight)
            # Mostly there is nobody to wake; but a first try may not have come to ring.
            if receipt.outcome in {SubmitOutcome.CREATED, SubmitOutcome.REPEATED}:
                self._doorbell.ring_soon(slot)
            return receipt

        return await with_retry(attempt, link=self._engine.link, budget_s=budget_s)

    async def submit_many(
        self, jobs: Sequence[NewJob], budget_s: float = DEFAULT_BUDGET_S
    ) -> list[Submitted | PenstockError]:
        """Stores many jobs in one go; each has its own outcome, in the same order.

        Those with much payload go in several, so that others' commands, which wait behind them on
        the same connection, do not wait for long.
        """
        deadline = asyncio.get_running_loop().time() + budget_s
        generations = await self._generations(jobs, budget_s)
        answers: list[Submitted | PenstockError] = []
        for together in _in_goes(jobs):
            answers += await self._submit_together(together, generations, deadline)
        return answers

    async def _submit_together(
        self, jobs: Sequence[NewJob], generations: Mapping[str, str] | None, deadline: float
    ) -> list[Submitted | PenstockError]:
        loop = asyncio.get_running_loop()
        replication = self._engine.replication
        history = replication.history if replication is not None else ""
        flights: list[tuple[Slot, Awaitable[Any]] | PenstockError] = []
        rings: Counter[Slot] = Counter()
        for job in jobs:
            try:
                left_s = max(0.0, deadline - loop.time())
                slot, script, args = await self.prepare(job, left_s, generations)
            except PenstockError as error:
                flights.append(error)
                continue
            flights.append((slot, script.run(self._engine.link, [slot.base], args)))
            rings[slot] += 1
        for slot, count in rings.items():
            self._doorbell.ring(slot, count)
        answers: list[Submitted | PenstockError] = []
        for job, flight in zip(jobs, flights, strict=True):
            if isinstance(flight, PenstockError):
                answers.append(flight)
                continue
            try:
                answers.append(self._receipt(job, flight[0], await flight[1]))
            except Unavailable:
                # Whether it was stored is not known; the same request id makes repeating it safe.
                answers.append(await self._settle(job, deadline - loop.time()))
            except PenstockError as error:
                answers.append(error)
        if replication is not None:
            answers = await self._confirmed(jobs, answers, history, replication, deadline)
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
        index, position = parse_token(page_token, places)
        jobs: list[Job] = []
        looked_at = 0
        while index < len(places) and looked_at < limit:
            slot, structure = places[index]
            next_position, seen, *rows = await self._engine.run(
                LIST,
                [slot.base],
                structure,
                position,
                limit - looked_at,
                job_type,
                int(structure in _ENDED and not oldest_first),
                budget_s=budget_s,
            )
            found = [
                decode_job(slot.job_id(tail.decode()), queue, fields_of(flat))
                for tail, flat in rows
            ]
            if structure in STRUCTURES[JobState.RUNNING]:  # Which is in the order of renewals.
                found.sort(key=lambda job: job.fencing_token)
            jobs += found
            position = next_position.decode()
            looked_at += seen
            if not position:
                index += 1
        return jobs, f"{index}:{position}" if index < len(places) else ""

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

    async def prepare(
        self,
        job: NewJob,
        budget_s: float,
        generations: Mapping[str, str] | None = None,
        *,
        tell_result: bool = False,
    ) -> tuple[Slot, Script, Sequence[Arg]]:
        """The slot that a job belongs to, the script that stores it there, and its arguments.

        Args:
            job: to be stored.
            budget_s: for all that has to be asked for, in seconds.
            generations: that it goes by in the cache, read since its submit came in; None to read
                them here.
            tell_result: have a hit answered with its result, if that is not too long.
        """
        job = self._policies.fill(job)
        if job.deadline_ms is not None and not self._is_at_home(job):
            await self._refuse_late(job, job.deadline_ms, budget_s)
        queue = await self._engine.ensure_queue(job.queue, budget_s)
        slot = self._engine.slot(queue.code, ids.partition_of(_routing_key(job), queue.partitions))
        await self._activity.mark(slot, budget_s)
        payload = job.payload.data if len(job.payload.data) > INLINE_BYTES else b""
        priority = (job.priority or DEFAULTS.priority).value
        end = _optional(job.expires_in_ms), _optional(job.deadline_ms), payload
        ceiling = self._depths.ceiling(queue, slot)
        options: tuple[Arg, ...]
        if job.cache is None:
            key = ids.key_digest(job.idempotency_key) if job.idempotency_key else b""
            start = _optional(job.delay_ms), _optional(job.run_at_ms)
            script, options = (
                SUBMIT,
                (key, self._idempotency_ttl_ms, priority, *start, *end, ceiling),
            )
        else:
            if generations is None:
                generations = await self._cache.generations([job], budget_s)
            cache = cache_keys.packed(job.type, job.cache, generations, tell_result=tell_result)
            script, options = SUBMIT_CACHED, (priority, *end, cache, ceiling)
        # Once more, which costs nothing, unless the server went away and came back meanwhile.
        await self._engine.ensure_queue(job.queue, budget_s)
        tail = ids.job_tail(self._engine.namespace, job.queue, job.request_id)
        return slot, script, [tail, digest_of(job), *options, *encode_new(job)]

    def _is_at_home(self, job: NewJob) -> bool:
        """Whether nothing has to be written for a job but the job itself."""
        queue = self._engine.known_queue(job.queue)
        if queue is None:
            return False
        partition = ids.partition_of(_routing_key(job), queue.partitions)
        return self._activity.is_marked(self._engine.slot(queue.code, partition))

    async def _refuse_late(self, job: NewJob, deadline_ms: int, budget_s: float) -> None:
        """Before a queue is made for a job that its script would refuse: by the server's clock."""
        link = self._engine.link
        seconds, micros = await with_retry(lambda: link.call("TIME"), link=link, budget_s=budget_s)
        is_late = int(seconds) * 1000 + int(micros) // 1000 >= deadline_ms
        if is_late and not await self._is_known(job, budget_s):
            raise _late()

    async def _is_known(self, job: NewJob, budget_s: float) -> bool:
        """Whether a job stands for this submit already: then its script has more to tell."""
        link = self._engine.link
        try:
            queue = await self._engine.queue(job.queue, budget_s)
        except NotFound:
            return False
        slot = self._engine.slot(queue.code, ids.partition_of(_routing_key(job), queue.partitions))
        keys = [slot.record(ids.job_tail(self._engine.namespace, job.queue, job.request_id))]
        if job.idempotency_key:
            keys.append(slot.idempotency(ids.key_digest(job.idempotency_key)))
        found = await with_retry(lambda: link.call("EXISTS", *keys), link=link, budget_s=budget_s)
        return bool(found)

    def _receipt(self, job: NewJob, slot: Slot, reply: Sequence[bytes]) -> Submitted:
        kind = reply[0]
        if kind == b"late":
            raise _late()
        if kind == b"full":
            raise QueueFull(job.queue, int(reply[1]), int(reply[2]))
        job_id = slot.job_id(reply[1].decode())
        if kind == b"conflict":
            raise AlreadyExists(job_id)
        state = JobState(reply[2].decode()) if reply[2] else None
        if state is JobState.SCHEDULED:
            self._expect(job, slot)
        told = Content(reply[3], reply[4].decode()) if len(reply) > _TOLD else None
        return Submitted(job_id, state, SubmitOutcome(kind.decode()), told)

    def _expect(self, job: NewJob, slot: Slot) -> None:
        """Has a job that comes due before the next visit of its slot queued in time."""
        if job.run_at_ms is not None:
            self._activity.agenda.expect(slot, job.run_at_ms / 1000 - time.time())
        elif job.delay_ms is not None:
            self._activity.agenda.expect(slot, job.delay_ms / 1000)


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


def _in_goes(jobs: Sequence[NewJob]) -> Iterator[Sequence[NewJob]]:
    """The jobs, in order, in parts that may be under way at once."""
    begin = size = 0
    for index, job in enumerate(jobs):
        size += len(job.payload.data)
        if size > BYTES_UNDER_WAY and index > begin:
            yield jobs[begin:index]
            begin, size = index, len(job.payload.data)
    yield jobs[begin:]


def _routing_key(job: NewJob) -> str:
    """What decides the partition: equal ones meet in one slot."""
    if job.cache is not None:
        return f"{job.type} {job.cache.key}"
    return job.idempotency_key or job.request_id


def _late() -> InvalidArgument:
    return InvalidArgument([("job.options.deadline", "it has passed already")])


def _optional(number: int | None) -> Arg:
    return b"" if number is None else number


def parse_token(token: str, places: Sequence[tuple[Slot, str]]) -> tuple[int, str]:
    """Index into the places to walk, and the position within that place."""
    if not token:
        return 0, ""
    parts = _TOKEN.fullmatch(token)
    if parts and int(parts[1]) < len(places):
        index, position = int(parts[1]), parts[2]
        _, structure = places[index]
        pattern = _STREAM_POSITION if structure in _STREAMS else _SET_POSITION
        if not position or pattern.fullmatch(position):
            return index, position
    raise InvalidArgument([("page_token", "it is not a token that an earlier page gave")])
