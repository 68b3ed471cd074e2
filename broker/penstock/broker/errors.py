"""Everything that the broker raises.

The tree::

    PenstockError
    ├── Unavailable              Redis cannot be asked now; try again after retry_after_s
    │   ├── ConnectionLost       the connection broke under a command; maybe_executed
    │   ├── NotServing           (also a ReplyError) Redis answers, but cannot serve now
    │   └── ServerRefused        an UnsafeServer stands where the server was; verdict
    ├── NotReplicated            executed, but replicas have not confirmed it in time
    ├── Overloaded               this process has too many commands in flight
    ├── QueueFull                so many jobs wait that no more are taken; queue, depth, limit
    ├── ReplyError               Redis refused a command; code, message
    │   ├── NotServing           LOADING, READONLY, BUSY ...: safe to repeat, nothing was done
    │   └── StorageFull          OOM, MISCONF, NOREPLICAS: Redis takes no writes now
    ├── ScriptError              (in script.py) a script of the package is missing or malformed
    ├── UnsafeServer             Redis is set up so that jobs would be lost, or holds another format
    └── DomainError              what a request is at fault for
        ├── InvalidArgument      violations
        ├── NotFound             kind, name
        ├── AlreadyExists        job_id
        │   └── MessageReused    (in that, too) of a message id
        ├── ScheduleExists       schedule_id
        ├── FailedPrecondition   reason, metadata
        ├── CursorOutOfRange     last_sequence
        ├── LimitExceeded
        └── StaleToken           job_id, state

Who catches what: `Unavailable` is worth a retry of an idempotent script (see `retry.py`);
`Overloaded`, `QueueFull` and `StorageFull` are passed on, so that the load is shed; any other
`ReplyError` is a fault of ours or a right that is missing, and no repetition mends it.
"""

# ruff: noqa: N818 - the names say what happened, as the tree above reads; all are PenstockErrors.

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from penstock.broker.job import JobState

RETRY_AFTER_S: Final = 1.0


class PenstockError(Exception):
    """Root of everything that the broker raises on purpose."""


class Unavailable(PenstockError):
    """Redis cannot be asked now: not connected, shutting down, or not serving.

    Attributes:
        retry_after_s: when another attempt is worth while, in seconds.
    """

    def __init__(self, message: str, *, retry_after_s: float = RETRY_AFTER_S) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class ConnectionLost(Unavailable):
    """The connection broke while a command waited for its reply.

    Attributes:
        maybe_executed: True if the command was handed to the socket, so that Redis may have run it;
            False if it certainly was not run.
    """

    def __init__(self, message: str, *, maybe_executed: bool) -> None:
        super().__init__(message)
        self.maybe_executed = maybe_executed


class NotReplicated(PenstockError):
    """A write was executed, and too few replicas confirmed in time that they have it.

    It may be lost if the server is; whoever repeats it finds what it did.

    Attributes:
        retry_after_s: when another attempt is worth while, in seconds.
    """

    def __init__(
        self, replicas: int, within_s: float, *, retry_after_s: float = RETRY_AFTER_S
    ) -> None:
        super().__init__(
            f"stored, but not confirmed by {replicas} replica(s) within {within_s:g} s: repeat the "
            "call, with the same request id"
        )
        self.retry_after_s = retry_after_s


class Overloaded(PenstockError):
    """This process holds as many unanswered commands as it is allowed to; nothing was sent.

    Attributes:
        retry_after_s: when another attempt is worth while, in seconds.
    """

    def __init__(self, message: str, *, retry_after_s: float = RETRY_AFTER_S) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class QueueFull(PenstockError):
    """As many jobs wait as may; nothing was stored.

    Attributes:
        queue: its name.
        depth: how many wait; of several partitions, in the one that the job belongs to.
        limit: how many may, there.
        retry_after_s: when another attempt is worth while, in seconds.
    """

    def __init__(
        self,
        queue: str,
        depth: int,
        limit: int,
        *,
        retry_after_s: float = RETRY_AFTER_S,
    ) -> None:
        super().__init__(f"the queue {queue} is full: {depth} jobs wait where {limit} may")
        self.queue = queue
        self.depth = depth
        self.limit = limit
        self.retry_after_s = retry_after_s


class ReplyError(PenstockError):
    """Redis answered a command with an error.

    Attributes:
        code: the reply's first word, such as NOSCRIPT or WRONGTYPE; ERR where it names none.
        message: the rest of the reply. May quote arguments, so it is for logs, not for clients.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{code} {message}")
        self.code = code
        self.message = message


class NotServing(ReplyError, Unavailable):
    """Redis answers but cannot serve now: loading its data, read-only, failing over, or busy."""


class ServerRefused(Unavailable):
    """The server that came back is not one that jobs may be entrusted to.

    It is asked again and again, as any that is away; and yet somebody has to change it first.

    Attributes:
        verdict: the text of the UnsafeServer: what to change. It names no host.
    """

    def __init__(self, message: str, verdict: str) -> None:
        super().__init__(message)
        self.verdict = verdict


class StorageFull(ReplyError):
    """Redis takes no writes now: memory is full, persistence fails, or replicas are missing."""


# The one table of reply codes. A code that is not listed is fatal: it stays a plain ReplyError.
_CLASS_BY_CODE: Final[dict[str, type[ReplyError]]] = {
    "BUSY": NotServing,
    "CLUSTERDOWN": NotServing,
    "LOADING": NotServing,
    "MASTERDOWN": NotServing,
    "READONLY": NotServing,
    "TRYAGAIN": NotServing,
    "MISCONF": StorageFull,
    "NOREPLICAS": StorageFull,
    "OOM": StorageFull,
}


def reply_error(text: str) -> ReplyError:
    """The exception for an error reply of Redis, given without its leading minus sign.

    The reply's code decides the class: `NotServing`, `StorageFull`, else `ReplyError` itself.
    """
    code, _, message = text.partition(" ")
    if not code.isupper():
        code, message = "ERR", text
    return _CLASS_BY_CODE.get(code, ReplyError)(code, message)


# Domain errors: what a job, a queue or an argument is at fault for.


class DomainError(PenstockError):
    """Root of what is wrong with a request, as opposed to the state of Redis.

    Attributes:
        reason: stable name of the error in upper case, such as JOB_NOT_FOUND.
    """

    reason = "UNKNOWN"


class InvalidArgument(DomainError):
    """The request breaks a rule.

    Attributes:
        violations: (path of the field such as job.options.delay, what is wrong), at least one.
    """

    reason = "INVALID_ARGUMENT"

    def __init__(self, violations: Sequence[tuple[str, str]]) -> None:
        super().__init__("; ".join(f"{path}: {text}" for path, text in violations))
        self.violations = tuple(violations)


class NotFound(DomainError):
    """There is no such thing, or it is not the caller's, or it is past its retention.

    Attributes:
        kind: what was looked for: job, queue or schedule.
        name: its id or name as the caller gave it.
    """

    def __init__(self, kind: str, name: str) -> None:
        super().__init__(f"no such {kind}: {name}")
        self.kind = kind
        self.name = name
        self.reason = f"{kind.upper()}_NOT_FOUND"


class AlreadyExists(DomainError):
    """The request id or idempotency key of a submit stands for other work already.

    Attributes:
        job_id: the job that it stands for.
    """

    reason = "KEY_REUSED"
    text = "the request_id or idempotency_key was already used for another type or payload"

    def __init__(self, job_id: str) -> None:
        super().__init__(self.text)
        self.job_id = job_id


class MessageReused(AlreadyExists):
    """A message id stands for another topic or payload already."""

    reason = "MESSAGE_ID_REUSED"
    text = "the message_id was already used for another topic or payload"


class ScheduleExists(DomainError):
    """There is a schedule of that id, with another definition.

    Attributes:
        schedule_id: the id.
    """

    reason = "SCHEDULE_EXISTS"

    def __init__(self, schedule_id: str) -> None:
        super().__init__(f"there is a schedule {schedule_id} with another definition already")
        self.schedule_id = schedule_id


class FailedPrecondition(DomainError):
    """The request is sound, but not in the present state of things.

    Attributes:
        metadata: facts about that state, for programs.
    """

    def __init__(self, reason: str, message: str, metadata: Mapping[str, str]) -> None:
        super().__init__(message)
        self.reason = reason
        self.metadata = dict(metadata)


class CursorOutOfRange(DomainError):
    """A cursor is beyond a job's newest event.

    Attributes:
        last_sequence: the newest.
    """

    reason = "CURSOR_OUT_OF_RANGE"

    def __init__(self, last_sequence: int) -> None:
        super().__init__(f"the cursor is beyond the newest event, {last_sequence}")
        self.last_sequence = last_sequence


class LimitExceeded(DomainError):
    """A limit of the namespace is reached, such as its number of queues."""

    reason = "LIMIT_EXCEEDED"


class StaleToken(DomainError):
    """A worker's write was refused: its attempt is over, or another worker holds the job.

    Attributes:
        state: of the job now; None if it is gone.
    """

    reason = "STALE_TOKEN"

    def __init__(self, job_id: str, state: JobState | None) -> None:
        super().__init__(f"the attempt at {job_id} is over; the job is {state and state.name}")
        self.job_id = job_id
        self.state = state


class UnsafeServer(PenstockError):
    """The server is not one that jobs may be entrusted to; the text says what to change."""
