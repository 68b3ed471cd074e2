"""A long list of submits: cut into calls, each job's outcome put back in its place."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final, TypeAlias, TypeGuard, cast

from penstock.client.errors import (
    DeadlineExceeded,
    Internal,
    InvalidRequest,
    PenstockError,
    Status,
    StatusError,
)
from penstock.client.from_wire import submitted_of
from penstock.client.job import Submitted
from penstock.client.new_job import NewJob
from penstock.client.rpc import Outage, Rpc, is_passing
from penstock.client.status import item_error_of
from penstock.client.to_wire import spec_of
from penstock.v1 import job_service_pb2 as pb

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Iterator, Sequence

    from penstock.v1.job_pb2 import JobSpec

#: What became of one job: its receipt, or why it was not stored.
Outcome: TypeAlias = Submitted | PenstockError

#: Most jobs that a gateway takes in one call.
MAX_JOBS: Final = 1_000
#: Most bytes of jobs in a call; gateways take messages of 4 MiB.
MAX_BYTES: Final = 3_500_000


async def submit_all(
    rpc: Rpc, jobs: Iterable[NewJob], timeout_s: float
) -> AsyncIterator[list[Outcome]]:
    """Stores jobs, call by call. Yields the outcomes of each call, in the order of the jobs.

    Once jobs cannot be stored within the time of a call, although nothing is wrong with them, those
    that are left share that error and are not tried.

    Args:
        rpc: that the calls go over.
        jobs: to store.
        timeout_s: of each call, retries included, in seconds.
    """
    trouble: StatusError | None = None
    for chunk in chunks(jobs):
        specs = [each for each in chunk if not isinstance(each, InvalidRequest)]
        if trouble is None:
            outcomes = await _submit(rpc, specs, timeout_s)
            trouble = next(filter(_is_trouble, outcomes), None)
        else:
            outcomes = [trouble] * len(specs)
        in_order = iter(outcomes)
        yield [each if isinstance(each, InvalidRequest) else next(in_order) for each in chunk]


def chunks(
    jobs: Iterable[NewJob], max_jobs: int = MAX_JOBS, max_bytes: int = MAX_BYTES
) -> Iterator[list[JobSpec | InvalidRequest]]:
    """The messages of jobs, as many at a time as a call may have; errors for what is no message.

    A job that is larger than max_bytes has a call of its own, for the gateway to judge.
    """
    chunk: list[JobSpec | InvalidRequest] = []
    size = 0
    for job in jobs:
        if not isinstance(job, NewJob):
            raise TypeError(f"jobs takes penstock.client.NewJob, not {job!r}")
        entry = _entry(job)
        added = 0 if isinstance(entry, InvalidRequest) else entry.ByteSize()
        if chunk and (len(chunk) >= max_jobs or size + added > max_bytes):
            yield chunk
            chunk, size = [], 0
        chunk.append(entry)
        size += added
    if chunk:
        yield chunk


def _entry(job: NewJob) -> JobSpec | InvalidRequest:
    try:
        return spec_of(job)
    except InvalidRequest as error:
        return error


async def _submit(rpc: Rpc, specs: Sequence[JobSpec], timeout_s: float) -> list[Outcome]:
    """One call, repeated for those of its jobs that a passing trouble kept out."""
    outcomes: dict[int, Outcome] = {}
    pending = list(range(len(specs)))
    outage = Outage(timeout_s)
    give_up = time.monotonic() + timeout_s
    while pending:
        try:
            await _try(rpc, specs, pending, outcomes, max(give_up - time.monotonic(), 0.001))
            pending = [index for index in pending if _is_trouble(outcomes[index])]
            if pending:
                pause_s = outage.pause_s(cast("StatusError", outcomes[pending[0]]))
                await rpc.transport.waker().wait(pause_s)
        except StatusError as error:
            outcomes.update(dict.fromkeys(pending, error))
            break
    return [outcomes[index] for index in range(len(specs))]


async def _try(
    rpc: Rpc,
    specs: Sequence[JobSpec],
    pending: Sequence[int],
    outcomes: dict[int, Outcome],
    timeout_s: float,
) -> None:
    request = pb.SubmitJobsRequest(jobs=[specs[index] for index in pending])
    response = await rpc.call(rpc.stubs.jobs.SubmitJobs, request, timeout_s)
    if len(response.results) != len(pending):
        text = f"{len(pending)} jobs were sent, and {len(response.results)} results came back"
        raise Internal(Status("INTERNAL", text))
    for index, result in zip(pending, response.results, strict=True):
        outcomes[index] = (
            submitted_of(result.job, specs[index].request_id)
            if result.HasField("job")
            else item_error_of(result.error)
        )


def _is_trouble(outcome: Outcome) -> TypeGuard[StatusError]:
    """Whether it was not the job's own fault, so that another try may store it."""
    return isinstance(outcome, DeadlineExceeded) or (
        isinstance(outcome, StatusError) and is_passing(outcome)
    )
