"""The Python client of Penstock: submit jobs, watch them live, get their results.

It knows gRPC alone. Start at `Client`, or at `AsyncClient` where there is an event loop.
"""

from penstock.client.async_client import AsyncClient
from penstock.client.cache_policy import CachePolicy
from penstock.client.client import Client, JobHandle, MergedWatch, Watch
from penstock.client.content import Content
from penstock.client.errors import (
    AlreadyExists,
    CursorOutOfRange,
    DeadlineExceeded,
    FailedPrecondition,
    Internal,
    InvalidRequest,
    JobCancelled,
    JobExpired,
    JobFailed,
    JobUnsuccessful,
    NotFound,
    PenstockError,
    PermissionDenied,
    ResourceExhausted,
    ResultMismatch,
    Status,
    StatusError,
    Unauthenticated,
    Unavailable,
    Unimplemented,
    Violation,
    WaitTimeout,
)
from penstock.client.events import (
    ChunkEvent,
    Event,
    GapEvent,
    LogEvent,
    ProgressEvent,
    SnapshotEvent,
    StateEvent,
)
from penstock.client.handle import AsyncJobHandle
from penstock.client.job import (
    Durability,
    Failure,
    FailureReason,
    Job,
    JobState,
    MessageInfo,
    Priority,
    Progress,
    SubmitOutcome,
    Submitted,
)
from penstock.client.new_job import Backoff, NewJob, SubmitOptions
from penstock.client.queue import Page, Queue, QueueStats, WorkerInfo
from penstock.client.schedule import CatchUp, Overlap, Schedule, ScheduleInfo
from penstock.client.topic import Published, PublishedJob, Subscription, TopicRule
from penstock.client.watch import AsyncWatch
from penstock.client.watch_many import AsyncMergedWatch

__all__ = [
    "AlreadyExists",
    "AsyncClient",
    "AsyncJobHandle",
    "AsyncMergedWatch",
    "AsyncWatch",
    "Backoff",
    "CachePolicy",
    "CatchUp",
    "ChunkEvent",
    "Client",
    "Content",
    "CursorOutOfRange",
    "DeadlineExceeded",
    "Durability",
    "Event",
    "FailedPrecondition",
    "Failure",
    "FailureReason",
    "GapEvent",
    "Internal",
    "InvalidRequest",
    "Job",
    "JobCancelled",
    "JobExpired",
    "JobFailed",
    "JobHandle",
    "JobState",
    "JobUnsuccessful",
    "LogEvent",
    "MergedWatch",
    "MessageInfo",
    "NewJob",
    "NotFound",
    "Overlap",
    "Page",
    "PenstockError",
    "PermissionDenied",
    "Priority",
    "Progress",
    "ProgressEvent",
    "Published",
    "PublishedJob",
    "Queue",
    "QueueStats",
    "ResourceExhausted",
    "ResultMismatch",
    "Schedule",
    "ScheduleInfo",
    "SnapshotEvent",
    "StateEvent",
    "Status",
    "StatusError",
    "SubmitOptions",
    "SubmitOutcome",
    "Submitted",
    "Subscription",
    "TopicRule",
    "Unauthenticated",
    "Unavailable",
    "Unimplemented",
    "Violation",
    "WaitTimeout",
    "Watch",
    "WorkerInfo",
]
