"""Policies: what holds for the jobs of a queue, or of one type in it, as plain data."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from types import NoneType
from typing import TYPE_CHECKING

from penstock.client.errors import InvalidRequest, Status, Violation
from penstock.client.job import Priority
from penstock.client.new_job import Backoff
from penstock.client.spans import is_length

if TYPE_CHECKING:
    from penstock.client.spans import Span


class PolicySource(StrEnum):
    """Who put a policy down: somebody over the network, or the policy file of the gateways."""

    SET = "SET"
    FILE = "FILE"


@dataclass(frozen=True, slots=True)
class Keep:
    """How ended jobs are kept. None is not set.

    Attributes:
        age: for how long after their end, up to 366 days. Less than 10 s counts as 10 s.
        count: how many at most, the newest, 0 to 1,000,000; in each of the states. It is looked
            after every 10 s or so, and leaves each job its first 10 s.
    """

    age: Span | None = None
    count: int | None = None


@dataclass(frozen=True, slots=True)
class Policy:
    """What holds for jobs whose submit does not say otherwise. None is not set.

    Attributes:
        max_attempts: failed attempts after which a job is a dead letter, 1 to 100.
        backoff: pauses between attempts. It is one choice: what it leaves open is the default.
        timeout: of one attempt, up to 24 h.
        priority: within the queue.
        concurrency: how many run at once, over the whole fleet, 1 to 100,000: of all types
            together, or of the type. It is split over the partitions of the queue.
        succeeded: how jobs are kept that SUCCEEDED.
        failed: how jobs are kept that ended otherwise: FAILED, CANCELLED and EXPIRED.
        max_waiting: how many may wait in a queue, 1 to 1,000,000,000, before submits are refused;
            not for a type. It is split over the partitions, too.
    """

    max_attempts: int | None = None
    backoff: Backoff | None = None
    timeout: Span | None = None
    priority: Priority | str | None = None
    concurrency: int | None = None
    succeeded: Keep = Keep()
    failed: Keep = Keep()
    max_waiting: int | None = None

    def check(self) -> None:
        """Finds what the wire cannot express; all other rules are the gateway's.

        Raises:
            TypeError: a field is of a type that it does not take.
            InvalidRequest: with every violation.
        """
        _check_types(self)
        broken = [
            Violation(f"policy.{name}", f"{span} is no length of time")
            for name, span in _spans(self).items()
            if span is not None and not is_length(span)
        ]
        try:
            if self.priority is not None:
                Priority(self.priority)
        except ValueError:
            text = f"{self.priority!r} is none of {', '.join(Priority)}"
            broken.append(Violation("policy.priority", text))
        if broken:
            text = "; ".join(map(str, broken))
            raise InvalidRequest(Status("INVALID_ARGUMENT", text, violations=tuple(broken)))


@dataclass(frozen=True, slots=True)
class QueuePolicy:
    """A policy that was put down, and what it is for.

    Attributes:
        queue: that it is for.
        type: that it is for; '' is all types of the queue.
        policy: itself.
        source: who put it down. One that was SET covers the FILE's for the same, as a whole.
    """

    queue: str
    type: str
    policy: Policy
    source: PolicySource


@dataclass(frozen=True, slots=True)
class EffectivePolicy:
    """What holds for a queue or a type, and where it comes from.

    Attributes:
        policy: that of the type over that of the queue.
        sources: the policies that it is made of, the strongest first.
    """

    policy: Policy
    sources: tuple[QueuePolicy, ...]


def _spans(policy: Policy) -> dict[str, Span | None]:
    backoff = policy.backoff or Backoff()
    return {
        "backoff.initial": backoff.initial,
        "backoff.max": backoff.max,
        "timeout": policy.timeout,
        "succeeded.age": policy.succeeded.age,
        "failed.age": policy.failed.age,
    }


def _check_types(policy: Policy) -> None:
    whole = (int, NoneType), "a whole number"
    takes: list[tuple[str, object, tuple[type, ...], str]] = [
        ("backoff", policy.backoff, (Backoff, NoneType), "a penstock.client.Backoff"),
        ("succeeded", policy.succeeded, (Keep,), "a penstock.client.Keep"),
        ("failed", policy.failed, (Keep,), "a penstock.client.Keep"),
    ]
    _check_each(takes)
    numbers = {
        "max_attempts": policy.max_attempts,
        "concurrency": policy.concurrency,
        "max_waiting": policy.max_waiting,
        "succeeded.count": policy.succeeded.count,
        "failed.count": policy.failed.count,
    }
    _check_each([(name, value, *whole) for name, value in numbers.items()])
    span = (timedelta, int, float, NoneType), "a timedelta or a number of seconds"
    _check_each([(name, value, *span) for name, value in _spans(policy).items()])


def _check_each(takes: list[tuple[str, object, tuple[type, ...], str]]) -> None:
    for name, value, types, form in takes:
        if not isinstance(value, types):
            raise TypeError(f"{name} takes {form}, not {value!r}")
