"""The options of ``penstock schedule create`` about the job that recurs."""

from typing import TYPE_CHECKING

from penstock.cli.attempt_options import BackoffOptions, MaxAttempts
from penstock.cli.groups import Options
from penstock.cli.payloads import JSON_TYPE, payload_of
from penstock.cli.submit_options import (
    AllowUnregistered,
    AttemptTimeout,
    ContentType,
    ExpiresIn,
    Metadata,
    PayloadText,
    PriorityOption,
    QueueName,
    Retention,
    pairs,
)

if TYPE_CHECKING:
    from penstock.client import NewJob

__all__ = ["RecurringJob"]


class RecurringJob(Options):
    """All but its type."""

    payload: PayloadText = None
    content_type: ContentType = JSON_TYPE
    queue: QueueName = "default"
    priority: PriorityOption = None
    expires_in: ExpiresIn = None
    attempt_timeout: AttemptTimeout = None
    max_attempts: MaxAttempts = None
    backoff: BackoffOptions
    metadata: Metadata = None
    retention: Retention = None
    allow_unregistered: AllowUnregistered = False

    def of_type(self, job_type: str) -> "NewJob":
        """Return the job as the client takes it.

        Raises:
            CommandError: The payload cannot be read, or what is to be metadata is none.
        """
        from penstock.client import NewJob

        return NewJob(
            job_type,
            payload_of(self.payload, self.content_type),
            content_type=self.content_type,
            queue=self.queue,
            priority=self.priority.value if self.priority else None,
            expires_in=self.expires_in,
            timeout=self.attempt_timeout,
            max_attempts=self.max_attempts,
            backoff=self.backoff.chosen,
            metadata=pairs(self.metadata or []),
            retention=self.retention,
            allow_unregistered=self.allow_unregistered,
        )
