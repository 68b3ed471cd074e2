"""What those who submit jobs ask of a gateway."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias, TypeVar

from penstock.client.batch import submit_all
from penstock.client.errors import (
    DeadlineExceeded,
    PenstockError,
    Unavailable,
)
from penstock.client.follow_calls import AsyncFollowCalls
from penstock.client.from_wire import job_of, page_of, submitted_of
from penstock.client.handle import AsyncJobHandle
from penstock.client.job import JobState
from penstock.client.new_job import NewJob
from penstock.client.to_wire import new_request_id, spec_of
from penstock.client.wire_names import wire_name
from penstock.v1 import job_service_pb2 as pb

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable
    from typing import Unpack

    from penstock.client.job import Job, Submitted
    from penstock.client.new_job import SubmitOptions
    from penstock.client.queue import Page
    from penstock.client.watch import AsyncWatch

T = TypeVar("T")

#: What became of each job of submit_many(): its handle, or why it was not stored.
Handles: TypeAlias = list[AsyncJobHandle | PenstockError]


class AsyncJobCalls(AsyncFollowCalls):
    """The part of `AsyncClient` that is about jobs.

    Every method raises StatusError. ``rpc_timeout`` is the time for all tries of a call together,
    in seconds; None is the client's own.
    """

    async def submit(
        self,
        type: str,
        payload: object = None,
        *,
        rpc_timeout: float | None = None,
        **options: Unpack[SubmitOptions],
    ) -> AsyncJobHandle:
        """Stores one job. Repeated under the same ``request_id``, it is the same job.

        Args:
            type: name that its handler is registered under.
            payload: anything that pydantic writes as JSON (plain values, models, dataclasses), or
                bytes.
            rpc_timeout: for all tries together, in seconds; None is the client's own.
            **options: queue, priority, delay and so on: the fields of `NewJob`.

        Raises:
            InvalidRequest: a field breaks a rule, or the payload its type's schema.
            FailedPrecondition: no worker ever registered the type; see ``allow_unregistered``.
            AlreadyExists: the request id or idempotency key stands for other work.
            Unavailable: no gateway, or none that can store it now.
            DeadlineExceeded: no answer in time; a submit under the same request id settles it.
        """
        spec = spec_of(NewJob(type, payload, **options))
        request = pb.SubmitJobRequest(job=spec)
        try:
            answer = await self._rpc.call(self._rpc.stubs.jobs.SubmitJob, request, rpc_timeout)
        except (DeadlineExceeded, Unavailable) as error:
            error.add_note(
                "whether the job was stored is not known; a submit of the same with "
                f"request_id={spec.request_id!r} settles it"
            )
            raise
        return self._hand_out(submitted_of(answer.job, spec.request_id))

    async def submit_many(
        self,
        jobs: Iterable[NewJob],
        *,
        on_progress: Callable[[int], object] | None = None,
        rpc_timeout: float | None = None,
    ) -> Handles:
        """Stores any number of jobs, up to 1,000 in a call; one bad job does not spoil the others.

        Args:
            jobs: to store; taken one by one.
            on_progress: called after each call with the number of jobs dealt with so far.
            rpc_timeout: of each call.

        Returns:
            For each job, in order, its handle, or the error that kept it out.
        """
        handles: Handles = []
        timeout_s = self._rpc.timeout_s if rpc_timeout is None else rpc_timeout
        async for outcomes in submit_all(self._rpc, jobs, timeout_s):
            for outcome in outcomes:
                if isinstance(outcome, PenstockError):
                    handles.append(outcome)
                else:
                    handles.append(self._hand_out(outcome))
            if on_progress is not None:
                on_progress(len(handles))
        return handles

    async def submit_and_watch(
        self,
        type: str,
        payload: object = None,
        *,
        rpc_timeout: float | None = None,
        reconnect_for: float | None = None,
        **options: Unpack[SubmitOptions],
    ) -> AsyncWatch:
        """Stores one job, and follows it from its first event: submit() and watch().

        These are two calls, since a submit needs a deadline and a watch must have none.
        """
        handle = await self.submit(type, payload, rpc_timeout=rpc_timeout, **options)
        return self.watch(handle.job_id, reconnect_for=reconnect_for)

    def handle(self, job_id: str) -> AsyncJobHandle:
        """A handle for a job that was submitted at another time. Asks nothing."""
        return AsyncJobHandle(self, job_id, None)

    async def status(
        self,
        job_id: str,
        *,
        include_result: bool = True,
        include_payload: bool = False,
        rpc_timeout: float | None = None,
    ) -> Job:
        """The job as it stands. Raises NotFound."""
        request = pb.GetStatusRequest(
            job_id=job_id, include_payload=include_payload, include_result=include_result
        )
        answer = await self._rpc.call(self._rpc.stubs.jobs.GetStatus, request, rpc_timeout)
        return job_of(answer.job)

    async def cancel(
        self, job_id: str, reason: str = "", *, rpc_timeout: float | None = None
    ) -> Job:
        """Ends a waiting job, asks a running one to stop; a terminal one stays as it is.

        Args:
            job_id: of the job.
            reason: shown to watchers and to the handler; up to 1 KiB.
            rpc_timeout: for all tries together, in seconds.

        Returns:
            The job: CANCELLED, or RUNNING with cancel_requested, or as it ended before.
        """
        request = pb.CancelJobRequest(job_id=job_id, reason=reason)
        answer = await self._rpc.call(self._rpc.stubs.jobs.CancelJob, request, rpc_timeout)
        return job_of(answer.job)

    async def retry(
        self, job_id: str, *, request_id: str = "", rpc_timeout: float | None = None
    ) -> AsyncJobHandle:
        """Makes a new job from one that is FAILED, CANCELLED or EXPIRED.

        Args:
            job_id: of the ended job.
            request_id: as of a submit; '' draws a random one.
            rpc_timeout: for all tries together, in seconds.

        Raises:
            FailedPrecondition: the job is in another state.
        """
        request_id = request_id or new_request_id()
        request = pb.RetryJobRequest(job_id=job_id, request_id=request_id)
        answer = await self._rpc.call(self._rpc.stubs.jobs.RetryJob, request, rpc_timeout)
        return self._hand_out(submitted_of(answer.job, request_id))

    async def list(
        self,
        queue: str = "default",
        *,
        states: Iterable[JobState | str] = (),
        type: str = "",
        rpc_timeout: float | None = None,
    ) -> AsyncIterator[Job]:
        """All jobs of a queue, without payloads and results, fetched page by page.

        State by state: RUNNING, QUEUED (the next to run first), SCHEDULED (the soonest first),
        FAILED, SUCCEEDED, CANCELLED, EXPIRED (of these, the newest first). Jobs that change state
        meanwhile may be seen twice or not at all.

        Args:
            queue: to list.
            states: to list; none is all.
            type: to list; '' is all.
            rpc_timeout: of each page.
        """
        states, token = tuple(states), ""
        while True:
            page = await self.list_page(
                queue, states=states, type=type, page_token=token, rpc_timeout=rpc_timeout
            )
            for job in page.jobs:
                yield job
            token = page.next_page_token
            if not token:
                return

    async def list_page(
        self,
        queue: str = "default",
        *,
        states: Iterable[JobState | str] = (),
        type: str = "",
        page_size: int = 0,
        page_token: str = "",
        rpc_timeout: float | None = None,
    ) -> Page:
        """One page of list(), for those who keep their place themselves.

        Args:
            queue: to list.
            states: to list; none is all.
            type: to list; '' is all.
            page_size: 1 to 1,000; 0 is 100.
            page_token: of the page before; '' for the first.
            rpc_timeout: for all tries together, in seconds.
        """
        request = pb.ListJobsRequest(
            queue=queue,
            states=[wire_name(JobState(state)) for state in states],
            type=type,
            page_size=page_size,
            page_token=page_token,
        )
        return page_of(await self._rpc.call(self._rpc.stubs.jobs.ListJobs, request, rpc_timeout))

    def _hand_out(self, submitted: Submitted) -> AsyncJobHandle:
        return AsyncJobHandle(self, submitted.job_id, submitted)
