import datetime

from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from penstock.v1 import job_pb2 as _job_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class PolicySource(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    POLICY_SOURCE_UNSPECIFIED: _ClassVar[PolicySource]
    POLICY_SOURCE_SET: _ClassVar[PolicySource]
    POLICY_SOURCE_FILE: _ClassVar[PolicySource]
POLICY_SOURCE_UNSPECIFIED: PolicySource
POLICY_SOURCE_SET: PolicySource
POLICY_SOURCE_FILE: PolicySource

class Queue(_message.Message):
    __slots__ = ("name", "partitions", "paused", "create_time")
    NAME_FIELD_NUMBER: _ClassVar[int]
    PARTITIONS_FIELD_NUMBER: _ClassVar[int]
    PAUSED_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    name: str
    partitions: int
    paused: bool
    create_time: _timestamp_pb2.Timestamp
    def __init__(self, name: _Optional[str] = ..., partitions: _Optional[int] = ..., paused: _Optional[bool] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class ListQueuesRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ListQueuesResponse(_message.Message):
    __slots__ = ("queues",)
    QUEUES_FIELD_NUMBER: _ClassVar[int]
    queues: _containers.RepeatedCompositeFieldContainer[Queue]
    def __init__(self, queues: _Optional[_Iterable[_Union[Queue, _Mapping]]] = ...) -> None: ...

class GetQueueStatsRequest(_message.Message):
    __slots__ = ("queue",)
    QUEUE_FIELD_NUMBER: _ClassVar[int]
    queue: str
    def __init__(self, queue: _Optional[str] = ...) -> None: ...

class GetQueueStatsResponse(_message.Message):
    __slots__ = ("queue", "stats", "limits", "durability", "max_waiting", "durability_reached")
    QUEUE_FIELD_NUMBER: _ClassVar[int]
    STATS_FIELD_NUMBER: _ClassVar[int]
    LIMITS_FIELD_NUMBER: _ClassVar[int]
    DURABILITY_FIELD_NUMBER: _ClassVar[int]
    MAX_WAITING_FIELD_NUMBER: _ClassVar[int]
    DURABILITY_REACHED_FIELD_NUMBER: _ClassVar[int]
    queue: Queue
    stats: QueueStats
    limits: _containers.RepeatedCompositeFieldContainer[ConcurrencyLimit]
    durability: _job_pb2.Durability
    max_waiting: int
    durability_reached: _job_pb2.Durability
    def __init__(self, queue: _Optional[_Union[Queue, _Mapping]] = ..., stats: _Optional[_Union[QueueStats, _Mapping]] = ..., limits: _Optional[_Iterable[_Union[ConcurrencyLimit, _Mapping]]] = ..., durability: _Optional[_Union[_job_pb2.Durability, str]] = ..., max_waiting: _Optional[int] = ..., durability_reached: _Optional[_Union[_job_pb2.Durability, str]] = ...) -> None: ...

class ConcurrencyLimit(_message.Message):
    __slots__ = ("type", "concurrency", "running", "held")
    TYPE_FIELD_NUMBER: _ClassVar[int]
    CONCURRENCY_FIELD_NUMBER: _ClassVar[int]
    RUNNING_FIELD_NUMBER: _ClassVar[int]
    HELD_FIELD_NUMBER: _ClassVar[int]
    type: str
    concurrency: int
    running: int
    held: int
    def __init__(self, type: _Optional[str] = ..., concurrency: _Optional[int] = ..., running: _Optional[int] = ..., held: _Optional[int] = ...) -> None: ...

class QueueStats(_message.Message):
    __slots__ = ("waiting", "scheduled", "running", "succeeded", "failed", "cancelled", "expired", "failed_by_reason", "oldest_waiting_age", "throughput", "submitted", "retries", "lost_leases", "stale_writes", "released", "misrouted", "held", "cache_hits", "cache_misses", "cache_joined")
    WAITING_FIELD_NUMBER: _ClassVar[int]
    SCHEDULED_FIELD_NUMBER: _ClassVar[int]
    RUNNING_FIELD_NUMBER: _ClassVar[int]
    SUCCEEDED_FIELD_NUMBER: _ClassVar[int]
    FAILED_FIELD_NUMBER: _ClassVar[int]
    CANCELLED_FIELD_NUMBER: _ClassVar[int]
    EXPIRED_FIELD_NUMBER: _ClassVar[int]
    FAILED_BY_REASON_FIELD_NUMBER: _ClassVar[int]
    OLDEST_WAITING_AGE_FIELD_NUMBER: _ClassVar[int]
    THROUGHPUT_FIELD_NUMBER: _ClassVar[int]
    SUBMITTED_FIELD_NUMBER: _ClassVar[int]
    RETRIES_FIELD_NUMBER: _ClassVar[int]
    LOST_LEASES_FIELD_NUMBER: _ClassVar[int]
    STALE_WRITES_FIELD_NUMBER: _ClassVar[int]
    RELEASED_FIELD_NUMBER: _ClassVar[int]
    MISROUTED_FIELD_NUMBER: _ClassVar[int]
    HELD_FIELD_NUMBER: _ClassVar[int]
    CACHE_HITS_FIELD_NUMBER: _ClassVar[int]
    CACHE_MISSES_FIELD_NUMBER: _ClassVar[int]
    CACHE_JOINED_FIELD_NUMBER: _ClassVar[int]
    waiting: WaitingByPriority
    scheduled: int
    running: int
    succeeded: int
    failed: int
    cancelled: int
    expired: int
    failed_by_reason: _containers.RepeatedCompositeFieldContainer[FailedCount]
    oldest_waiting_age: _duration_pb2.Duration
    throughput: float
    submitted: int
    retries: int
    lost_leases: int
    stale_writes: int
    released: int
    misrouted: int
    held: int
    cache_hits: int
    cache_misses: int
    cache_joined: int
    def __init__(self, waiting: _Optional[_Union[WaitingByPriority, _Mapping]] = ..., scheduled: _Optional[int] = ..., running: _Optional[int] = ..., succeeded: _Optional[int] = ..., failed: _Optional[int] = ..., cancelled: _Optional[int] = ..., expired: _Optional[int] = ..., failed_by_reason: _Optional[_Iterable[_Union[FailedCount, _Mapping]]] = ..., oldest_waiting_age: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., throughput: _Optional[float] = ..., submitted: _Optional[int] = ..., retries: _Optional[int] = ..., lost_leases: _Optional[int] = ..., stale_writes: _Optional[int] = ..., released: _Optional[int] = ..., misrouted: _Optional[int] = ..., held: _Optional[int] = ..., cache_hits: _Optional[int] = ..., cache_misses: _Optional[int] = ..., cache_joined: _Optional[int] = ...) -> None: ...

class WaitingByPriority(_message.Message):
    __slots__ = ("high", "default", "low")
    HIGH_FIELD_NUMBER: _ClassVar[int]
    DEFAULT_FIELD_NUMBER: _ClassVar[int]
    LOW_FIELD_NUMBER: _ClassVar[int]
    high: int
    default: int
    low: int
    def __init__(self, high: _Optional[int] = ..., default: _Optional[int] = ..., low: _Optional[int] = ...) -> None: ...

class FailedCount(_message.Message):
    __slots__ = ("reason", "count")
    REASON_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    reason: _job_pb2.FailureReason
    count: int
    def __init__(self, reason: _Optional[_Union[_job_pb2.FailureReason, str]] = ..., count: _Optional[int] = ...) -> None: ...

class PauseQueueRequest(_message.Message):
    __slots__ = ("queue",)
    QUEUE_FIELD_NUMBER: _ClassVar[int]
    queue: str
    def __init__(self, queue: _Optional[str] = ...) -> None: ...

class PauseQueueResponse(_message.Message):
    __slots__ = ("queue",)
    QUEUE_FIELD_NUMBER: _ClassVar[int]
    queue: Queue
    def __init__(self, queue: _Optional[_Union[Queue, _Mapping]] = ...) -> None: ...

class ResumeQueueRequest(_message.Message):
    __slots__ = ("queue",)
    QUEUE_FIELD_NUMBER: _ClassVar[int]
    queue: str
    def __init__(self, queue: _Optional[str] = ...) -> None: ...

class ResumeQueueResponse(_message.Message):
    __slots__ = ("queue",)
    QUEUE_FIELD_NUMBER: _ClassVar[int]
    queue: Queue
    def __init__(self, queue: _Optional[_Union[Queue, _Mapping]] = ...) -> None: ...

class PurgeQueueRequest(_message.Message):
    __slots__ = ("queue",)
    QUEUE_FIELD_NUMBER: _ClassVar[int]
    queue: str
    def __init__(self, queue: _Optional[str] = ...) -> None: ...

class PurgeQueueResponse(_message.Message):
    __slots__ = ("cancelled", "more")
    CANCELLED_FIELD_NUMBER: _ClassVar[int]
    MORE_FIELD_NUMBER: _ClassVar[int]
    cancelled: int
    more: bool
    def __init__(self, cancelled: _Optional[int] = ..., more: _Optional[bool] = ...) -> None: ...

class CleanQueueRequest(_message.Message):
    __slots__ = ("queue", "states", "older_than", "type", "page_token")
    QUEUE_FIELD_NUMBER: _ClassVar[int]
    STATES_FIELD_NUMBER: _ClassVar[int]
    OLDER_THAN_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    queue: str
    states: _containers.RepeatedScalarFieldContainer[_job_pb2.JobState]
    older_than: _duration_pb2.Duration
    type: str
    page_token: str
    def __init__(self, queue: _Optional[str] = ..., states: _Optional[_Iterable[_Union[_job_pb2.JobState, str]]] = ..., older_than: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., type: _Optional[str] = ..., page_token: _Optional[str] = ...) -> None: ...

class CleanQueueResponse(_message.Message):
    __slots__ = ("removed", "next_page_token")
    REMOVED_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    removed: int
    next_page_token: str
    def __init__(self, removed: _Optional[int] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class RedriveDeadLettersRequest(_message.Message):
    __slots__ = ("queue", "type", "page_token")
    QUEUE_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    queue: str
    type: str
    page_token: str
    def __init__(self, queue: _Optional[str] = ..., type: _Optional[str] = ..., page_token: _Optional[str] = ...) -> None: ...

class RedriveDeadLettersResponse(_message.Message):
    __slots__ = ("redriven", "next_page_token")
    REDRIVEN_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    redriven: int
    next_page_token: str
    def __init__(self, redriven: _Optional[int] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class ListWorkersRequest(_message.Message):
    __slots__ = ("queue",)
    QUEUE_FIELD_NUMBER: _ClassVar[int]
    queue: str
    def __init__(self, queue: _Optional[str] = ...) -> None: ...

class ListWorkersResponse(_message.Message):
    __slots__ = ("workers",)
    WORKERS_FIELD_NUMBER: _ClassVar[int]
    workers: _containers.RepeatedCompositeFieldContainer[WorkerInfo]
    def __init__(self, workers: _Optional[_Iterable[_Union[WorkerInfo, _Mapping]]] = ...) -> None: ...

class WorkerInfo(_message.Message):
    __slots__ = ("worker_id", "host", "pid", "queues", "types", "slots", "running", "draining", "start_time", "heartbeat_time")
    WORKER_ID_FIELD_NUMBER: _ClassVar[int]
    HOST_FIELD_NUMBER: _ClassVar[int]
    PID_FIELD_NUMBER: _ClassVar[int]
    QUEUES_FIELD_NUMBER: _ClassVar[int]
    TYPES_FIELD_NUMBER: _ClassVar[int]
    SLOTS_FIELD_NUMBER: _ClassVar[int]
    RUNNING_FIELD_NUMBER: _ClassVar[int]
    DRAINING_FIELD_NUMBER: _ClassVar[int]
    START_TIME_FIELD_NUMBER: _ClassVar[int]
    HEARTBEAT_TIME_FIELD_NUMBER: _ClassVar[int]
    worker_id: str
    host: str
    pid: int
    queues: _containers.RepeatedScalarFieldContainer[str]
    types: _containers.RepeatedScalarFieldContainer[str]
    slots: int
    running: int
    draining: bool
    start_time: _timestamp_pb2.Timestamp
    heartbeat_time: _timestamp_pb2.Timestamp
    def __init__(self, worker_id: _Optional[str] = ..., host: _Optional[str] = ..., pid: _Optional[int] = ..., queues: _Optional[_Iterable[str]] = ..., types: _Optional[_Iterable[str]] = ..., slots: _Optional[int] = ..., running: _Optional[int] = ..., draining: _Optional[bool] = ..., start_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., heartbeat_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class Policy(_message.Message):
    __slots__ = ("max_attempts", "backoff", "timeout", "priority", "concurrency", "succeeded", "failed", "max_waiting")
    MAX_ATTEMPTS_FIELD_NUMBER: _ClassVar[int]
    BACKOFF_FIELD_NUMBER: _ClassVar[int]
    TIMEOUT_FIELD_NUMBER: _ClassVar[int]
    PRIORITY_FIELD_NUMBER: _ClassVar[int]
    CONCURRENCY_FIELD_NUMBER: _ClassVar[int]
    SUCCEEDED_FIELD_NUMBER: _ClassVar[int]
    FAILED_FIELD_NUMBER: _ClassVar[int]
    MAX_WAITING_FIELD_NUMBER: _ClassVar[int]
    max_attempts: int
    backoff: _job_pb2.Backoff
    timeout: _duration_pb2.Duration
    priority: _job_pb2.Priority
    concurrency: int
    succeeded: RetentionPolicy
    failed: RetentionPolicy
    max_waiting: int
    def __init__(self, max_attempts: _Optional[int] = ..., backoff: _Optional[_Union[_job_pb2.Backoff, _Mapping]] = ..., timeout: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., priority: _Optional[_Union[_job_pb2.Priority, str]] = ..., concurrency: _Optional[int] = ..., succeeded: _Optional[_Union[RetentionPolicy, _Mapping]] = ..., failed: _Optional[_Union[RetentionPolicy, _Mapping]] = ..., max_waiting: _Optional[int] = ...) -> None: ...

class RetentionPolicy(_message.Message):
    __slots__ = ("age", "count")
    AGE_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    age: _duration_pb2.Duration
    count: int
    def __init__(self, age: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., count: _Optional[int] = ...) -> None: ...

class QueuePolicy(_message.Message):
    __slots__ = ("queue", "type", "policy", "source")
    QUEUE_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    POLICY_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    queue: str
    type: str
    policy: Policy
    source: PolicySource
    def __init__(self, queue: _Optional[str] = ..., type: _Optional[str] = ..., policy: _Optional[_Union[Policy, _Mapping]] = ..., source: _Optional[_Union[PolicySource, str]] = ...) -> None: ...

class SetQueuePolicyRequest(_message.Message):
    __slots__ = ("queue", "type", "policy")
    QUEUE_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    POLICY_FIELD_NUMBER: _ClassVar[int]
    queue: str
    type: str
    policy: Policy
    def __init__(self, queue: _Optional[str] = ..., type: _Optional[str] = ..., policy: _Optional[_Union[Policy, _Mapping]] = ...) -> None: ...

class SetQueuePolicyResponse(_message.Message):
    __slots__ = ("policy",)
    POLICY_FIELD_NUMBER: _ClassVar[int]
    policy: QueuePolicy
    def __init__(self, policy: _Optional[_Union[QueuePolicy, _Mapping]] = ...) -> None: ...

class GetQueuePolicyRequest(_message.Message):
    __slots__ = ("queue", "type")
    QUEUE_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    queue: str
    type: str
    def __init__(self, queue: _Optional[str] = ..., type: _Optional[str] = ...) -> None: ...

class GetQueuePolicyResponse(_message.Message):
    __slots__ = ("effective", "policies")
    EFFECTIVE_FIELD_NUMBER: _ClassVar[int]
    POLICIES_FIELD_NUMBER: _ClassVar[int]
    effective: Policy
    policies: _containers.RepeatedCompositeFieldContainer[QueuePolicy]
    def __init__(self, effective: _Optional[_Union[Policy, _Mapping]] = ..., policies: _Optional[_Iterable[_Union[QueuePolicy, _Mapping]]] = ...) -> None: ...

class ListQueuePoliciesRequest(_message.Message):
    __slots__ = ("queue",)
    QUEUE_FIELD_NUMBER: _ClassVar[int]
    queue: str
    def __init__(self, queue: _Optional[str] = ...) -> None: ...

class ListQueuePoliciesResponse(_message.Message):
    __slots__ = ("policies",)
    POLICIES_FIELD_NUMBER: _ClassVar[int]
    policies: _containers.RepeatedCompositeFieldContainer[QueuePolicy]
    def __init__(self, policies: _Optional[_Iterable[_Union[QueuePolicy, _Mapping]]] = ...) -> None: ...

class DeleteQueuePolicyRequest(_message.Message):
    __slots__ = ("queue", "type")
    QUEUE_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    queue: str
    type: str
    def __init__(self, queue: _Optional[str] = ..., type: _Optional[str] = ...) -> None: ...

class DeleteQueuePolicyResponse(_message.Message):
    __slots__ = ("deleted",)
    DELETED_FIELD_NUMBER: _ClassVar[int]
    deleted: bool
    def __init__(self, deleted: _Optional[bool] = ...) -> None: ...
