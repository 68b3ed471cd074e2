"""Every status becomes one error of the tree, with its details and what to do next."""

from __future__ import annotations

import pickle
from typing import TYPE_CHECKING, Any, cast

import grpc
import pytest
from google.protobuf import any_pb2
from google.rpc import code_pb2, error_details_pb2

from penstock.client import (
    AlreadyExists,
    CursorOutOfRange,
    DeadlineExceeded,
    FailedPrecondition,
    Internal,
    InvalidRequest,
    NotFound,
    PenstockError,
    PermissionDenied,
    ResourceExhausted,
    Status,
    StatusError,
    Unauthenticated,
    Unavailable,
    Unimplemented,
    Violation,
    WaitTimeout,
)
from penstock.client.status import error_of, item_error_of
from penstock.v1 import job_service_pb2
from tests.client.scripted import retry_info, trailers

if TYPE_CHECKING:
    from google.protobuf.message import Message

CLASSES = {
    "INVALID_ARGUMENT": InvalidRequest,
    "NOT_FOUND": NotFound,
    "ALREADY_EXISTS": AlreadyExists,
    "FAILED_PRECONDITION": FailedPrecondition,
    "OUT_OF_RANGE": CursorOutOfRange,
    "PERMISSION_DENIED": PermissionDenied,
    "UNAUTHENTICATED": Unauthenticated,
    "RESOURCE_EXHAUSTED": ResourceExhausted,
    "UNAVAILABLE": Unavailable,
    "CANCELLED": Unavailable,
    "DEADLINE_EXCEEDED": DeadlineExceeded,
    "UNIMPLEMENTED": Unimplemented,
}


def raised(code: grpc.StatusCode, *details: Message, text: str = "why.") -> StatusError:
    metadata = cast("Any", grpc.aio.Metadata)(*(trailers(code, text, *details) if details else ()))
    error = grpc.aio.AioRpcError(code, grpc.aio.Metadata(), metadata, text)
    return error_of(error, "host:1")


@pytest.mark.parametrize("code", [code for code in grpc.StatusCode if code.name != "OK"])
def test_each_code_has_its_class(code: grpc.StatusCode) -> None:
    error = raised(code)
    assert type(error) is CLASSES.get(code.name, Internal)
    assert error.code == code.name
    assert isinstance(error, PenstockError)
    assert "why" in str(error)
    item = job_service_pb2.SubmitError(code=code.value[0], message="why")
    assert type(item_error_of(item)) is type(error)


def test_the_details_are_read() -> None:
    violation = error_details_pb2.BadRequest.FieldViolation(field="job.queue", description="bad")
    error = raised(
        grpc.StatusCode.INVALID_ARGUMENT,
        error_details_pb2.BadRequest(field_violations=[violation]),
        error_details_pb2.ErrorInfo(reason="BECAUSE", metadata={"a": "b"}),
        error_details_pb2.ResourceInfo(resource_type="job", resource_name="x"),
        retry_info(1.5),
        error_details_pb2.DebugInfo(detail="of no interest"),
    )
    assert isinstance(error, InvalidRequest)
    assert error.violations == (Violation("job.queue", "bad"),)
    assert str(error) == "the request was refused: job.queue: bad"
    assert (error.reason, error.metadata, error.retry_after_s) == ("BECAUSE", {"a": "b"}, 1.5)
    assert error.status.resource == ("job", "x")


@pytest.mark.parametrize(
    ("kind", "hint"),
    [
        ("penstock.v1.Job", "retention"),
        ("penstock.v1.Queue", "first job or worker"),
        ("penstock.v1.Schedule", "lists them"),
        ("penstock.v1.Worker", "the name and the gateway's address"),
        ("", "the name and the gateway's address"),
    ],
)
def test_what_is_not_found_has_a_hint_that_fits_it(kind: str, hint: str) -> None:
    resource = error_details_pb2.ResourceInfo(resource_type=kind, resource_name="x")
    error = raised(grpc.StatusCode.NOT_FOUND, resource)
    assert hint in str(error)
    assert ("retention" in str(error)) == (kind == "penstock.v1.Job")


def test_a_precondition_has_a_hint_where_there_is_something_to_do() -> None:
    unknown = error_details_pb2.ErrorInfo(reason="UNKNOWN_JOB_TYPE")
    assert "allow_unregistered" in str(raised(grpc.StatusCode.FAILED_PRECONDITION, unknown))
    assert str(raised(grpc.StatusCode.FAILED_PRECONDITION)) == "why."


def test_the_details_of_an_item_are_read() -> None:
    boxed = any_pb2.Any()
    boxed.Pack(retry_info(2))
    error = item_error_of(
        job_service_pb2.SubmitError(
            code=code_pb2.UNAVAILABLE, message="the server is away", details=[boxed]
        )
    )
    assert isinstance(error, Unavailable)
    assert error.retry_after_s == 2
    assert str(error) == "the server is away"


def test_details_that_make_no_sense_are_left_out() -> None:
    metadata = grpc.aio.Metadata(("grpc-status-details-bin", b"\xff\xff"))
    error = error_of(
        grpc.aio.AioRpcError(grpc.StatusCode.NOT_FOUND, grpc.aio.Metadata(), metadata, "gone"), "a"
    )
    assert error.status == Status("NOT_FOUND", "gone")


def test_an_error_of_a_gateway_newer_than_this_client() -> None:
    assert isinstance(item_error_of(job_service_pb2.SubmitError(code=999)), Internal)


def test_errors_cross_processes() -> None:
    for error in (
        NotFound(Status("NOT_FOUND", "gone", metadata={"a": "b"})),
        WaitTimeout("job", 1.0, None),
    ):
        again = pickle.loads(pickle.dumps(error))  # noqa: S301 - our own bytes.
        assert type(again) is type(error)
        assert str(again) == str(error)
