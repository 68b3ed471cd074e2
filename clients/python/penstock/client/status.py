"""gRPC's errors, and errors of items in a batch, as the client's own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol, cast

import grpc
from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2, status_pb2

from penstock.client.errors import (
    AlreadyExists,
    CursorOutOfRange,
    DeadlineExceeded,
    FailedPrecondition,
    Internal,
    InvalidRequest,
    NotFound,
    PermissionDenied,
    ResourceExhausted,
    Status,
    StatusError,
    Unauthenticated,
    Unavailable,
    Unimplemented,
    Violation,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from google.protobuf.any_pb2 import Any as AnyMessage

    from penstock.v1 import job_service_pb2

_WHERE: Final = "Is it running there? PENSTOCK_ADDRESS or address= say where to look"
_DETAILS_KEY: Final = "grpc-status-details-bin"

#: The one table of status codes; a code that is not listed is Internal.
_CLASS_BY_CODE: Final[dict[str, type[StatusError]]] = {
    "ALREADY_EXISTS": AlreadyExists,
    # No gateway sends it: one that stops, or a proxy, gave the call up on the way.
    "CANCELLED": Unavailable,
    "DEADLINE_EXCEEDED": DeadlineExceeded,
    "FAILED_PRECONDITION": FailedPrecondition,
    "INVALID_ARGUMENT": InvalidRequest,
    "NOT_FOUND": NotFound,
    "OUT_OF_RANGE": CursorOutOfRange,
    "PERMISSION_DENIED": PermissionDenied,
    "RESOURCE_EXHAUSTED": ResourceExhausted,
    "UNAUTHENTICATED": Unauthenticated,
    "UNAVAILABLE": Unavailable,
    "UNIMPLEMENTED": Unimplemented,
}
_CODE_BY_NUMBER: Final[dict[int, str]] = {code.value[0]: code.name for code in grpc.StatusCode}


class _Ended(Protocol):
    """What gRPC's errors have in common, blocking or not; gRPC's own base class says nothing."""

    def code(self) -> grpc.StatusCode: ...
    def details(self) -> str | None: ...
    def trailing_metadata(self) -> Iterable[tuple[str, str | bytes]] | None: ...


def error_of(error: grpc.RpcError, address: str) -> StatusError:
    """The error for a call that ended with a status other than OK.

    Args:
        error: what gRPC raised.
        address: of the gateway, to say what cannot be reached.
    """
    ended = cast("_Ended", error)
    code, message = ended.code().name, ended.details() or ""
    details = _details_of(ended.trailing_metadata() or ())
    if not details:
        # It was made on this side of the wire: nobody answered.
        reason = message.rstrip(".")
        if code == "UNAVAILABLE":
            message = f"no gateway answers at {address} ({reason}). {_WHERE}"
        elif code == "CANCELLED":
            message = f"the call was given up on the way to {address} ({reason})"
        elif code == "DEADLINE_EXCEEDED":
            message = f"no answer from {address} in time ({reason})"
    return _build(code, message, details)


def item_error_of(error: job_service_pb2.SubmitError) -> StatusError:
    """The error of one item of a batch."""
    return _build(_CODE_BY_NUMBER.get(error.code, "UNKNOWN"), error.message, list(error.details))


def _build(code: str, message: str, details: list[AnyMessage]) -> StatusError:
    return _CLASS_BY_CODE.get(code, Internal)(_status_of(code, message, details))


def _details_of(metadata: Iterable[tuple[str, str | bytes]]) -> list[AnyMessage]:
    for key, value in metadata:
        if key == _DETAILS_KEY and isinstance(value, bytes):
            try:
                return list(status_pb2.Status.FromString(value).details)
            except DecodeError:  # Some proxy's; the code and message still tell enough.
                return []
    return []


def _status_of(code: str, message: str, details: list[AnyMessage]) -> Status:
    info = error_details_pb2.ErrorInfo()
    request = error_details_pb2.BadRequest()
    retry = error_details_pb2.RetryInfo()
    resource = error_details_pb2.ResourceInfo()
    found = {
        known.DESCRIPTOR.full_name
        for known in (info, request, retry, resource)
        for detail in details
        if detail.Is(known.DESCRIPTOR) and detail.Unpack(known)
    }
    return Status(
        code=code,
        message=message,
        reason=info.reason,
        metadata=dict(info.metadata),
        violations=tuple(
            Violation(each.field, each.description) for each in request.field_violations
        ),
        retry_after_s=(
            retry.retry_delay.ToTimedelta().total_seconds()
            if retry.DESCRIPTOR.full_name in found
            else None
        ),
        resource=(
            (resource.resource_type, resource.resource_name)
            if resource.DESCRIPTOR.full_name in found
            else None
        ),
    )
