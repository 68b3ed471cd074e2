"""What went wrong, as clients are told: the one table from errors to statuses.

Every status carries google.rpc details. Texts of the broker's domain errors are written for
callers; all other texts may name hosts, keys or arguments, so they are logged and replaced.
Longer than other files, because the table is one.
"""

from __future__ import annotations

import math
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import grpc
import structlog
from google.protobuf import any_pb2
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import DecodeError
from google.rpc import code_pb2, error_details_pb2, status_pb2
from grpc_status import rpc_status

from penstock.broker import (
    AlreadyExists,
    CursorOutOfRange,
    FailedPrecondition,
    InvalidArgument,
    LimitExceeded,
    NotFound,
    NotReplicated,
    Overloaded,
    QueueFull,
    ScheduleExists,
    ServerRefused,
    StaleToken,
    StorageFull,
    Unavailable,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from google.protobuf.message import Message

__all__ = ["DeadlineSpent", "Fault", "Shed", "SlowReader", "Stopping", "fault_of"]

DOMAIN: Final = "penstock"
#: Details travel in a trailer, whose size clients bound (8 KiB by default, base64 included).
MAX_DETAILS_BYTES: Final = 4_096
MAX_TEXT: Final = 256
MAX_MESSAGE: Final = 512
PUSHBACK_KEY: Final = "grpc-retry-pushback-ms"
#: When to come back where the error itself does not say (s).
RETRY_AFTER_S: Final = 1.0

_log = structlog.get_logger(__name__)


class Shed(Exception):  # noqa: N818 - it says what happened, as the broker's errors do.
    """A limit of this gateway is reached; nothing was done."""


class DeadlineSpent(Exception):  # noqa: N818 - likewise.
    """The caller's deadline leaves no time to do anything; nothing was done."""


class SlowReader(Exception):  # noqa: N818 - likewise.
    """A stream's reader stalled for so long that not even the end of the stream could be written.

    Attributes:
        cursor: the last sequence written.
    """

    def __init__(self, cursor: int) -> None:
        super().__init__(f"the reader stalled; go on from sequence {cursor}")
        self.cursor = cursor


class Stopping(Exception):  # noqa: N818 - likewise.
    """This gateway goes down; the call was not begun, or cut off at the end of the grace."""


@dataclass(frozen=True, slots=True)
class Fault:
    """A status: what a call, or one item of a batch, is answered with instead of success.

    Attributes:
        code: of gRPC.
        message: for developers.
        details: google.rpc messages, at most `MAX_DETAILS_BYTES` in all.
        pushback_ms: asks gRPC's own retries to wait for so long; None leaves it to them.
    """

    code: grpc.StatusCode
    message: str
    details: tuple[Message, ...] = ()
    pushback_ms: int | None = None

    @property
    def number(self) -> int:
        """The code as a google.rpc.Code."""
        return int(code_pb2.Code.Value(self.code.name))

    def packed(self) -> list[any_pb2.Any]:
        """The details, each as an Any; those that would make them too large are left out."""
        packed: list[any_pb2.Any] = []
        size = 0
        for detail in self.details:
            boxed = any_pb2.Any()
            boxed.Pack(detail)
            size += boxed.ByteSize()
            if size > MAX_DETAILS_BYTES:
                break
            packed.append(boxed)
        return packed

    def trailers(self) -> tuple[tuple[str, str | bytes], ...]:
        """The trailing metadata that carries the details."""
        status = status_pb2.Status(code=self.number, message=self.message, details=self.packed())
        trailers: tuple[tuple[str, str | bytes], ...] = rpc_status.to_status(
            status
        ).trailing_metadata
        if self.pushback_ms is not None:
            trailers += ((PUSHBACK_KEY, str(self.pushback_ms)),)
        return trailers


def fault_of(error: Exception) -> Fault:
    """The fault of an error. One that is not in the table is INTERNAL, logged under an id."""
    for kind in type(error).__mro__:
        build = _TABLE.get(kind)
        if build is not None:
            return build(error)
    incident = secrets.token_hex(8)
    _log.error("internal error", incident=incident, exc_info=error)
    return Fault(
        grpc.StatusCode.INTERNAL,
        f"internal error; the gateway's log tells more under {incident}",
        (_info("INTERNAL", {"incident": incident}),),
    )


# The rows of the table, in the order of the codes.


def _invalid_argument(error: InvalidArgument) -> Fault:
    return Fault(
        grpc.StatusCode.INVALID_ARGUMENT,
        _cut(str(error), MAX_MESSAGE),
        (_bad_request(error.violations), _info(error.reason)),
    )


def _unreadable(_: DecodeError) -> Fault:
    message = "the request is not a message of the method's type"
    return _invalid_argument(InvalidArgument([("", message)]))


def _deadline_spent(_: DeadlineSpent) -> Fault:
    return Fault(
        grpc.StatusCode.DEADLINE_EXCEEDED,
        "the deadline left no time to begin; nothing was done",
        (_info("DEADLINE_SPENT"),),
    )


def _not_found(error: NotFound) -> Fault:
    resource = error_details_pb2.ResourceInfo(
        resource_type=f"{DOMAIN}.v1.{error.kind.capitalize()}",
        resource_name=_cut(error.name),
        description=_cut(str(error)),
    )
    return Fault(
        grpc.StatusCode.NOT_FOUND, _cut(str(error), MAX_MESSAGE), (resource, _info(error.reason))
    )


def _already_exists(error: AlreadyExists) -> Fault:
    resource = error_details_pb2.ResourceInfo(
        resource_type=f"{DOMAIN}.v1.Job", resource_name=error.job_id, description=str(error)
    )
    info = _info(error.reason, {"job_id": error.job_id})
    return Fault(grpc.StatusCode.ALREADY_EXISTS, str(error), (resource, info))


def _schedule_exists(error: ScheduleExists) -> Fault:
    resource = error_details_pb2.ResourceInfo(
        resource_type=f"{DOMAIN}.v1.Schedule",
        resource_name=_cut(error.schedule_id),
        description=_cut(str(error)),
    )
    return Fault(grpc.StatusCode.ALREADY_EXISTS, str(error), (resource, _info(error.reason)))


def _resource_exhausted(
    reason: str,
    message: str,
    retry_after_s: float,
    metadata: Mapping[str, str] | None = None,
    *further: Message,
) -> Fault:
    return Fault(
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        message,
        (_retry_info(retry_after_s), _info(reason, metadata), *further),
        pushback_ms=math.ceil(retry_after_s * 1000),
    )


def _shed(error: Shed) -> Fault:
    return _resource_exhausted("GATEWAY_LIMIT", str(error), RETRY_AFTER_S)


def _overloaded(error: Overloaded) -> Fault:
    message = "this gateway has too many calls in flight; nothing was done"
    return _resource_exhausted("OVERLOADED", message, error.retry_after_s)


def _queue_full(error: QueueFull) -> Fault:
    facts = {"queue": error.queue, "depth": str(error.depth), "limit": str(error.limit)}
    violation = error_details_pb2.QuotaFailure.Violation(
        subject=f"queue:{error.queue}", description=_cut(str(error))
    )
    quota = error_details_pb2.QuotaFailure(violations=[violation])
    return _resource_exhausted("QUEUE_FULL", str(error), error.retry_after_s, facts, quota)


def _storage_full(_: StorageFull) -> Fault:
    message = "the storage takes no writes now; nothing was done"
    return _resource_exhausted("STORAGE_FULL", message, RETRY_AFTER_S)


def _limit_exceeded(error: LimitExceeded) -> Fault:
    # Waiting does not help, so there is no RetryInfo and clients do not repeat it.
    return Fault(
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        _cut(str(error), MAX_MESSAGE),
        (_info(error.reason),),
        pushback_ms=-1,
    )


def _failed_precondition(error: FailedPrecondition) -> Fault:
    violation = error_details_pb2.PreconditionFailure.Violation(
        type=error.reason, description=_cut(str(error))
    )
    return Fault(
        grpc.StatusCode.FAILED_PRECONDITION,
        _cut(str(error), MAX_MESSAGE),
        (
            error_details_pb2.PreconditionFailure(violations=[violation]),
            _info(error.reason, error.metadata),
        ),
    )


def _stale_token(error: StaleToken) -> Fault:
    return Fault(grpc.StatusCode.ABORTED, str(error), (_info(error.reason),))


def _cursor_out_of_range(error: CursorOutOfRange) -> Fault:
    info = _info(error.reason, {"last_sequence": str(error.last_sequence)})
    return Fault(
        grpc.StatusCode.OUT_OF_RANGE,
        str(error),
        (_bad_request([("after_sequence", str(error))]), info),
    )


def _unavailable(error: Unavailable) -> Fault:
    # No pushback: for UNAVAILABLE, the client's own policy (exponential, with jitter) is better.
    return Fault(
        grpc.StatusCode.UNAVAILABLE,
        "the storage behind this gateway cannot be reached now",
        (_retry_info(error.retry_after_s), _info("STORAGE_UNAVAILABLE")),
    )


def _storage_refused(error: ServerRefused) -> Fault:
    # Repeated as any UNAVAILABLE: another gateway may reach another server, and this one may be
    # mended at any time. What to change is for operators: health tells them, and the log.
    return Fault(
        grpc.StatusCode.UNAVAILABLE,
        "the gateway refuses the storage behind it, until somebody changes how that is set up",
        (_retry_info(error.retry_after_s), _info("STORAGE_REFUSED")),
    )


def _not_replicated(error: NotReplicated) -> Fault:
    # Whether it survives is not known, as with a reply that was lost.
    return Fault(
        grpc.StatusCode.UNAVAILABLE,
        str(error),
        (_retry_info(error.retry_after_s), _info("NOT_REPLICATED")),
    )


def _slow_reader(error: SlowReader) -> Fault:
    info = _info("SLOW_READER", {"cursor": str(error.cursor)})
    return Fault(grpc.StatusCode.UNAVAILABLE, str(error), (_retry_info(RETRY_AFTER_S), info))


def _stopping(_: Stopping) -> Fault:
    message = "this gateway is stopping; repeat the call, with the same request id"
    return Fault(
        grpc.StatusCode.UNAVAILABLE,
        message,
        (_retry_info(RETRY_AFTER_S), _info("GATEWAY_STOPPING")),
    )


_TABLE: Final[Mapping[type, Callable[[Any], Fault]]] = {
    InvalidArgument: _invalid_argument,
    DecodeError: _unreadable,
    DeadlineSpent: _deadline_spent,
    NotFound: _not_found,
    AlreadyExists: _already_exists,
    ScheduleExists: _schedule_exists,
    Shed: _shed,
    Overloaded: _overloaded,
    QueueFull: _queue_full,
    StorageFull: _storage_full,
    LimitExceeded: _limit_exceeded,
    FailedPrecondition: _failed_precondition,
    StaleToken: _stale_token,
    CursorOutOfRange: _cursor_out_of_range,
    Unavailable: _unavailable,
    ServerRefused: _storage_refused,
    NotReplicated: _not_replicated,
    SlowReader: _slow_reader,
    Stopping: _stopping,
}


# Parts of details.


def _info(reason: str, metadata: Mapping[str, str] | None = None) -> error_details_pb2.ErrorInfo:
    known = {key: _cut(value, 4 * MAX_TEXT) for key, value in (metadata or {}).items()}
    return error_details_pb2.ErrorInfo(reason=reason, domain=DOMAIN, metadata=known)


def _retry_info(after_s: float) -> error_details_pb2.RetryInfo:
    delay = Duration()
    delay.FromNanoseconds(round(after_s * 1e9))
    return error_details_pb2.RetryInfo(retry_delay=delay)


def _bad_request(violations: Sequence[tuple[str, str]]) -> error_details_pb2.BadRequest:
    """One violation per error, as many as fit; the last one then tells how many do not."""
    request = error_details_pb2.BadRequest()
    size = 0
    for index, (path, text) in enumerate(violations):
        violation = error_details_pb2.BadRequest.FieldViolation(
            field=_cut(path), description=_cut(text)
        )
        size += violation.ByteSize() + 4
        if size > MAX_DETAILS_BYTES // 2:
            left = len(violations) - index
            request.field_violations.add(description=f"and {left} more")
            break
        request.field_violations.append(violation)
    return request


def _cut(text: str, limit: int = MAX_TEXT) -> str:
    return text if len(text) <= limit else text[: limit - 3] + "..."
