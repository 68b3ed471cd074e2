"""How an attempt ends: the closed set of outcomes, and what leads to each.

================================== =============================================================
the handler                        the outcome
================================== =============================================================
returned a value                   Succeeded, whatever it had been told
raised Retry                       Failed(error), after the pause that it asks for
raised Cancel                      Failed(cancelled)
raised anything else               Failed(error), after the job's backoff
was handed what it does not take   Failed(final); as for a result that cannot be stored
stopped as told: cancelled         Failed(cancelled)
stopped as told: timed out         Failed(timeout), after the job's backoff
stopped as told: expired           Failed(expired)
stopped as told: draining          Released, as when the server was unreachable for too long
stopped as told: lease lost        Dropped: nothing is written
================================== =============================================================
"""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from penstock.broker import Content, Failure
from penstock.worker.codec import PayloadInvalid, ResultInvalid
from penstock.worker.signals import MAX_PAUSE_S, Cancel, Retry, Stopped, StopReason
from penstock.worker.text import cut, describe

if TYPE_CHECKING:
    from penstock.broker import Grant
    from penstock.worker.attempt import Attempt

__all__ = ["Dropped", "Failed", "HandlerFailed", "Outcome", "Released", "Succeeded", "conclude"]

MAX_MESSAGE_BYTES: Final = 4096

Kind: TypeAlias = Literal["error", "timeout", "final", "cancelled", "expired"]


@dataclass(frozen=True, slots=True)
class Succeeded:
    """The handler returned."""

    result: Content


@dataclass(frozen=True, slots=True)
class Failed:
    """The attempt has no result; kind and retry_after_ms as `Attempts.fail` takes them."""

    kind: Kind
    failure: Failure
    retry_after_ms: int = 0


@dataclass(frozen=True, slots=True)
class Released:
    """The job is handed back, at no cost of an attempt."""

    reason: str
    pause_ms: int = 0
    misrouted: bool = False


@dataclass(frozen=True, slots=True)
class Dropped:
    """The lease is lost: the job is no longer ours to write to."""


Outcome: TypeAlias = Succeeded | Failed | Released | Dropped


class HandlerFailed(Exception):  # noqa: N818 - says what happened.
    """An exception that a handler raised in a child process, as far as it can be told.

    Attributes:
        type_name: of the exception.
        message: its text.
        trace: its traceback as text.
    """

    def __init__(self, type_name: str, message: str, trace: str = "") -> None:
        super().__init__(message)
        self.type_name = type_name
        self.message = message
        self.trace = trace


def conclude(attempt: Attempt, ended: Content | BaseException) -> Outcome:
    """The outcome of an attempt: the one place that knows what a handler may return or raise.

    It does not raise, whatever it is given: without an outcome the job would wait for its lease to
    end, and count as crashed.

    Args:
        attempt: which was perhaps told to stop.
        ended: the result, or what came out of the handler instead of one.
    """
    grant = attempt.grant
    outcome: Outcome
    match ended:
        case _ if attempt.stop_reason is StopReason.LEASE_LOST:
            outcome = Dropped()
        case Content():
            outcome = Succeeded(ended)
        case Stopped() | asyncio.CancelledError() if attempt.stop_reason is not None:
            outcome = _stopped(grant, attempt.stop_reason)
        # The bounds are asked here too: a subclass may have set its own pause.
        case Retry(after_s=float() as after_s) if 0 <= after_s <= MAX_PAUSE_S:
            outcome = Failed("error", _failure("Retry", ended), round(after_s * 1000))
        case Cancel(reason=reason):
            outcome = Failed("cancelled", _failure("Cancel", reason))
        case PayloadInvalid() | ResultInvalid():
            outcome = Failed("final", _failure(type(ended).__name__, ended))
        case HandlerFailed(type_name=type_name):
            outcome = Failed("error", _failure(type_name, ended), _backoff_ms(grant))
        case _:
            failure = _failure(type(ended).__name__, ended)
            outcome = Failed("error", failure, _backoff_ms(grant))
    return outcome


def _stopped(grant: Grant, reason: StopReason) -> Outcome:
    match reason:
        case StopReason.CANCELLED:
            return Failed("cancelled", _failure("Cancelled", "stopped on request"))
        case StopReason.TIMED_OUT:
            failure = _failure("TimedOut", "the attempt ran longer than its timeout")
            return Failed("timeout", failure, _backoff_ms(grant))
        case StopReason.EXPIRED:
            return Failed("expired", _failure("Expired", "the deadline passed during the attempt"))
        case StopReason.DRAINING:
            return Released("the worker is draining")
        case StopReason.UNREACHABLE:
            # Fenced as every write: it counts only if nobody has taken the job back meanwhile.
            return Released("its worker could not renew the lease")
        case StopReason.LEASE_LOST:
            return Dropped()


def _backoff_ms(grant: Grant) -> int:
    spread = random.uniform(-1, 1)  # noqa: S311 - spreads load, guards no secret.
    return grant.backoff.delay_ms(grant.failures + 1, spread)


def _failure(type_name: str, said: object) -> Failure:
    return Failure(type_name, cut(describe(said), MAX_MESSAGE_BYTES))
