"""The client's enums and the contract's, whose names begin with the name of the enum."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeVar

from penstock.client.errors import Internal, Status
from penstock.client.job import (
    Durability,
    FailureReason,
    HoldReason,
    JobState,
    Priority,
    SubmitOutcome,
)
from penstock.client.policy import PolicySource
from penstock.client.schedule import CatchUp, Overlap
from penstock.v1 import job_pb2, job_service_pb2, queue_service_pb2, schedule_service_pb2

if TYPE_CHECKING:
    from enum import StrEnum

    from google.protobuf.internal.enum_type_wrapper import EnumTypeWrapper

Name = TypeVar("Name", bound="StrEnum")

_WRAPPERS: Final[dict[type[StrEnum], tuple[EnumTypeWrapper, str]]] = {
    CatchUp: (schedule_service_pb2.CatchUp.Policy, "POLICY_"),
    Durability: (job_pb2.Durability, "DURABILITY_"),
    FailureReason: (job_pb2.FailureReason, "FAILURE_REASON_"),
    HoldReason: (job_pb2.HoldReason, "HOLD_REASON_"),
    JobState: (job_pb2.JobState, "JOB_STATE_"),
    Overlap: (schedule_service_pb2.OverlapPolicy, "OVERLAP_POLICY_"),
    PolicySource: (queue_service_pb2.PolicySource, "POLICY_SOURCE_"),
    Priority: (job_pb2.Priority, "PRIORITY_"),
    SubmitOutcome: (job_service_pb2.SubmitOutcome, "SUBMIT_OUTCOME_"),
}
_NAMES: Final[dict[type[StrEnum], dict[int, StrEnum]]] = {
    enum: {wrapper.Value(prefix + name): name for name in enum}
    for enum, (wrapper, prefix) in _WRAPPERS.items()
}


def wire_name(name: StrEnum) -> str:
    """The contract's name of a name, which a message takes for its number."""
    return _WRAPPERS[type(name)][1] + name


def name_of(enum: type[Name], number: int) -> Name | None:
    """The name of a number; None for 0, which says that there is none.

    Raises:
        Internal: the gateway knows names that this client does not.
    """
    if number == 0:
        return None
    name = _NAMES[enum].get(number)
    if not isinstance(name, enum):
        text = f"the gateway sent {enum.__name__} {number}, which this client is too old to know"
        raise Internal(Status("INTERNAL", text))
    return name


def given_name_of(enum: type[Name], number: int) -> Name:
    """As `name_of`, where there must be one."""
    name = name_of(enum, number)
    if name is None:
        raise Internal(Status("INTERNAL", f"the gateway sent no {enum.__name__}"))
    return name
