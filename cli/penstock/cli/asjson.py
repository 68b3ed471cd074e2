"""What ``--json`` prints: the same keys each time, null for what does not apply.

Times are ISO 8601 in UTC, durations seconds, states and reasons the names of the contract.
"""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

from penstock.cli.times import isoformat

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import timedelta

    from penstock.client import (
        Content,
        Failure,
        Job,
        MessageInfo,
        Progress,
        Queue,
        QueueStats,
        Submitted,
        WorkerInfo,
    )

__all__ = [
    "content_json",
    "job_json",
    "progress_json",
    "queue_json",
    "stats_json",
    "submitted_json",
    "worker_json",
]


def content_json(content: Content | None) -> Any:  # noqa: ANN401 - JSON is whatever was written.
    """Return JSON as what it says, anything else as ``{"base64", "content_type"}``."""
    if content is None:
        return None
    if content.is_json:
        try:
            return content.decode()
        except ValueError:
            pass  # Labelled JSON, and none: shown as bytes.
    return {
        "base64": base64.b64encode(content.data).decode(),
        "content_type": content.content_type,
    }


def progress_json(progress: Progress | None) -> dict[str, Any] | None:
    """Return how far a job is."""
    if progress is None:
        return None
    return {
        "current": progress.current,
        "message": progress.message,
        "total": progress.total,
    }


def job_json(job: Job) -> dict[str, Any]:
    """Return a job."""
    return {
        "job_id": job.job_id,
        "type": job.type,
        "queue": job.queue,
        "state": job.state.value,
        "priority": job.priority.value,
        "attempt": job.attempt,
        "max_attempts": job.max_attempts,
        "crashes": job.crashes,
        "fencing_token": job.fencing_token,
        "hold_reason": job.hold_reason.value if job.hold_reason else None,
        "cancel_requested": job.cancel_requested,
        "cancel_reason": job.cancel_reason or None,
        "progress": progress_json(job.progress),
        "failure": _failure_json(job.failure),
        "result": content_json(job.result_content),
        "payload": content_json(job.payload_content),
        "metadata": dict(job.metadata),
        "create_time": isoformat(job.create_time),
        "queue_time": isoformat(job.queue_time),
        "start_time": isoformat(job.start_time),
        "finish_time": isoformat(job.finish_time),
        "run_at": isoformat(job.run_at),
        "deadline": isoformat(job.deadline),
        "timeout_s": _seconds(job.timeout),
        "retention_s": _seconds(job.retention),
        "worker_id": job.worker_id or None,
        "retried_from": job.retried_from or None,
        "cached_from": job.cached_from or None,
        "schedule_id": job.schedule_id or None,
        "occurrence_time": isoformat(job.occurrence_time),
        "message": _message_json(job.message),
        "last_sequence": job.last_sequence,
    }


def _failure_json(failure: Failure | None) -> dict[str, Any] | None:
    if failure is None:
        return None
    return {
        "message": failure.message,
        "reason": failure.reason.value if failure.reason else None,
        "type": failure.type,
    }


def _message_json(message: MessageInfo | None) -> dict[str, Any] | None:
    if message is None:
        return None
    return {
        "message_id": message.message_id,
        "source": message.source or None,
        "time": isoformat(message.time),
        "topic": message.topic,
    }


def submitted_json(receipt: Submitted) -> dict[str, Any]:
    """Return the receipt of a submit."""
    return {
        "job_id": receipt.job_id,
        "state": receipt.state.value if receipt.state else None,
        "outcome": receipt.outcome.value,
        "durability": receipt.durability.value if receipt.durability else None,
        "request_id": receipt.request_id,
    }


def queue_json(queue: Queue) -> dict[str, Any]:
    """Return a queue."""
    return {
        "name": queue.name,
        "partitions": queue.partitions,
        "paused": queue.paused,
        "create_time": isoformat(queue.create_time),
    }


def stats_json(stats: QueueStats) -> dict[str, Any]:
    """Return a queue with its counts."""
    return {
        **queue_json(stats.queue),
        "waiting": _counts(stats.waiting),
        "scheduled": stats.scheduled,
        "running": stats.running,
        "succeeded": stats.succeeded,
        "failed": stats.failed,
        "cancelled": stats.cancelled,
        "expired": stats.expired,
        "failed_by_reason": _counts(stats.failed_by_reason),
        "oldest_waiting_age_s": _seconds(stats.oldest_waiting_age),
        "throughput": stats.throughput,
        "submitted": stats.submitted,
        "retries": stats.retries,
        "lost_leases": stats.lost_leases,
        "stale_writes": stats.stale_writes,
        "released": stats.released,
        "misrouted": stats.misrouted,
        "held": stats.held,
        "durability": stats.durability and str(stats.durability),
        "durability_reached": stats.durability_reached and str(stats.durability_reached),
        "max_waiting": stats.max_waiting,
        "limits": [
            {
                "type": limit.type or None,
                "concurrency": limit.concurrency or None,
                "running": limit.running,
                "held": limit.held,
            }
            for limit in stats.limits
        ],
        "cache_hits": stats.cache_hits,
        "cache_misses": stats.cache_misses,
        "cache_joined": stats.cache_joined,
    }


def worker_json(worker: WorkerInfo) -> dict[str, Any]:
    """Return a worker process."""
    return {
        "worker_id": worker.worker_id,
        "host": worker.host,
        "pid": worker.pid,
        "queues": list(worker.queues),
        "types": list(worker.types),
        "slots": worker.slots,
        "running": worker.running,
        "draining": worker.draining,
        "start_time": isoformat(worker.start_time),
        "heartbeat_time": isoformat(worker.heartbeat_time),
    }


def _seconds(length: timedelta | None) -> float | None:
    return None if length is None else length.total_seconds()


def _counts(counts: Mapping[Any, int]) -> dict[str, int]:
    return {key.value.lower(): count for key, count in counts.items()}
