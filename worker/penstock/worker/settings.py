"""The settings of a worker process."""

from typing import Annotated, ClassVar

from pydantic import BeforeValidator, Field
from pydantic_settings import NoDecode

from penstock.broker import BrokerSettings
from penstock.runtime import ConfigurationError
from penstock.worker.names import check_queue

__all__ = ["WorkerSettings"]


def _split(value: object) -> object:
    """Queues come from the environment as a list with commas."""
    if isinstance(value, str):
        return [part.strip() for part in value.split(",") if part.strip()]
    return value


def _check_queues(value: object) -> object:
    names = _split(value)
    if isinstance(names, (list, tuple)):
        for name in names:
            check_queue(str(name))
    return names


class WorkerSettings(BrokerSettings):
    """What a worker process reads: PENSTOCK_ + the field's name, or the table [worker]."""

    section: ClassVar[str | None] = "worker"

    queues: Annotated[tuple[str, ...], NoDecode, BeforeValidator(_check_queues)] = ()
    """The queues to serve, with commas between them; none given are those of the app."""

    slots: int | None = Field(default=None, ge=1, le=10_000)
    """How many jobs one process runs at once; none given is the app's own number."""

    processes: int = Field(default=1, ge=1, le=1_024)
    """How many worker processes to run, each with its own slots."""

    lease_s: float = Field(default=10.0, ge=1, le=3_600)
    """How long a job stays with a worker that is not heard of, in seconds; renewed at a quarter."""

    drain_grace_s: float = Field(default=25.0, ge=0, le=86_400)
    """How long running jobs may go on once the process is told to stop, in seconds."""

    stop_grace_s: float = Field(default=2.0, ge=0, le=600)
    """How long a handler that was told to stop has for it, in seconds.

    Then a coroutine is cancelled once more, a thread is left to itself, a child process is killed.
    """

    def server_url(self) -> str:
        """Where the server is. Raises ConfigurationError if that is not configured."""
        if self.redis_url is None:
            raise ConfigurationError(
                "a worker needs Redis or Valkey: set PENSTOCK_REDIS_URL, such as "
                "redis://127.0.0.1:6379/0, or run `penstock dev`, which brings its own",
                fields=("redis_url",),
            )
        return self.redis_url.get_secret_value()
