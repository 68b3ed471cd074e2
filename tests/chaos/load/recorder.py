"""A client of which every call, and whatever was answered, goes into the journal."""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from penstock.client import (
    Backoff,
    CachePolicy,
    ChunkEvent,
    GapEvent,
    NewJob,
    PenstockError,
    SnapshotEvent,
    StateEvent,
    StatusError,
    WaitTimeout,
)
from tests.chaos.load.plan import ends_of

if TYPE_CHECKING:
    import itertools
    from collections.abc import AsyncIterator, Mapping, Sequence

    from penstock.client import AsyncClient, AsyncJobHandle, Event, Job, SubmitOptions
    from tests.chaos.history.journal import Journal
    from tests.chaos.load.plan import Plan

__all__ = ["Recorder", "Submit", "receipt_of"]

#: Statuses that prove that the call did nothing, whichever of its tries they answer.
_SURE: Final = frozenset({"INVALID_ARGUMENT", "ALREADY_EXISTS", "FAILED_PRECONDITION", "NOT_FOUND"})


@dataclass(frozen=True)
class Submit:
    """One submit, as it is journalled and sent.

    Attributes:
        type: of the job.
        payload: its plan.
        request: its request id.
        options: further ones, by the names of `SubmitOptions`; backoff and cache as dicts.
    """

    type: str
    payload: Plan
    request: str
    options: Mapping[str, Any]

    @property
    def item(self) -> dict[str, object]:
        """As the history tells it."""
        options = self.options
        item: dict[str, object] = {
            "request": self.request,
            "type": self.type,
            "payload": self.payload,
            "ends": ends_of(self.payload, options),
        }
        if key := options.get("idempotency_key"):
            item["key"] = key
        if "cache" in options:
            item["cache_ms"] = round(options["cache"]["ttl"] * 1000)
        if "max_attempts" in options:
            item["max_attempts"] = options["max_attempts"]
        for name, told in (("delay", "delay_ms"), ("expires_in", "deadline_ms")):
            if name in options:
                item[told] = round(options[name] * 1000)
        return item

    @property
    def keywords(self) -> SubmitOptions:
        """The options, and the request id, as the client takes them."""
        keywords: Any = {**self.options, "request_id": self.request}
        if "backoff" in keywords:
            keywords["backoff"] = Backoff(**keywords["backoff"])
        if "cache" in keywords:
            keywords["cache"] = CachePolicy(**keywords["cache"])
        options: SubmitOptions = keywords
        return options

    def new_job(self) -> NewJob:
        """As `submit_many` takes it."""
        return NewJob(self.type, self.payload, **self.keywords)


class Recorder:
    """Calls in the name of a process.

    Args:
        client: that the calls go over.
        journal: of the process.
        numbers: of the calls, unique in the process.
    """

    def __init__(
        self, client: AsyncClient, journal: Journal, numbers: itertools.count[int]
    ) -> None:
        self._client = client
        self._journal = journal
        self._numbers = numbers

    async def submit(self, submit: Submit, rpc_timeout: float | None = None) -> str:
        """Submits one job. Returns its id."""
        async with self._call("submit", jobs=[submit.item]) as answer:
            handle = await self._client.submit(
                submit.type, submit.payload, rpc_timeout=rpc_timeout, **submit.keywords
            )
            answer["jobs"] = [receipt_of(handle)]
        return handle.job_id

    async def submit_many(self, submits: Sequence[Submit]) -> list[str]:
        """Submits jobs together. Returns the ids of those that were acknowledged."""
        async with self._call("submit", jobs=[submit.item for submit in submits]) as answer:
            handles = await self._client.submit_many([submit.new_job() for submit in submits])
            answer["jobs"] = [
                _refusal(each) if isinstance(each, PenstockError) else receipt_of(each)
                for each in handles
            ]
        return [each.job_id for each in handles if not isinstance(each, PenstockError)]

    async def status(self, job: str) -> Job:
        """The job as it stands."""
        async with self._call("status", job=job) as answer:
            seen = await self._client.status(job)
            answer.update(_view(seen))
        return seen

    async def wait(self, job: str, timeout: float) -> Job:  # noqa: ASYNC109 - as the client's.
        """The job as it ended."""
        async with self._call("wait", job=job, timeout=timeout) as answer:
            seen = await self._client.wait(job, timeout=timeout)
            answer.update(_view(seen))
        return seen

    async def cancel(self, job: str) -> Job:
        """The job after it was asked to stop."""
        async with self._call("cancel", job=job) as answer:
            seen = await self._client.cancel(job, "as planned")
            answer.update(_view(seen))
        return seen

    async def retry(self, job: str, request: str) -> str:
        """The id of the job that was made from an ended one."""
        async with self._call("retry", job=job, request=request) as answer:
            handle = await self._client.retry(job, request_id=request)
            answer.update(receipt_of(handle))
        return handle.job_id

    async def list_page(self, queue: str, states: Sequence[str]) -> list[Job]:
        """One page of a queue's jobs."""
        async with self._call("list", queue=queue, states=list(states)) as answer:
            page = await self._client.list_page(queue, states=states, page_size=50)
            answer["jobs"] = [_view(job, with_result=False) for job in page.jobs]
        return list(page.jobs)

    async def watch(self, job: str, after: int = 0, at_most: int | None = None) -> tuple[int, bool]:
        """Watches a job to its end, or leaves after so many events.

        Returns:
            The cursor to go on from, and whether the job has ended.
        """
        events = 0
        async with (
            self._call("watch", job=job, after=after) as answer,
            self._client.watch(job, after=after) as watch,
        ):
            async for event in watch:
                self._write("event", answer["op"], job=job, **_told(event))
                events += 1
                if events == at_most:
                    break
            answer["complete"] = watch.closed
            answer["cursor"] = watch.cursor
        return watch.cursor, answer["complete"]

    @asynccontextmanager
    async def _call(self, rpc: str, **asked: object) -> AsyncIterator[dict[str, Any]]:
        """Journals a call, and what its answer holds by the end of the block."""
        op = next(self._numbers)
        self._write("call", op, rpc=rpc, **asked)
        answer: dict[str, Any] = {"op": op}
        try:
            yield answer
        except PenstockError as error:
            self._error(op, error)
            raise
        self._write("answer", **answer)

    def _error(self, op: int, error: PenstockError) -> None:
        self._write("error", op, **_refusal(error), text=str(error)[:200])

    def _write(self, kind: str, op: int, **fields: object) -> None:
        self._journal.write(kind, op=op, **fields)


def _refusal(error: PenstockError) -> dict[str, object]:
    code = error.code if isinstance(error, StatusError) else type(error).__name__
    return {"code": code, "sure": code in _SURE or isinstance(error, WaitTimeout)}


def receipt_of(handle: AsyncJobHandle) -> dict[str, object]:
    """What a submit was told, as the history tells it."""
    receipt = handle.submitted
    if receipt is None:
        raise RuntimeError("a submit is answered with a receipt")
    return {
        "job": receipt.job_id,
        "state": receipt.state,
        "outcome": receipt.outcome,
        "durability": receipt.durability,
    }


def _view(job: Job, *, with_result: bool = True) -> dict[str, object]:
    view: dict[str, object] = {
        "job": job.job_id,
        "state": job.state,
        "reason": job.failure.reason if job.failure else None,
        "attempt": job.attempt,
        "crashes": job.crashes,
        "token": job.fencing_token,
        "sequence": job.last_sequence,
        "cancel": job.cancel_requested,
    }
    if with_result and job.result_content is not None:
        view["result"] = job.result
    if job.cached_from:
        view["cached_from"] = job.cached_from
    return view


def _told(event: Event) -> dict[str, object]:
    told: dict[str, object] = {
        "first": event.first_sequence,
        "last": event.last_sequence,
        "state": None,
        "gap": isinstance(event, GapEvent),
        "chunk": None,
    }
    match event:
        case SnapshotEvent(job=job):
            told["snapshot"] = _view(job)
        case StateEvent(state=state, attempt=attempt, job=ended):
            told |= {"state": state, "attempt": attempt}
            if ended is not None:
                told["view"] = _view(ended)
        case ChunkEvent(attempt=attempt):
            told |= {"chunk": event.text, "attempt": attempt}
    return told
