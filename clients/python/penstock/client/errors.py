"""Everything that the client raises.

The tree::

    PenstockError
    ├── StatusError                the gateway (or the way to it) refused a call; status
    │   ├── InvalidRequest         violations: one for each rule that the request breaks
    │   ├── CursorOutOfRange       a watch begins beyond the job's newest event
    │   ├── NotFound               no such job or queue, or it is past its retention
    │   ├── AlreadyExists          a request id or idempotency key stands for other work
    │   ├── FailedPrecondition     sound, but not in the present state of things; see its reason
    │   ├── PermissionDenied
    │   ├── Unauthenticated
    │   ├── ResourceExhausted      a limit is reached; retry_after_s
    │   ├── Unavailable            no gateway, or none that can serve now; retry_after_s
    │   ├── DeadlineExceeded       (also a TimeoutError) no answer in time
    │   ├── Unimplemented          the gateway is older than this client
    │   └── Internal               a fault of the gateway, or an answer that makes no sense
    ├── JobUnsuccessful            result() of a job that ended without one; job
    │   ├── JobFailed
    │   ├── JobCancelled
    │   └── JobExpired
    ├── WaitTimeout                (also a TimeoutError) the job was not done in time; job
    └── ResultMismatch             (also a ValueError) a result is not of the type asked for

The client has repeated a call for as long as that makes sense before it raises `Unavailable` or
`ResourceExhausted`: catch them to tell a person, not to try once more. Repeating any call is safe;
for a submit, with the same request id.
"""

# ruff: noqa: N818 - the names say what happened, as the tree above reads; all are PenstockErrors.

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from collections.abc import Mapping

    from penstock.client.job import Job


class PenstockError(Exception):
    """Root of everything that the client raises on purpose."""


@dataclass(frozen=True, slots=True)
class Violation:
    """One rule that a request breaks.

    Attributes:
        field: path of the field, such as job.options.delay.
        description: what is wrong with it.
    """

    field: str
    description: str

    def __str__(self) -> str:
        return f"{self.field}: {self.description}"


@dataclass(frozen=True, slots=True)
class Status:
    """What came back instead of an answer: a gRPC status and its google.rpc details.

    Attributes:
        code: name of the gRPC status code, such as NOT_FOUND.
        message: for developers.
        reason: stable name of the error in upper case (ErrorInfo); '' where there is none.
        metadata: facts that belong to the reason (ErrorInfo).
        violations: what is wrong with the request (BadRequest).
        retry_after_s: when another try is worth while, in seconds (RetryInfo); None is unknown.
        resource: (type, name) of what it is about (ResourceInfo); None where there is none.
    """

    code: str
    message: str
    reason: str = ""
    metadata: Mapping[str, str] = field(default_factory=dict)
    violations: tuple[Violation, ...] = ()
    retry_after_s: float | None = None
    resource: tuple[str, str] | None = None


class StatusError(PenstockError):
    """A call ended with a status other than OK.

    Attributes:
        status: all that is known about it.
    """

    _HINT: ClassVar[str] = ""

    def __init__(self, status: Status) -> None:
        super().__init__(status)
        self.status = status

    @property
    def hint(self) -> str:
        """What to do next, for people; '' where there is nothing to add."""
        return self._HINT

    def __str__(self) -> str:
        text = self.status.message or self.status.code
        return f"{text.rstrip('.!')}. {self.hint}" if self.hint else text

    @property
    def code(self) -> str:
        """Name of the gRPC status code."""
        return self.status.code

    @property
    def reason(self) -> str:
        """Stable name of the error, for programs; '' where the gateway gave none."""
        return self.status.reason

    @property
    def metadata(self) -> Mapping[str, str]:
        """Facts that belong to the reason, for programs."""
        return self.status.metadata

    @property
    def retry_after_s(self) -> float | None:
        """When another try is worth while, in seconds; None is unknown."""
        return self.status.retry_after_s


class InvalidRequest(StatusError):
    """The request breaks rules; nothing was stored. Found here or by the gateway."""

    @property
    def violations(self) -> tuple[Violation, ...]:
        """All rules that it breaks; empty only if the gateway gave no details."""
        return self.status.violations

    def __str__(self) -> str:
        if not self.violations:
            return super().__str__()
        return "the request was refused: " + "; ".join(map(str, self.violations))


class CursorOutOfRange(StatusError):
    """A watch was to begin after a sequence that the job has not reached."""

    _HINT = "Watch from an earlier sequence; 0 is the first event."


class NotFound(StatusError):
    """There is no such job or queue; `status` says in its resource which of them."""

    _HINT = "It is not known here: see whether the name and the gateway's address are right."
    _HINTS: ClassVar[Mapping[str, str]] = {
        "job": "It never was, is not yours, or is past its retention.",
        "schedule": "See whether the id is right: client.schedules() lists them.",
        "queue": "A queue begins with its first job or worker: see whether the name is right.",
    }

    @property
    def hint(self) -> str:
        """What may be the reason, by what is missing."""
        kind, _ = self.status.resource or ("", "")
        return self._HINTS.get(kind.rpartition(".")[2].lower(), self._HINT)


class AlreadyExists(StatusError):
    """A key was used before for other work, or a schedule's id for another definition."""

    _HINT = "Submit other work under a key of its own."
    _HINTS: ClassVar[Mapping[str, str]] = {
        "SCHEDULE_EXISTS": "Change it with update_schedule(), or choose another id.",
    }

    @property
    def hint(self) -> str:
        """What to do, by the reason."""
        return self._HINTS.get(self.reason, self._HINT)


class FailedPrecondition(StatusError):
    """The request is sound, but not in the present state of things: see reason and metadata."""

    _HINTS: ClassVar[Mapping[str, str]] = {
        "UNKNOWN_JOB_TYPE": "Start a worker that handles it, or submit with allow_unregistered.",
    }

    @property
    def hint(self) -> str:
        """What to do, by the reason."""
        return self._HINTS.get(self.reason, self._HINT)


class PermissionDenied(StatusError):
    """The caller may not do this."""

    _HINT = "Ask whoever runs the gateway for the right to do it."


class Unauthenticated(StatusError):
    """The gateway does not know who calls."""

    _HINT = "Give the client valid credentials."


class ResourceExhausted(StatusError):
    """A limit is reached: of the gateway, of storage, or of the size of a message."""

    _HINT = "Try again later, or send less at once."


class Unavailable(StatusError):
    """No gateway can be reached, or none that can serve now, although it was tried repeatedly."""


class DeadlineExceeded(StatusError, TimeoutError):
    """No answer came in time. Whether the call took effect is not known; repeating it is safe."""

    _HINT = "Repeat the call (a submit with the same request_id), or give it more time."


class Unimplemented(StatusError):
    """The gateway does not know the method."""

    _HINT = "The gateway is older than this client, or the address is of another service."


class Internal(StatusError):
    """A fault of the gateway, or an answer that this client cannot make sense of."""

    _HINT = "The gateway's log says more."


class JobUnsuccessful(PenstockError):
    """The result of a job was asked for that ended without one.

    Attributes:
        job: as it ended.
    """

    def __init__(self, job: Job) -> None:
        super().__init__(job)
        self.job = job

    def __str__(self) -> str:
        return f"job {self.job.job_id} ({self.job.type}) is {self.job.state}{self._because()}"

    def _because(self) -> str:
        return ""


class JobFailed(JobUnsuccessful):
    """The job is a dead letter. Run it anew with retry(), once its cause is mended."""

    def _because(self) -> str:
        failure = self.job.failure
        if failure is None:
            return ""
        reason = f" ({failure.reason})" if failure.reason else ""
        return f"{reason}, attempt {self.job.attempt}: {failure.type}: {failure.message}"


class JobCancelled(JobUnsuccessful):
    """Somebody, or its own handler, cancelled the job."""

    def _because(self) -> str:
        return f": {self.job.cancel_reason}" if self.job.cancel_reason else ""


class JobExpired(JobUnsuccessful):
    """The job met its deadline first."""

    def _because(self) -> str:
        deadline = self.job.deadline
        return f": its deadline was {deadline.isoformat(timespec='seconds')}" if deadline else ""


class WaitTimeout(PenstockError, TimeoutError):
    """The job was not done in the time that was given. The job itself goes on.

    Attributes:
        job_id: of the job.
        timeout_s: the time that was given, in seconds.
        job: as last seen; None if the gateway could not be asked.
    """

    def __init__(self, job_id: str, timeout_s: float, job: Job | None) -> None:
        super().__init__(job_id, timeout_s, job)
        self.job_id = job_id
        self.timeout_s = timeout_s
        self.job = job

    def __str__(self) -> str:
        seen = f"it is {self.job.state}" if self.job else "the gateway could not be asked"
        return f"job {self.job_id} is not done after {self.timeout_s:g} s: {seen}"


class ResultMismatch(PenstockError, ValueError):
    """A result cannot be read as the type that was asked for; the text says where they differ."""
