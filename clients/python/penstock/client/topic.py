"""What a gateway tells about topics, as plain data. Times are aware datetimes in UTC."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from penstock.client.job import SubmitOutcome

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime, timedelta

    from penstock.client.job import Priority, Submitted
    from penstock.client.new_job import Backoff


@dataclass(frozen=True, slots=True)
class PublishedJob:
    """A subscription's job for a message.

    Attributes:
        subscription: by name; it is the type of the job.
        queue: where the job waits.
        submitted: its receipt.
    """

    subscription: str
    queue: str
    submitted: Submitted

    @property
    def job_id(self) -> str:
        """Of the job."""
        return self.submitted.job_id

    @property
    def repeated(self) -> bool:
        """Whether the subscription had the message already."""
        return self.submitted.outcome is SubmitOutcome.REPEATED


@dataclass(frozen=True, slots=True)
class Published:
    """Receipt of a publish: every subscription that wanted the message has its job.

    Attributes:
        message_id: under which the publish may be repeated.
        topic: of the message.
        jobs: by subscription; none if nobody wanted it.
    """

    message_id: str
    topic: str
    jobs: tuple[PublishedJob, ...]


@dataclass(frozen=True, slots=True)
class Subscription:
    """Wants the messages of some topics, as jobs of the type that it is named by.

    Attributes:
        name: of the subscription.
        pattern: of the topics.
        queue: of its jobs; '' leaves it to the topic's rule.
        priority: of its jobs; None leaves it to the rule.
        attempts: failed attempts after which a job is a dead letter; None leaves it to the rule.
        create_time: when it was made.
    """

    name: str
    pattern: str
    queue: str = ""
    priority: Priority | None = None
    attempts: int | None = None
    create_time: datetime | None = None


@dataclass(frozen=True, slots=True)
class TopicRule:
    """What holds for the messages of some topics, whoever wants them.

    Attributes:
        pattern: of the topics. Of several rules that match, the most specific one holds.
        queue: of jobs whose subscription names none; '' is ``default``.
        priority: where neither message nor subscription says.
        attempts: where neither message nor subscription says.
        backoff: between failed attempts.
        retention: of the jobs after their end.
        schema: JSON schema of the messages; None takes anything.
        create_time: when it was made.
    """

    pattern: str
    queue: str = ""
    priority: Priority | None = None
    attempts: int | None = None
    backoff: Backoff | None = None
    retention: timedelta | None = None
    schema: Mapping[str, Any] | None = None
    create_time: datetime | None = None
