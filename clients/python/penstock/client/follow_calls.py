"""Following jobs that were submitted: waiting for their end, or watching them on the way."""

# ruff: noqa: ASYNC109 - a blocking caller has the same parameters, and no asyncio.timeout.

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, TypeVar, overload

from penstock.client.errors import (
    DeadlineExceeded,
    JobCancelled,
    JobExpired,
    JobFailed,
    StatusError,
    WaitTimeout,
)
from penstock.client.from_wire import job_of
from penstock.client.job import JobState
from penstock.client.rpc import Outage, is_passing
from penstock.client.to_wire import duration_of
from penstock.client.watch import AsyncWatch
from penstock.client.watch_many import AsyncMergedWatch
from penstock.v1 import job_service_pb2 as pb

if TYPE_CHECKING:
    from collections.abc import Iterable

    from penstock.client.errors import JobUnsuccessful
    from penstock.client.job import Job
    from penstock.client.rpc import Rpc

T = TypeVar("T")

#: How long one WaitJob waits (s): short, so that a gateway that hangs is noticed.
_WAIT_S: Final = 30.0
#: How much later than that its answer may come (s).
_WAIT_GRACE_S: Final = 5.0

_ENDINGS: Final[Mapping[JobState, type[JobUnsuccessful]]] = {
    JobState.FAILED: JobFailed,
    JobState.CANCELLED: JobCancelled,
    JobState.EXPIRED: JobExpired,
}


class AsyncFollowCalls:
    """The part of `AsyncClient` that follows jobs."""

    _rpc: Rpc

    async def wait(
        self, job_id: str, *, timeout: float | None = None, raise_on_failure: bool = False
    ) -> Job:
        """Waits until the job has ended, and returns it with its result.

        Args:
            job_id: of the job.
            timeout: how long to wait, in seconds; None is for ever.
            raise_on_failure: treat any end but SUCCEEDED as an error.

        Raises:
            WaitTimeout: the job had not ended in time.
            JobFailed: if asked for; likewise JobCancelled, JobExpired.
            NotFound: no such job.
            Unavailable: no gateway for longer than the client's ``reconnect_for``.
        """
        job = await self._wait(job_id, timeout)
        if raise_on_failure and job.state in _ENDINGS:
            raise _ENDINGS[job.state](job)
        return job

    @overload
    async def result(self, job_id: str, *, timeout: float | None = None) -> Any: ...  # noqa: ANN401 - what the handler returned.
    @overload
    async def result(
        self, job_id: str, result_type: type[T] | None, *, timeout: float | None = None
    ) -> T: ...
    async def result(
        self, job_id: str, result_type: type[T] | None = None, *, timeout: float | None = None
    ) -> T | Any:
        """Waits for the job's result.

        Args:
            job_id: of the job.
            result_type: what to validate it as, any type that pydantic's TypeAdapter takes; if not
                given, JSON is decoded, and other content is bytes.
            timeout: how long to wait, in seconds; None is for ever.

        Raises:
            JobFailed: it ended without one; likewise JobCancelled, JobExpired.
            WaitTimeout: it had not ended in time.
            ResultMismatch: the result is of another type.
        """
        job = await self.wait(job_id, timeout=timeout, raise_on_failure=True)
        return job.result if result_type is None else job.result_as(result_type)

    def watch(
        self, job_id: str, *, after: int = 0, reconnect_for: float | None = None
    ) -> AsyncWatch:
        """Follows a job: a snapshot, then every event after a sequence, up to the terminal one.

        Args:
            job_id: of the job.
            after: the last sequence already seen; 0 gives every event.
            reconnect_for: how long to go on trying while no gateway answers, in seconds; None is
                the client's own.
        """
        limit_s = self._rpc.reconnect_for_s if reconnect_for is None else reconnect_for
        return AsyncWatch(self._rpc, job_id, after, limit_s)

    def watch_many(
        self, jobs: Iterable[str] | Mapping[str, int], *, reconnect_for: float | None = None
    ) -> AsyncMergedWatch:
        """Follows several jobs at once; each event says whose it is.

        Args:
            jobs: ids, or the last sequence already seen of each id.
            reconnect_for: as for watch().
        """
        cursors = jobs if isinstance(jobs, Mapping) else dict.fromkeys(jobs, 0)
        watches = [
            self.watch(job_id, after=after, reconnect_for=reconnect_for)
            for job_id, after in cursors.items()
        ]
        return AsyncMergedWatch(self._rpc.transport, watches)

    async def _wait(self, job_id: str, timeout: float | None) -> Job:
        give_up = math.inf if timeout is None else time.monotonic() + timeout
        outage = Outage(self._rpc.reconnect_for_s)
        job: Job | None = None
        while True:
            left_s = give_up - time.monotonic()
            wait_s = max(min(left_s, _WAIT_S), 0.001)
            request = pb.WaitJobRequest(job_id=job_id, timeout=duration_of(wait_s))
            trouble: StatusError | None = None
            pause_s = 0.0
            try:
                answer = await self._rpc.once(
                    self._rpc.stubs.jobs.WaitJob, request, wait_s + _WAIT_GRACE_S
                )
                job = job_of(answer.job)
                outage.over()
                if answer.done:
                    return job
            except StatusError as error:
                if not (is_passing(error) or isinstance(error, DeadlineExceeded)):
                    raise
                trouble, pause_s = error, outage.pause_s(error)
            if timeout is not None and time.monotonic() + pause_s >= give_up:
                raise WaitTimeout(job_id, timeout, job) from trouble
            await self._rpc.transport.waker().wait(pause_s)
