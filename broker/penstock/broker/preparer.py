"""What a submit asks of the server: in which slot, by which script, and what the reply says."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from penstock.broker import cache_keys, ids
from penstock.broker.errors import AlreadyExists, InvalidArgument, NotFound, QueueFull
from penstock.broker.job import Content, JobState
from penstock.broker.new_job import DEFAULTS, NewJob, SubmitOutcome, Submitted
from penstock.broker.record import INLINE_BYTES, digest_of, encode_new
from penstock.broker.retry import with_retry
from penstock.broker.script import load_script

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from penstock.broker.activity import Activity
    from penstock.broker.cache import Cache
    from penstock.broker.depths import Depths
    from penstock.broker.engine import Engine, QueueInfo
    from penstock.broker.keys import Slot
    from penstock.broker.pipeline import Arg
    from penstock.broker.policies import Policies
    from penstock.broker.script import Script

SUBMIT = load_script("submit")
SUBMIT_CACHED = load_script("submit_cached")

DEFAULT_IDEMPOTENCY_TTL_MS: Final = 86_400_000
#: Fields of a receipt without a result.
_TOLD: Final = 3


class Preparer:
    """Knows what has to be there before a job is stored, and what its script has to be told."""

    def __init__(  # noqa: PLR0917 - each has its place, and its own type.
        self,
        engine: Engine,
        activity: Activity,
        cache: Cache,
        policies: Policies,
        depths: Depths,
        idempotency_ttl_ms: int = DEFAULT_IDEMPOTENCY_TTL_MS,
    ) -> None:
        self._engine = engine
        self._activity = activity
        self._cache = cache
        self._policies = policies
        self._depths = depths
        self._idempotency_ttl_ms = idempotency_ttl_ms

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
        slot = self._slot(job, queue)
        await self._activity.mark(slot, budget_s)
        payload = job.payload.data if len(job.payload.data) > INLINE_BYTES else b""
        priority = (job.priority or DEFAULTS.priority).value
        end = _optional(job.expires_in_ms), _optional(job.deadline_ms), payload
        ceiling = self._depths.ceiling(queue, slot)
        options: tuple[Arg, ...]
        if job.cache is None:
            key = ids.key_digest(job.idempotency_key) if job.idempotency_key else b""
            start = _optional(job.delay_ms), _optional(job.run_at_ms)
            script = SUBMIT
            options = key, self._idempotency_ttl_ms, priority, *start, *end, ceiling
        else:
            if generations is None:
                generations = await self._cache.generations([job], budget_s)
            cache = cache_keys.packed(job.type, job.cache, generations, tell_result=tell_result)
            script, options = SUBMIT_CACHED, (priority, *end, cache, ceiling)
        # Once more, which costs nothing, unless the server went away and came back meanwhile.
        await self._engine.ensure_queue(job.queue, budget_s)
        tail = ids.job_tail(self._engine.namespace, job.queue, job.request_id)
        return slot, script, [tail, digest_of(job), *options, *encode_new(job)]

    def receipt(self, job: NewJob, slot: Slot, reply: Sequence[bytes]) -> Submitted:
        """What a script replied to a submit.

        Raises:
            AlreadyExists: the request id or idempotency key stands for other work.
            InvalidArgument: the deadline has passed.
            QueueFull: as many jobs wait in the queue as may.
        """
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

    def _slot(self, job: NewJob, queue: QueueInfo) -> Slot:
        return self._engine.slot(queue.code, ids.partition_of(_routing_key(job), queue.partitions))

    def _is_at_home(self, job: NewJob) -> bool:
        """Whether nothing has to be written for a job but the job itself."""
        queue = self._engine.known_queue(job.queue)
        if queue is None:
            return False
        return self._activity.is_marked(self._slot(job, queue))

    async def _refuse_late(self, job: NewJob, deadline_ms: int, budget_s: float) -> None:
        """Before a queue is made for a job that its script would refuse: by the server's clock."""
        is_late = await self._engine.now_ms(budget_s) >= deadline_ms
        if is_late and not await self._is_known(job, budget_s):
            raise _late()

    async def _is_known(self, job: NewJob, budget_s: float) -> bool:
        """Whether a job stands for this submit already: then its script has more to tell."""
        link = self._engine.link
        try:
            queue = await self._engine.queue(job.queue, budget_s)
        except NotFound:
            return False
        slot = self._slot(job, queue)
        keys = [slot.record(ids.job_tail(self._engine.namespace, job.queue, job.request_id))]
        if job.idempotency_key:
            keys.append(slot.idempotency(ids.key_digest(job.idempotency_key)))
        found = await with_retry(lambda: link.call("EXISTS", *keys), link=link, budget_s=budget_s)
        return bool(found)

    def _expect(self, job: NewJob, slot: Slot) -> None:
        """Has a job that comes due before the next visit of its slot queued in time."""
        if job.run_at_ms is not None:
            self._activity.agenda.expect(slot, job.run_at_ms / 1000 - time.time())
        elif job.delay_ms is not None:
            self._activity.agenda.expect(slot, job.delay_ms / 1000)


def _routing_key(job: NewJob) -> str:
    """What decides the partition: equal ones meet in one slot."""
    if job.cache is not None:
        return f"{job.type} {job.cache.key}"
    return job.idempotency_key or job.request_id


def _late() -> InvalidArgument:
    return InvalidArgument([("job.options.deadline", "it has passed already")])


def _optional(number: int | None) -> Arg:
    return b"" if number is None else number
