"""JobService: convert, call the broker, convert. No decision is taken here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from penstock.broker import PenstockError
from penstock.server import cache_log, convert, job_convert, requests, submit_convert
from penstock.server.errors import fault_of
from penstock.server.intake import new_request_id
from penstock.server.tokens import open_token, seal_token
from penstock.v1 import job_service_pb2 as pb

if TYPE_CHECKING:
    from penstock.broker import Broker
    from penstock.server.calls import Call
    from penstock.server.intake import Intake
    from penstock.server.streaming import Streams
    from penstock.v1.job_pb2 import JobSpec

__all__ = ["JobService"]

DEFAULT_PAGE: Final = 100
#: Of a wait's time, kept to read the job as it stands at its end.
_WAIT_SHARE: Final = 0.9


class JobService:
    """The methods of penstock.v1.JobService; see the contract for what each promises."""

    #: Methods with one answer that may take as long as a stream.
    LONG = frozenset({"WaitJob"})

    def __init__(self, broker: Broker, intake: Intake, streams: Streams) -> None:
        self._broker = broker
        self._jobs = broker.jobs
        self._intake = intake
        self._streams = streams

    # ruff: noqa: N802 - the methods have the names of the contract.

    async def SubmitJob(self, request: pb.SubmitJobRequest, call: Call) -> pb.SubmitJobResponse:
        """Stores one job."""
        return pb.SubmitJobResponse(job=await self._submit(request.job, call))

    async def SubmitJobs(self, request: pb.SubmitJobsRequest, call: Call) -> pb.SubmitJobsResponse:
        """Stores many; each has its own outcome."""
        requests.refuse_bad_batch(request)
        accepted = await self._intake.accept_all(request.jobs, "jobs", call.budget_s)
        jobs = [job for job in accepted if not isinstance(job, PenstockError)]
        before = self._broker.durability_so_far
        receipts = await self._jobs.submit_many(jobs, call.budget_s)
        cache_log.log_all(zip(jobs, receipts, strict=True))
        stored = iter(receipts)
        durability = min(before, self._broker.durability)
        results = []
        for index, job in enumerate(accepted):
            outcome = job if isinstance(job, PenstockError) else next(stored)
            if isinstance(outcome, PenstockError):
                fault = fault_of(requests.placed(outcome, f"jobs[{index}]"))
                results.append(pb.SubmitResult(error=submit_convert.submit_error(fault)))
            else:
                results.append(pb.SubmitResult(job=submit_convert.submitted(outcome, durability)))
        return pb.SubmitJobsResponse(results=results)

    async def SubmitAndWatch(self, request: pb.SubmitAndWatchRequest, call: Call) -> None:
        """Stores one job and follows it."""
        receipt = await self._submit(request.job, call)
        await self._streams.deliver(call.write(pb.SubmitAndWatchResponse(job=receipt)))

        async def write(message: pb.StreamProgressResponse) -> None:
            await call.write(pb.SubmitAndWatchResponse(event=message))

        job = await self._jobs.get(receipt.job_id, result=True, budget_s=call.budget_s)
        await self._streams.follow(job, 0, write)

    async def GetStatus(self, request: pb.GetStatusRequest, call: Call) -> pb.GetStatusResponse:
        """The job as it stands."""
        requests.refuse_bad_id(request.job_id)
        job = await self._jobs.get(
            request.job_id,
            payload=request.include_payload,
            result=request.include_result,
            budget_s=call.budget_s,
        )
        return pb.GetStatusResponse(job=job_convert.job(job))

    async def WaitJob(self, request: pb.WaitJobRequest, call: Call) -> pb.WaitJobResponse:
        """The job, once it is terminal or the time has passed."""
        wait_s = requests.wait_of(request)
        job = await self._jobs.get(request.job_id, result=True, budget_s=call.budget_s)
        if not job.state.terminal:
            left_s = call.left_s
            if left_s is not None:
                wait_s = min(wait_s, left_s * _WAIT_SHARE)
            job = await self._streams.wait(job, wait_s) or await self._jobs.get(
                request.job_id, result=True, budget_s=call.budget_s
            )
        return pb.WaitJobResponse(job=job_convert.job(job), done=job.state.terminal)

    async def ListJobs(self, request: pb.ListJobsRequest, call: Call) -> pb.ListJobsResponse:
        """One page of a queue's jobs."""
        requests.refuse_bad_list(request)
        queue = request.queue or convert.DEFAULT_QUEUE
        states = job_convert.states(request.states)
        listing = ("jobs", queue, "".join(sorted(set(states))), request.type)
        page, position = await self._jobs.list(
            queue,
            states,
            job_type=request.type,
            limit=request.page_size or DEFAULT_PAGE,
            page_token=open_token(request.page_token, *listing),
            budget_s=call.budget_s,
        )
        return pb.ListJobsResponse(
            jobs=[job_convert.job(job) for job in page],
            next_page_token=seal_token(position, *listing),
        )

    async def StreamProgress(self, request: pb.StreamProgressRequest, call: Call) -> None:
        """Follows a job from a cursor on."""
        requests.refuse_bad_stream(request)
        job = await self._jobs.get(request.job_id, result=True, budget_s=call.budget_s)
        await self._streams.follow(job, request.after_sequence, call.write)

    async def CancelJob(self, request: pb.CancelJobRequest, call: Call) -> pb.CancelJobResponse:
        """Ends a job, or asks it to stop."""
        requests.refuse_bad_cancel(request)
        job = await self._jobs.cancel(request.job_id, request.reason, call.budget_s)
        return pb.CancelJobResponse(job=job_convert.job(job))

    async def RetryJob(self, request: pb.RetryJobRequest, call: Call) -> pb.RetryJobResponse:
        """Makes a new job from an ended one."""
        requests.refuse_bad_retry(request)
        self._intake.check_room()
        before = self._broker.durability_so_far
        receipt = await self._jobs.retry(
            request.job_id, request.request_id or new_request_id(), call.budget_s
        )
        durability = min(before, self._broker.durability)
        return pb.RetryJobResponse(job=submit_convert.submitted(receipt, durability))

    async def _submit(self, spec: JobSpec, call: Call) -> pb.SubmittedJob:
        job = await self._intake.accept(spec, "job", call.budget_s)
        before = self._broker.durability_so_far
        receipt = await self._jobs.submit(job, call.budget_s)
        cache_log.log_one(job, receipt)
        # It may be another server by now: no more is told than holds for either.
        return submit_convert.submitted(receipt, min(before, self._broker.durability))
