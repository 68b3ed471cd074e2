"""What a gateway tells about queues and workers, as plain data. Times are aware, in UTC."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime, timedelta

    from penstock.client.job import Durability, FailureReason, Job, Priority


@dataclass(frozen=True, slots=True)
class Queue:
    """A place where jobs wait.

    Attributes:
        name: of the queue.
        partitions: that it is spread over, fixed when it was created.
        paused: nothing is granted to workers.
        create_time: of the queue.
    """

    name: str
    partitions: int
    paused: bool
    create_time: datetime | None


@dataclass(frozen=True, slots=True)
class ConcurrencyLimit:
    """How many jobs may run at once, and how many do.

    Attributes:
        type: that it is for; '' is all types of the queue together.
        concurrency: the limit; None for a type whose limit was taken back while jobs were held.
        running: jobs that count under it.
        held: QUEUED jobs that are passed by because of it; those that wait for the limit of the
            queue just wait.
    """

    type: str
    concurrency: int | None
    running: int
    held: int


@dataclass(frozen=True, slots=True)
class QueueStats:
    """The counts of a queue.

    Attributes:
        queue: that was counted.
        waiting: QUEUED jobs by priority.
        scheduled: jobs that wait for their time.
        running: jobs held by workers.
        succeeded: jobs still retained; so are failed (the dead letters), cancelled and expired.
        failed_by_reason: since the queue was created; so are the counts below.
        oldest_waiting_age: how long the oldest QUEUED job has waited; None if none waits.
        throughput: jobs finished per second, over the last minute.
        submitted: jobs submitted.
        retries: failed attempts that were tried again.
        lost_leases: attempts whose worker vanished.
        stale_writes: writes of workers refused for an old fencing token.
        released: jobs that workers handed back unfinished, at no cost of an attempt.
        misrouted: jobs handed back by a worker without a handler for their type.
        cache_hits: submits answered from the cache.
        cache_misses: submits that looked into the cache and had to run.
        cache_joined: submits answered with an equal job under way.
        held: waiting jobs that are passed by until fewer of their type run.
        limits: of how many run at once: that of the queue first, then those of types, by name.
        durability: that submits are acknowledged with now, by the gateway that answered.
        durability_reached: what is written now has; where that is less, since replicas do not
            confirm, nothing is acknowledged. None is unknown.
        max_waiting: how many jobs may wait before submits are refused; None is any number.
    """

    queue: Queue
    waiting: Mapping[Priority, int]
    scheduled: int = 0
    running: int = 0
    succeeded: int = 0
    failed: int = 0
    cancelled: int = 0
    expired: int = 0
    failed_by_reason: Mapping[FailureReason, int] = field(default_factory=dict)
    oldest_waiting_age: timedelta | None = None
    throughput: float = 0.0
    submitted: int = 0
    retries: int = 0
    lost_leases: int = 0
    stale_writes: int = 0
    released: int = 0
    misrouted: int = 0
    cache_hits: int = 0
    cache_misses: int = 0
    cache_joined: int = 0
    held: int = 0
    limits: tuple[ConcurrencyLimit, ...] = ()
    durability: Durability | None = None
    durability_reached: Durability | None = None
    max_waiting: int | None = None


@dataclass(frozen=True, slots=True)
class WorkerInfo:
    """One worker process as it last reported.

    Attributes:
        worker_id: unique per process start.
        host: it runs on.
        pid: of the process.
        queues: it serves.
        types: it has handlers for.
        slots: how many jobs it runs at once.
        running: jobs now.
        draining: it takes no more jobs.
        start_time: of the process.
        heartbeat_time: of its last report.
    """

    worker_id: str
    host: str
    pid: int
    queues: tuple[str, ...]
    types: tuple[str, ...]
    slots: int
    running: int
    draining: bool
    start_time: datetime | None
    heartbeat_time: datetime | None


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a list of jobs. It may be short or empty and still have a next.

    Attributes:
        jobs: without payload and result.
        next_page_token: for the next page; '' after the last.
    """

    jobs: tuple[Job, ...]
    next_page_token: str
