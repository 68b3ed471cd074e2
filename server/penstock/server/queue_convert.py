"""Between the contract and the broker: queues, their counts, and workers. As `convert`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from penstock.broker import Priority
from penstock.server.convert import reason_out, span_of, time_of
from penstock.v1 import queue_service_pb2 as pb

if TYPE_CHECKING:
    from penstock.broker import QueueStats, WorkerInfo
    from penstock.broker.engine import QueueInfo


def queue(info: QueueInfo, *, paused: bool) -> pb.Queue:
    """A queue."""
    return pb.Queue(
        name=info.name,
        partitions=info.partitions,
        paused=paused,
        create_time=time_of(info.created_ms),
    )


def stats(found: QueueStats) -> pb.QueueStats:
    """The counts of a queue."""
    return pb.QueueStats(
        waiting=pb.WaitingByPriority(
            high=found.waiting[Priority.HIGH],
            default=found.waiting[Priority.DEFAULT],
            low=found.waiting[Priority.LOW],
        ),
        scheduled=found.scheduled,
        running=found.running,
        succeeded=found.succeeded,
        failed=found.failed,
        cancelled=found.cancelled,
        expired=found.expired,
        failed_by_reason=[
            pb.FailedCount(reason=reason_out(reason), count=count)
            for reason, count in found.failed_by_reason.items()
        ],
        oldest_waiting_age=span_of(found.oldest_waiting_age_ms),
        throughput=found.throughput_per_s,
        submitted=found.counters.get("submitted", 0),
        retries=found.counters.get("retries", 0),
        lost_leases=found.counters.get("lost", 0),
        stale_writes=found.counters.get("stale", 0),
        released=found.counters.get("released", 0),
        misrouted=found.counters.get("misrouted", 0),
        held=found.held,
        cache_hits=found.counters.get("cache_hits", 0),
        cache_misses=found.counters.get("cache_misses", 0),
        cache_joined=found.counters.get("cache_joined", 0),
    )


def worker(found: WorkerInfo) -> pb.WorkerInfo:
    """A worker process."""
    return pb.WorkerInfo(
        worker_id=found.worker_id,
        host=found.host,
        pid=found.pid,
        queues=found.queues,
        types=found.types,
        slots=found.slots,
        running=found.running,
        draining=found.draining,
        start_time=time_of(found.started_ms),
        heartbeat_time=time_of(found.heartbeat_ms),
    )
