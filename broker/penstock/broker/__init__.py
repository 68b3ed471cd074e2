"""The engine over Redis: the only code of Penstock that talks to it. Knows neither gRPC nor pb2."""

from penstock.broker.broker import Broker, BrokerOptions
from penstock.broker.cache_keys import CacheTarget, caller_key, payload_key
from penstock.broker.depths import MAX_QUEUE_DEPTH
from penstock.broker.errors import (
    AlreadyExists,
    ConnectionLost,
    CursorOutOfRange,
    DomainError,
    FailedPrecondition,
    InvalidArgument,
    LimitExceeded,
    MessageReused,
    NotFound,
    NotReplicated,
    Overloaded,
    PenstockError,
    QueueFull,
    ReplyError,
    ScheduleExists,
    ServerRefused,
    StaleToken,
    StorageFull,
    Unavailable,
    UnsafeServer,
)
from penstock.broker.event import Chunk, Event, EventPage, Gap, LogLine, StateChange
from penstock.broker.grant import Grant, Renewal
from penstock.broker.janitor import Janitor
from penstock.broker.job import (
    TERMINAL,
    TRANSITIONS,
    Backoff,
    Content,
    Failure,
    FailureReason,
    HoldReason,
    Job,
    JobState,
    Message,
    Priority,
    Progress,
)
from penstock.broker.new_job import DEFAULTS, CachePolicy, NewJob, SubmitOutcome, Submitted
from penstock.broker.policies import MAX_POLICIES, MAX_TYPES_PER_QUEUE, Policies, PolicyReader
from penstock.broker.policy import Keep, Policy, PolicyEntry, PolicyKey, PolicySource
from penstock.broker.queues import QueueStats
from penstock.broker.registry import WorkerInfo
from penstock.broker.repairer import Repairer
from penstock.broker.replication import ReplicationOptions
from penstock.broker.schedule import CatchUp, NewSchedule, Overlap, Schedule, SchedulePolicy
from penstock.broker.schedules import anchored
from penstock.broker.server_check import Durability
from penstock.broker.settings import BrokerSettings
from penstock.broker.timing import Timing, TimingError
from penstock.broker.topic import NewMessage, Route, Subscription, TopicRule
from penstock.broker.topics import Published
from penstock.broker.wakeups import Wakeups

__all__ = [
    "DEFAULTS",
    "MAX_POLICIES",
    "MAX_QUEUE_DEPTH",
    "MAX_TYPES_PER_QUEUE",
    "TERMINAL",
    "TRANSITIONS",
    "AlreadyExists",
    "Backoff",
    "Broker",
    "BrokerOptions",
    "BrokerSettings",
    "CachePolicy",
    "CacheTarget",
    "CatchUp",
    "Chunk",
    "ConnectionLost",
    "Content",
    "CursorOutOfRange",
    "DomainError",
    "Durability",
    "Event",
    "EventPage",
    "FailedPrecondition",
    "Failure",
    "FailureReason",
    "Gap",
    "Grant",
    "HoldReason",
    "InvalidArgument",
    "Janitor",
    "Job",
    "JobState",
    "Keep",
    "LimitExceeded",
    "LogLine",
    "Message",
    "MessageReused",
    "NewJob",
    "NewMessage",
    "NewSchedule",
    "NotFound",
    "NotReplicated",
    "Overlap",
    "Overloaded",
    "PenstockError",
    "Policies",
    "Policy",
    "PolicyEntry",
    "PolicyKey",
    "PolicyReader",
    "PolicySource",
    "Priority",
    "Progress",
    "Published",
    "QueueFull",
    "QueueStats",
    "Renewal",
    "Repairer",
    "ReplicationOptions",
    "ReplyError",
    "Route",
    "Schedule",
    "ScheduleExists",
    "SchedulePolicy",
    "ServerRefused",
    "StaleToken",
    "StateChange",
    "StorageFull",
    "SubmitOutcome",
    "Submitted",
    "Subscription",
    "Timing",
    "TimingError",
    "TopicRule",
    "Unavailable",
    "UnsafeServer",
    "Wakeups",
    "WorkerInfo",
    "anchored",
    "caller_key",
    "payload_key",
]
