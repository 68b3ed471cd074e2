"""The one table from errors to statuses."""

from __future__ import annotations

from typing import Final

import grpc
import pytest
from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2, status_pb2

from penstock.broker import (
    AlreadyExists,
    ConnectionLost,
    CursorOutOfRange,
    FailedPrecondition,
    InvalidArgument,
    JobState,
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
from penstock.broker import (
    errors as broker_errors,
)
from penstock.server.errors import (
    MAX_DETAILS_BYTES,
    DeadlineSpent,
    Fault,
    Shed,
    SlowReader,
    Stopping,
    fault_of,
)
from tests.server.rig import unpacked

Code = grpc.StatusCode
SECRET: Final = "redis://:hunter2@db.internal:6379"

TABLE: Final[list[tuple[Exception, grpc.StatusCode, str, set[str]]]] = [
    (InvalidArgument([("a", "b")]), Code.INVALID_ARGUMENT, "INVALID_ARGUMENT", {"BadRequest"}),
    (DecodeError(SECRET), Code.INVALID_ARGUMENT, "INVALID_ARGUMENT", {"BadRequest"}),
    (DeadlineSpent(), Code.DEADLINE_EXCEEDED, "DEADLINE_SPENT", set()),
    (NotFound("job", "x"), Code.NOT_FOUND, "JOB_NOT_FOUND", {"ResourceInfo"}),
    (NotFound("queue", "x"), Code.NOT_FOUND, "QUEUE_NOT_FOUND", {"ResourceInfo"}),
    (AlreadyExists("x"), Code.ALREADY_EXISTS, "KEY_REUSED", {"ResourceInfo"}),
    (MessageReused("x"), Code.ALREADY_EXISTS, "MESSAGE_ID_REUSED", {"ResourceInfo"}),
    (ScheduleExists("x"), Code.ALREADY_EXISTS, "SCHEDULE_EXISTS", {"ResourceInfo"}),
    (Shed("full"), Code.RESOURCE_EXHAUSTED, "GATEWAY_LIMIT", {"RetryInfo"}),
    (Overloaded(SECRET), Code.RESOURCE_EXHAUSTED, "OVERLOADED", {"RetryInfo"}),
    (StorageFull("OOM", SECRET), Code.RESOURCE_EXHAUSTED, "STORAGE_FULL", {"RetryInfo"}),
    (LimitExceeded("too many"), Code.RESOURCE_EXHAUSTED, "LIMIT_EXCEEDED", set()),
    (
        FailedPrecondition("JOB_NOT_RETRYABLE", "no", {"state": "QUEUED"}),
        Code.FAILED_PRECONDITION,
        "JOB_NOT_RETRYABLE",
        {"PreconditionFailure"},
    ),
    (StaleToken("x", JobState.QUEUED), Code.ABORTED, "STALE_TOKEN", set()),
    (CursorOutOfRange(7), Code.OUT_OF_RANGE, "CURSOR_OUT_OF_RANGE", {"BadRequest"}),
    (Unavailable(SECRET), Code.UNAVAILABLE, "STORAGE_UNAVAILABLE", {"RetryInfo"}),
    (
        QueueFull("q", 7, 5),
        Code.RESOURCE_EXHAUSTED,
        "QUEUE_FULL",
        {"RetryInfo", "QuotaFailure"},
    ),
    (NotReplicated(1, 2.0), Code.UNAVAILABLE, "NOT_REPLICATED", {"RetryInfo"}),
    (ServerRefused(SECRET, SECRET), Code.UNAVAILABLE, "STORAGE_REFUSED", {"RetryInfo"}),
    (
        ConnectionLost(SECRET, maybe_executed=True),
        Code.UNAVAILABLE,
        "STORAGE_UNAVAILABLE",
        {"RetryInfo"},
    ),
    (
        broker_errors.reply_error(f"LOADING {SECRET}"),
        Code.UNAVAILABLE,
        "STORAGE_UNAVAILABLE",
        {"RetryInfo"},
    ),
    (SlowReader(5), Code.UNAVAILABLE, "SLOW_READER", {"RetryInfo"}),
    (Stopping(), Code.UNAVAILABLE, "GATEWAY_STOPPING", {"RetryInfo"}),
    # Faults of ours, or of the operator.
    (ReplyError("WRONGTYPE", SECRET), Code.INTERNAL, "INTERNAL", set()),
    (UnsafeServer(SECRET), Code.INTERNAL, "INTERNAL", set()),
    (PenstockError(SECRET), Code.INTERNAL, "INTERNAL", set()),
    (KeyError(SECRET), Code.INTERNAL, "INTERNAL", set()),
]


@pytest.mark.parametrize(
    ("error", "code", "reason", "details"), TABLE, ids=[repr(row[0])[:40] for row in TABLE]
)
def test_each_error_has_its_status(
    error: Exception, code: grpc.StatusCode, reason: str, details: set[str]
) -> None:
    fault = fault_of(error)
    assert fault.code is code
    found = unpacked(fault.packed())
    assert set(found) == details | {"ErrorInfo"}
    info = found["ErrorInfo"]
    assert isinstance(info, error_details_pb2.ErrorInfo)
    assert info.reason == reason
    assert info.domain == "penstock"
    assert "hunter2" not in fault.message + str(fault.trailers())


def test_every_error_of_the_broker_is_in_the_table() -> None:
    def leaves(kind: type[Exception]) -> set[type[Exception]]:
        below = [leaves(child) for child in kind.__subclasses__()]
        return set().union({kind}, *below)

    of_the_broker = {
        kind
        for kind in leaves(PenstockError)
        if kind.__module__ == "penstock.broker.errors" and kind.__name__ != "DomainError"
    }
    assert of_the_broker - {type(error) for error, *_ in TABLE} == set()


def test_an_internal_error_is_logged_under_the_id_that_the_client_gets(
    capsys: pytest.CaptureFixture[str],
) -> None:
    fault = fault_of(ZeroDivisionError("1/0"))
    info = unpacked(fault.packed())["ErrorInfo"]
    assert isinstance(info, error_details_pb2.ErrorInfo)
    incident = info.metadata["incident"]
    assert incident in fault.message
    logged = "".join(capsys.readouterr())
    assert incident in logged
    assert "ZeroDivisionError" in logged


def test_a_limit_says_when_to_come_back() -> None:
    trailers = dict(fault_of(Overloaded("", retry_after_s=1.5)).trailers())
    assert trailers["grpc-retry-pushback-ms"] == "1500"
    # One that no waiting helps against asks not to be tried again.
    assert dict(fault_of(LimitExceeded("")).trailers())["grpc-retry-pushback-ms"] == "-1"


@pytest.mark.parametrize(
    "error",
    [
        InvalidArgument([(f"jobs[{i}].options.delay" * 20, "bad " * 100) for i in range(1_000)]),
        FailedPrecondition("UNKNOWN_JOB_TYPE", "x" * 10_000, {"known_types": "y" * 100_000}),
        NotFound("queue", "z" * 100_000),
    ],
    ids=["violations", "metadata", "name"],
)
def test_details_stay_small(error: Exception) -> None:
    fault = fault_of(error)
    [(_, status)] = fault.trailers()
    assert isinstance(status, bytes)
    assert len(status) <= MAX_DETAILS_BYTES + 512
    assert status_pb2.Status.FromString(status).message == fault.message
    assert len(fault.message) <= 512


def test_violations_that_do_not_fit_are_counted() -> None:
    fault = fault_of(InvalidArgument([("path", "text " * 40)] * 100))
    request = unpacked(fault.packed())["BadRequest"]
    assert isinstance(request, error_details_pb2.BadRequest)
    *told, last = request.field_violations
    assert last.description == f"and {100 - len(told)} more"


def test_the_code_is_that_of_google_rpc() -> None:
    assert Fault(Code.UNAVAILABLE, "").number == 14
