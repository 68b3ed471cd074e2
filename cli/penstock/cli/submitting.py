"""The work of ``penstock submit``: one job or many, and then perhaps their ends."""

from __future__ import annotations

import asyncio
import re
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from uuid import uuid4

from penstock.cli.asjson import job_json, submitted_json
from penstock.cli.counting import counting
from penstock.cli.exits import ExitCode
from penstock.cli.faults import CommandError, Fault, UnsettledSubmitError, of_refusal
from penstock.cli.output import emit, emit_text, fault_json, for_people, json_wanted
from penstock.cli.payloads import JSON_TYPE, payload_of, read_json_lines
from penstock.cli.tables import content_text, outcome
from penstock.cli.unserved import warn_if_unserved
from penstock.cli.watching import follow_jobs
from penstock.client import (
    AsyncJobHandle,
    DeadlineExceeded,
    NewJob,
    PenstockError,
    StatusError,
    SubmitOutcome,
    WaitTimeout,
)

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import timedelta

    from penstock.client import AsyncClient, Job, SubmitOptions

__all__ = ["After", "Order", "submit_file", "submit_one"]

_BATCH_S: Final = 15.0
"""For all tries of a call with 1,000 jobs in it."""

_MAX_REPORTED: Final = 10

_WAITS_AT_ONCE: Final = 100
"""Each is a call that stays open, and gateways limit those of a connection."""

_INDEX: Final = re.compile(r"\bjobs\[\d+\]\.")
"""Where a field stands in a batch, which the number of the line tells better."""


@dataclass(frozen=True, slots=True)
class Order:
    """What all jobs of the command have in common.

    Attributes:
        type: The job type.
        options: Of the submits; the content type among them.
    """

    type: str
    options: SubmitOptions

    @property
    def content_type(self) -> str:
        """Media type of the payloads."""
        return self.options["content_type"] or JSON_TYPE

    def job(self, payload: bytes) -> NewJob:
        """Return the job with this payload."""
        return NewJob(self.type, payload, **self.options)


@dataclass(frozen=True, slots=True)
class After:
    """What is to happen once a job is submitted.

    Attributes:
        watch: Show it live, to its end.
        wait: Wait in silence for its result.
        timeout: Of either; None is none.
    """

    watch: bool
    wait: bool
    timeout: timedelta | None


async def submit_one(
    client: AsyncClient, order: Order, payload: str | None, after: After
) -> ExitCode:
    """Submit a job; print its id, or see it through."""
    data = payload_of(payload, order.content_type)
    request_id = order.options["request_id"] or str(uuid4())
    options: SubmitOptions = {**order.options, "request_id": request_id}
    try:
        handle = await client.submit(order.type, data, **options)
    except DeadlineExceeded as error:
        raise UnsettledSubmitError(request_id) from error
    try:
        return await _see_through(client, order, handle, after)
    except asyncio.CancelledError as stop:
        raise _stopped([handle.job_id]) from stop


async def submit_file(client: AsyncClient, order: Order, source: str, after: After) -> ExitCode:
    """Submit a job for each line of a file; print their ids, and why any was refused."""
    if order.content_type != JSON_TYPE:
        raise CommandError("--from-file holds JSON, and --content-type says otherwise")
    lines = list(read_json_lines(source))
    jobs = [order.job(payload) for _, payload in lines]
    with counting("submitting", len(jobs)) as on_progress:
        outcomes = await client.submit_many(jobs, on_progress=on_progress, rpc_timeout=_BATCH_S)
    accepted = [outcome for outcome in outcomes if isinstance(outcome, AsyncJobHandle)]
    refused = [
        (number, outcome)
        for (number, _), outcome in zip(lines, outcomes, strict=True)
        if not isinstance(outcome, AsyncJobHandle)
    ]
    if refused and not accepted and _code_of(refused) == ExitCode.UNREACHABLE:
        raise refused[0][1]  # It is the gateway's trouble, not that of each line.
    if accepted:
        await _warn(client, order)
    if after.watch:
        _name(accepted)
        ended = await follow_jobs(client, [handle.job_id for handle in accepted], after.timeout)
    elif after.wait:
        ended = await _wait_for_all(accepted, after.timeout)
    else:
        ended = ExitCode.OK
        for handle in accepted:
            _print_receipt(handle)
    _report_refused(refused, len(jobs))
    return _code_of(refused) if refused else ended


async def _see_through(
    client: AsyncClient, order: Order, handle: AsyncJobHandle, after: After
) -> ExitCode:
    if handle.outcome is not SubmitOutcome.CACHED:  # Nobody has to serve what has ended.
        await _warn(client, order)
    if after.watch:
        if not json_wanted():
            for_people().print(f"[dim]{handle.job_id}[/]")
        return await follow_jobs(client, [handle.job_id], after.timeout)
    if after.wait:
        return await _wait(handle, after.timeout)
    _print_receipt(handle)
    return ExitCode.OK


def _stopped(job_ids: Sequence[str]) -> CommandError:
    """What Ctrl-C, which cancels the command, is answered with: ids nobody may have seen yet."""
    return CommandError(
        f"stopped; the work goes on, see it with: penstock watch {' '.join(job_ids)}",
        code=ExitCode.INTERRUPTED,
    )


async def _warn(client: AsyncClient, order: Order) -> None:
    await warn_if_unserved(client, [(order.options["queue"], order.type)])


async def _wait(handle: AsyncJobHandle, limit: timedelta | None) -> ExitCode:
    """Wait for the end of a job, and print its result; why there is none goes to stderr."""
    try:
        job = await handle.wait(timeout=None if limit is None else limit.total_seconds())
    except WaitTimeout as error:
        raise CommandError(
            str(error),
            f"it goes on: penstock watch {handle.job_id}",
            ExitCode.TIMED_OUT,
        ) from error
    return _print_end(job)


async def _wait_for_all(handles: Sequence[AsyncJobHandle], limit: timedelta | None) -> ExitCode:
    """Wait for the ends of jobs, and print each's result, in their order.

    Raises:
        CommandError: The limit passed first, or Ctrl-C came; results up to the first late one are
            printed.
    """
    _name(handles)
    limit_s = None if limit is None else limit.total_seconds()
    room = asyncio.Semaphore(_WAITS_AT_ONCE)

    async def end_of(handle: AsyncJobHandle) -> Job:
        async with room:
            return await handle.wait()

    waits = [asyncio.create_task(end_of(handle)) for handle in handles]

    def late() -> list[str]:
        return [
            handle.job_id
            for handle, wait in zip(handles, waits, strict=True)
            if not wait.done() or wait.cancelled()
        ]

    code = ExitCode.OK
    try:
        async with asyncio.timeout(limit_s):
            for wait in waits:
                code = max(code, _print_end(await wait))
    except TimeoutError as error:
        if limit_s is None or isinstance(error, PenstockError):
            raise  # A call's own, which tells more.
        raise CommandError(
            f"{len(late())} of {len(handles)} jobs are not done after {limit_s:g} s; they go on",
            f"see them with: penstock watch {' '.join(late())}",
            ExitCode.TIMED_OUT,
        ) from error
    except asyncio.CancelledError as stop:
        raise _stopped(late()) from stop
    finally:
        for wait in waits:
            wait.cancel()
        await asyncio.gather(*waits, return_exceptions=True)
    return code


def _name(handles: Sequence[AsyncJobHandle]) -> None:
    """Tell people the ids: what is shown of many jobs has room for the ends of them only."""
    if not json_wanted():
        for handle in handles:
            for_people().print(f"[dim]{handle.job_id}[/]", soft_wrap=True)


def _print_end(job: Job) -> ExitCode:
    """Print a job's result; why there is none goes to stderr."""
    succeeded = job.state == "SUCCEEDED"
    if json_wanted():
        emit(job_json(job))
    elif succeeded:
        emit_text(content_text(job.result_content, longest=sys.maxsize))
    else:
        for_people().print(
            f"{job.job_id} {job.state.lower()}: {outcome(job)}", soft_wrap=True, markup=False
        )
    return ExitCode.OK if succeeded else ExitCode.FAILED


def _print_receipt(handle: AsyncJobHandle) -> None:
    if json_wanted() and handle.submitted is not None:
        emit(submitted_json(handle.submitted))
    else:
        emit_text(handle.job_id)


def _report_refused(refused: Sequence[tuple[int, PenstockError]], total: int) -> None:
    """Tell which lines were refused, and why; the first few, where there are many."""
    if json_wanted():
        for number, error in refused:
            emit({"line": number, "error": fault_json(_fault(error))})
        return
    for number, error in refused[:_MAX_REPORTED]:
        fault = _fault(error)
        why = _INDEX.sub("", " ".join((f"{fault.message}:", *fault.hints)))
        for_people().print(f"line {number}: {why}", soft_wrap=True, markup=False)
    if refused:
        for_people().print(f"[bold red]{len(refused)} of {total} were not accepted[/]")


def _code_of(refused: Sequence[tuple[int, PenstockError]]) -> ExitCode:
    codes = {_fault(error).code for _, error in refused}
    return ExitCode.REFUSED if ExitCode.REFUSED in codes else ExitCode.UNREACHABLE


def _fault(error: PenstockError) -> Fault:
    if isinstance(error, StatusError):
        return of_refusal(error)
    return Fault(ExitCode.REFUSED, type(error).__name__, str(error))
