"""Policies: what holds for the jobs of a queue, or of one type in it. Plain data; no Redis here."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from penstock.broker.job import Backoff, Priority

if TYPE_CHECKING:
    from collections.abc import Mapping

    from penstock.broker.new_job import NewJob

#: An ended job is kept for so long at least, whatever a policy says: others wait for it (ms).
GRACE_MS: Final = 10_000
#: Of a policy, what a submit may choose otherwise; beside how long the job is kept.
CHOICES: Final = ("max_attempts", "backoff", "timeout_ms", "priority")


@dataclass(frozen=True, slots=True)
class Keep:
    """How ended jobs are kept. None is not set.

    Attributes:
        age_ms: for how long after their end.
        count: how many at most, the newest; all types of a queue together, or of the type.
    """

    age_ms: int | None = None
    count: int | None = None

    def over(self, weaker: Keep) -> Keep:
        """This, with the age of a weaker one if it has none."""
        return replace(self, age_ms=weaker.age_ms if self.age_ms is None else self.age_ms)


@dataclass(frozen=True, slots=True)
class Policy:
    """What holds unless a submit says otherwise. None is not set.

    Attributes:
        max_attempts: failed attempts after which a job is a dead letter.
        backoff: between them.
        timeout_ms: of one attempt.
        priority: within the queue.
        concurrency: jobs RUNNING at once; all types of a queue together, or of the type.
        succeeded: how jobs are kept that succeeded.
        failed: how jobs are kept that ended otherwise.
        max_waiting: jobs that wait, beyond which submits are refused; of a queue alone.
    """

    max_attempts: int | None = None
    backoff: Backoff | None = None
    timeout_ms: int | None = None
    priority: Priority | None = None
    concurrency: int | None = None
    succeeded: Keep = Keep()
    failed: Keep = Keep()
    max_waiting: int | None = None

    def over(self, weaker: Policy) -> Policy:
        """This, with what it leaves open from a weaker one.

        What is counted (concurrency, waiting and kept jobs) is not taken over: the limits of a
        queue and of a type in it are different ones, and both hold.
        """
        open_fields = [name for name in CHOICES if getattr(self, name) is None]
        return replace(
            self,
            succeeded=self.succeeded.over(weaker.succeeded),
            failed=self.failed.over(weaker.failed),
            **{name: getattr(weaker, name) for name in open_fields},
        )

    def fill(self, job: NewJob) -> NewJob:
        """A submit, with what it leaves open from this policy."""
        chosen: dict[str, Any] = {
            name: value
            for name in CHOICES
            if getattr(job, name) is None and (value := getattr(self, name)) is not None
        }
        if job.retention_ms is None:
            failed, succeeded = self.failed.age_ms, self.succeeded.age_ms
            if failed is not None:
                chosen["retention_ms"] = max(failed, GRACE_MS)
            if succeeded is not None:
                chosen["retention_succeeded_ms"] = max(succeeded, GRACE_MS)
        return replace(job, **chosen) if chosen else job

    def to_plain(self) -> dict[str, Any]:
        """As plain data, without what is not set."""
        plain: dict[str, Any] = _without_none(asdict(self))
        return plain

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> Policy:
        """From plain data; fields that this version does not know are left out."""
        known = {field.name for field in fields(cls)}
        values = {name: value for name, value in plain.items() if name in known}
        if "backoff" in values:
            values["backoff"] = Backoff(**values["backoff"])
        if "priority" in values:
            values["priority"] = Priority(values["priority"])
        for name in ("succeeded", "failed"):
            keep = values.get(name, {})
            values[name] = Keep(**{f.name: keep[f.name] for f in fields(Keep) if f.name in keep})
        return cls(**values)


class PolicySource(StrEnum):
    """Who put a policy down."""

    SET = "set"
    FILE = "file"


class PolicyKey(NamedTuple):
    """What a policy is for; type '' is all types of the queue."""

    queue: str
    type: str = ""


@dataclass(frozen=True, slots=True)
class PolicyEntry:
    """A policy, what it is for, and who put it down."""

    key: PolicyKey
    policy: Policy
    source: PolicySource


def file_text(policies: Mapping[PolicyKey, Policy]) -> str:
    """The policies of a file, as they are stored: in one canonical form."""
    rows = [[*key, policies[key].to_plain()] for key in sorted(policies)]
    return json.dumps(rows, sort_keys=True, separators=(",", ":"))


def parse_file_text(text: bytes) -> dict[PolicyKey, Policy]:
    """The inverse of `file_text`."""
    return {
        PolicyKey(queue, type_): Policy.from_plain(row) for queue, type_, row in json.loads(text)
    }


def _without_none(value: Any) -> Any:  # noqa: ANN401 - plain data of any shape.
    if not isinstance(value, dict):
        return value
    kept = {name: _without_none(part) for name, part in value.items()}
    return {name: part for name, part in kept.items() if part is not None and part != {}}
