"""From what a caller sent to a job that may be stored: every rule, every schema."""

from __future__ import annotations

import secrets
import time
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from penstock.broker import InvalidArgument, PenstockError
from penstock.server import cache_convert, submit_convert
from penstock.server.breath import Breath
from penstock.server.payloads import is_json
from penstock.server.validation import check_job

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from penstock.broker import NewJob
    from penstock.server.admission import Admission
    from penstock.server.schemas import Schemas, Verdict
    from penstock.v1.job_pb2 import JobSpec

__all__ = ["Intake", "new_request_id"]


def new_request_id() -> str:
    """For a caller that gave none; its call cannot be repeated."""
    return secrets.token_hex(16)


class Intake:
    """Accepts specs, or says all that is wrong with them."""

    def __init__(self, schemas: Schemas, admission: Admission, max_payload_bytes: int) -> None:
        self._schemas = schemas
        self._admission = admission
        self._max_payload_bytes = max_payload_bytes

    def check_room(self) -> None:
        """Raises StorageFull where the server has no room for more jobs."""
        self._admission.check_room()

    async def accept(self, spec: JobSpec, path: str, budget_s: float) -> NewJob:
        """The job to store.

        Raises:
            InvalidArgument: with every violation.
            FailedPrecondition: the type is unknown.
            Unavailable: Redis would have to be asked for the type, and cannot be.
            StorageFull: the server has no room for more jobs.
        """
        self._admission.check_room()
        breath = Breath()
        draft = await self._draft(spec, path, breath)
        if not draft.verdict.accepts:
            refusal = await self._look_again([draft], budget_s)
            refusal = refusal or await self._refusal(draft, breath)
            if refusal is not None:
                raise refusal
        return draft.job

    async def accept_all(
        self, specs: Sequence[JobSpec], path: str, budget_s: float
    ) -> list[NewJob | PenstockError]:
        """As `accept`, for each of a batch: one that is wrong does not spoil the others."""
        self._admission.check_room()
        breath = Breath()
        drafts: list[_Draft | PenstockError] = []
        for index, spec in enumerate(specs):
            try:
                drafts.append(await self._draft(spec, f"{path}[{index}]", breath))
            except InvalidArgument as error:
                drafts.append(error)
        # Together, so that they share one look at what is registered.
        failure = await self._look_again(drafts, budget_s)
        accepted: list[NewJob | PenstockError] = []
        for draft in drafts:
            if isinstance(draft, PenstockError):
                accepted.append(draft)
            elif draft.verdict.accepts:
                accepted.append(draft.job)
            else:
                refusal = failure or await self._refusal(draft, breath)
                accepted.append(refusal or draft.job)
        return accepted

    async def _draft(self, spec: JobSpec, path: str, breath: Breath) -> _Draft:
        """The job, with what can be said of it now. Raises InvalidArgument."""
        limit, now_ms = self._max_payload_bytes, time.time_ns() // 1_000_000
        found = check_job(spec, path, max_payload=limit, now_ms=now_ms)
        if found:
            raise InvalidArgument(found)
        job = submit_convert.new_job(spec, spec.request_id or new_request_id())
        if job.cache is not None and not job.cache.key:
            work = await breath.take(len(job.payload.data), cache_convert.work_of, job.payload)
            job = replace(job, cache=replace(job.cache, key=work))
        path = f"{path}.payload.data"
        verdict = await self._schemas.judge(job.type, path, _json_of(job), breath)
        return _Draft(job, path, spec.options.allow_unregistered, verdict)

    async def _look_again(
        self, drafts: Iterable[_Draft | PenstockError], budget_s: float
    ) -> PenstockError | None:
        """Refreshes what is known, if that may change a verdict; returns what it failed with."""
        doubtful = [
            draft for draft in drafts if isinstance(draft, _Draft) and not draft.verdict.accepts
        ]
        fresh = self._schemas.is_fresh()
        if all(fresh and draft.may_be_unknown for draft in doubtful):
            return None
        try:
            await self._schemas.refresh(budget_s)
        except PenstockError as error:
            return error
        return None

    async def _refusal(self, draft: _Draft, breath: Breath) -> PenstockError | None:
        """What a job that was not accepted at once is refused with, if it is."""
        job, verdict = draft.job, draft.verdict
        if not self._schemas.holds(job.type, verdict):
            verdict = await self._schemas.judge(job.type, draft.path, _json_of(job), breath)
        return self._schemas.refusal(job.type, verdict, lenient=draft.lenient)


class _Draft(NamedTuple):
    """A job that keeps every rule but, perhaps, those of its type.

    Attributes:
        job: to be stored.
        path: of its payload's data within the request.
        lenient: it is accepted where its type is unknown.
        verdict: on its type and payload.
    """

    job: NewJob
    path: str
    lenient: bool
    verdict: Verdict

    @property
    def may_be_unknown(self) -> bool:
        """Whether it does not matter that its type is unknown."""
        return self.lenient and self.verdict.versions is None


def _json_of(job: NewJob) -> bytes | None:
    content = job.payload
    return content.data if is_json(content.content_type) else None
