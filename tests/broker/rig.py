"""What the broker's tests have in common: a queue of one partition, and ways to move its time.

Time passes for a job by moving what the scripts compare with the server's clock: its due time, its
deadline, the end of its retention, each in the record and in the set that is ordered by it. Leases
have no time in them: `lose_lease` does what an observer does whose patience is at its end.
"""

from __future__ import annotations

import itertools
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, cast

from penstock.broker import (
    Broker,
    Content,
    Failure,
    Grant,
    Job,
    JobState,
    NewJob,
    Priority,
    StateChange,
    Submitted,
    ids,
)
from penstock.broker.chores import EXPIRE, PROMOTE, PRUNE
from penstock.broker.policy import GRACE_MS
from penstock.broker.reclaimer import RECLAIM
from penstock.broker.record import fields_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from penstock.broker import Event
    from penstock.broker.keys import Slot
    from penstock.broker.pipeline import Arg
    from penstock.broker.record import Fields

__all__ = ["FAILURE", "LEASE_MS", "RESULT", "Rig", "pairs", "states_of", "tail_of"]

QUEUE: Final = "q"
LEASE_MS: Final = 10_000
FAILURE: Final = Failure("ValueError", "no such luck")
RESULT: Final = Content(b'{"answer":42}')
#: Long past, for everything that is compared with the server's clock (ms).
LONG_AGO: Final = 1_000


@dataclass
class Rig:
    """A broker and the one slot of its queue ``q``."""

    broker: Broker
    slot: Slot
    numbers: Iterator[int] = field(default_factory=itertools.count)

    @classmethod
    async def on(cls, broker: Broker) -> Rig:
        """A rig whose queue exists."""
        queue = await broker.engine.ensure_queue(QUEUE)
        return cls(broker, broker.engine.slots(queue)[0])

    # Jobs.

    def new_job(self, **options: Any) -> NewJob:  # noqa: ANN401 - the fields of NewJob.
        """A submit with a request id of its own, unless one is given."""
        options = {
            "type": "work",
            "queue": QUEUE,
            "request_id": f"request-{next(self.numbers)}",
            "payload": Content(b"{}"),
            **options,
        }
        return NewJob(**options)

    async def receipt(self, **options: Any) -> Submitted:  # noqa: ANN401 - as new_job.
        """The answer to a submit."""
        return await self.broker.jobs.submit(self.new_job(**options))

    async def submit(self, **options: Any) -> str:  # noqa: ANN401 - as new_job.
        """The id of a new job."""
        return (await self.receipt(**options)).job_id

    async def claim(
        self, count: int = 100, worker_id: str = "worker", order: str = "hdl"
    ) -> list[Grant]:
        """Grants of waiting jobs."""
        return await self.broker.attempts.claim(self.slot, worker_id, count, LEASE_MS, order)

    async def granted(self, **options: Any) -> Grant:  # noqa: ANN401 - as new_job.
        """The grant of a new job, the only one that waits."""
        await self.submit(**options)
        (grant,) = await self.claim()
        return grant

    async def job(self, job_id: str) -> Job:
        """A job as it stands, with all that it carries."""
        return await self.broker.jobs.get(job_id, payload=True, result=True)

    async def state(self, job_id: str) -> JobState:
        """Where a job stands."""
        return (await self.broker.jobs.get(job_id)).state

    async def events(self, job_id: str) -> list[Event]:
        """Everything that happened to a job."""
        return list((await self.broker.jobs.events(job_id)).events)

    async def complete(self, grant: Grant) -> None:
        """The handler returned."""
        await self.broker.attempts.complete(grant.job_id, grant.fencing_token, RESULT)

    async def fail(self, grant: Grant, kind: str = "error", retry_after_ms: int = 0) -> JobState:
        """The handler raised."""
        return await self.broker.attempts.fail(
            grant.job_id, grant.fencing_token, kind, FAILURE, retry_after_ms
        )

    async def release(self, grant: Grant, pause_ms: int = 0) -> JobState:
        """The worker hands the job back."""
        return await self.broker.attempts.release(
            grant.job_id, grant.fencing_token, "drain", pause_ms
        )

    async def fill(self, each: int = 1) -> Counter[JobState]:
        """So many jobs in each state, the failed ones of type ``other``."""
        for _ in range(each):
            await self.complete(await self.granted())
            await self.fail(await self.granted(type="other"), "final")
            await self.fail(await self.granted(), "cancelled")
            await self.fail(await self.granted(), "expired")
        for _ in range(each):
            await self.granted()
        for number in range(each):
            await self.submit(delay_ms=60_000)
            await self.submit(priority=list(Priority)[number % 3])
        return Counter(dict.fromkeys(JobState, each))

    async def listed(self, limit: int = 100, **options: Any) -> list[Job]:  # noqa: ANN401 - as Jobs.list.
        """All pages of the list of jobs, none of which is too long."""
        jobs: list[Job] = []
        token = ""
        while True:
            page, token = await self.broker.jobs.list(
                QUEUE, limit=limit, page_token=token, **options
            )
            assert len(page) <= limit
            jobs += page
            if not token:
                return jobs

    # Data.

    async def call(self, *args: Arg) -> Any:  # noqa: ANN401 - by command.
        """A plain command."""
        return await self.broker.link.call(*args)

    async def record(self, job_id: str) -> Fields:
        """The record of a job, field by field; {} if there is none."""
        return fields_of(await self.call("HGETALL", self.slot.record(tail_of(job_id))))

    async def counters(self) -> dict[str, int]:
        """The counters of the slot, but for ticks and tokens."""
        counted = dict((await self.broker.queues.stats(QUEUE)).counters)
        counted.pop("tick", None)
        counted.pop("token", None)
        return counted

    async def waiting_tails(self) -> list[bytes]:
        """Who is in the streams, in the order of service."""
        tails = []
        for priority in "hdl":
            for _, (_, tail) in await self.call(
                "XRANGE", self.slot.base + b":s:" + priority.encode(), "-", "+"
            ):
                tails.append(tail)
        return tails

    async def snapshot(self) -> dict[bytes, object]:
        """All that is stored in the slot, but counters and what is empty."""
        found: dict[bytes, object] = {}
        for key in await self.call("KEYS", self.slot.base + b":*"):
            kind = await self.call("TYPE", key)
            if b":t:" in key:
                continue
            if kind == b"hash":
                found[key] = pairs(await self.call("HGETALL", key))
            elif kind == b"zset":
                found[key] = await self.call("ZRANGE", key, 0, -1, "WITHSCORES")
            elif kind == b"stream":
                found[key] = await self.call("XRANGE", key, "-", "+")
            elif kind == b"set":
                found[key] = sorted(await self.call("SMEMBERS", key))
            elif kind == b"list":
                found[key] = await self.call("LRANGE", key, 0, -1)
            else:
                found[key] = await self.call("GET", key)
        return {key: value for key, value in found.items() if value}

    # Time.

    async def come_due(self, job_id: str) -> None:
        """The time comes for a SCHEDULED job."""
        await self.call("ZADD", self.slot.due(), "XX", LONG_AGO, tail_of(job_id))

    async def pass_deadline(self, job_id: str) -> None:
        """The deadline of a job passes; a job without one is given one that has passed."""
        tail = tail_of(job_id)
        waits = (await self.state(job_id)) in {JobState.SCHEDULED, JobState.QUEUED}
        await self.call("HSET", self.slot.record(tail), "dl", LONG_AGO)
        if waits:
            await self.call("ZADD", self.slot.deadlines(), LONG_AGO, tail)

    async def pass_retention(self, job_id: str) -> None:
        """The retention of a terminal job ends, and Redis removes what has a TTL."""
        tail, slot = tail_of(job_id), self.slot
        state = await self.state(job_id)
        for key in (slot.ended(state), *await self.call("KEYS", slot.kept("*", state))):
            await self.call("ZADD", key, "XX", LONG_AGO, tail)
        await self.call(
            "DEL", slot.record(tail), slot.payload(tail), slot.result(tail), slot.log(tail)
        )

    # What housekeepers do.

    async def promote(self) -> int:
        """Queues the due jobs: how many."""
        return cast("int", (await self.broker.engine.run(PROMOTE, [self.slot.base], 100))[0])

    async def expire(self) -> int:
        """Ends waiting jobs whose deadline passed: how many."""
        return cast("int", (await self.broker.engine.run(EXPIRE, [self.slot.base], 100))[0])

    async def prune(self, keep: int = 1000, grace_ms: int = GRACE_MS) -> int:
        """Forgets ended jobs: how many."""
        reply = await self.broker.engine.run(PRUNE, [self.slot.base], 100, keep, grace_ms)
        return cast("int", reply[0])

    async def tick(self, job_id: str) -> int | None:
        """The tick at which the lease of a job stands."""
        score = await self.call("ZSCORE", self.slot.leases(), tail_of(job_id))
        return None if score is None else int(score)

    async def lose_lease(
        self, job_id: str, *, tick: int | None = None, max_crashes: int = 3
    ) -> tuple[int, int]:
        """A lease ran out, at its present tick or an earlier one: jobs queued again, and ended."""
        observed = await self.tick(job_id) if tick is None else tick
        queued, ended, failed = await self.broker.engine.run(
            RECLAIM, [self.slot.base], max_crashes, tail_of(job_id), observed or 0
        )
        assert not failed
        return queued, ended


def tail_of(job_id: str) -> str:
    """The part of a job id that names the job within its slot."""
    parts = ids.split(job_id)
    assert parts is not None
    return parts[2]


def states_of(events: list[Event]) -> list[JobState]:
    """The states that events tell of, in order."""
    return [event.body.state for event in events if isinstance(event.body, StateChange)]


def pairs(flat: list[bytes]) -> dict[bytes, bytes]:
    """A flat reply (member, score, member, score ...) as a dict."""
    return dict(zip(flat[::2], flat[1::2], strict=True))
