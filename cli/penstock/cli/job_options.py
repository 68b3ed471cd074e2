"""What ``penstock submit`` may be told of a job."""

from typing import TYPE_CHECKING

from penstock.cli.attempt_options import BackoffOptions, MaxAttempts
from penstock.cli.cache_options import CacheOptions
from penstock.cli.groups import Options
from penstock.cli.payloads import JSON_TYPE
from penstock.cli.submit_options import (
    AllowUnregistered,
    AttemptTimeout,
    ContentType,
    Deadline,
    Delay,
    ExpiresIn,
    IdempotencyKey,
    Metadata,
    PriorityOption,
    QueueName,
    RequestId,
    Retention,
    RunAt,
    pairs,
)

if TYPE_CHECKING:
    from penstock.client import SubmitOptions

__all__ = ["JobOptions"]


class JobOptions(Options):
    """All but its type and its payload."""

    queue: QueueName = "default"
    priority: PriorityOption = None
    content_type: ContentType = JSON_TYPE
    delay: Delay = None
    run_at: RunAt = None
    expires_in: ExpiresIn = None
    deadline: Deadline = None
    attempt_timeout: AttemptTimeout = None
    max_attempts: MaxAttempts = None
    backoff: BackoffOptions
    idempotency_key: IdempotencyKey = ""
    request_id: RequestId = ""
    metadata: Metadata = None
    retention: Retention = None
    cache: CacheOptions
    allow_unregistered: AllowUnregistered = False

    @property
    def chosen(self) -> "SubmitOptions":
        """As the client takes them.

        Raises:
            CommandError: They do not go together, or what is to be metadata is none.
        """
        return {
            "queue": self.queue,
            "priority": self.priority.value if self.priority else None,
            "content_type": self.content_type,
            "delay": self.delay,
            "run_at": self.run_at,
            "expires_in": self.expires_in,
            "deadline": self.deadline,
            "timeout": self.attempt_timeout,
            "max_attempts": self.max_attempts,
            "backoff": self.backoff.chosen,
            "idempotency_key": self.idempotency_key,
            "request_id": self.request_id,
            "cache": self.cache.policy,
            "metadata": pairs(self.metadata or []),
            "retention": self.retention,
            "allow_unregistered": self.allow_unregistered,
        }
