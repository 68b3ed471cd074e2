"""From what a caller sent to a job that may be stored: every rule, every schema."""

from __future__ import annotations

import asyncio
import secrets
import time
from typing import TYPE_CHECKING

from penstock.broker import InvalidArgument, PenstockError
from penstock.server import convert
from penstock.server.payloads import is_json
from penstock.server.validation import check_job

if TYPE_CHECKING:
    from collections.abc import Sequence

    from penstock.broker import NewJob
    from penstock.server.admission import Admission
    from penstock.server.schemas import Schemas
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

    async def accept(self, spec: JobSpec, path: str, budget_s: float) -> NewJob:
        """The job to store.

        Raises:
            InvalidArgument: with every violation.
            FailedPrecondition: the type is unknown.
            Unavailable: Redis would have to be asked for the type, and cannot be.
            StorageFull: the server has no room for more jobs.
        """
        self._admission.check_room()
        return self._accept_now(spec, path) or await self._accept_after_all(spec, path, budget_s)

    async def accept_all(
        self, specs: Sequence[JobSpec], path: str, budget_s: float
    ) -> list[NewJob | PenstockError]:
        """As `accept`, for each of a batch: one that is wrong does not spoil the others."""
        self._admission.check_room()
        accepted: list[NewJob | PenstockError | None] = []
        for index, spec in enumerate(specs):
            try:
                accepted.append(self._accept_now(spec, f"{path}[{index}]"))
            except PenstockError as error:
                accepted.append(error)
        doubtful = [index for index, outcome in enumerate(accepted) if outcome is None]
        # Together, so that they share one look at what is registered.
        settled = await asyncio.gather(
            *(self._settle(specs[index], f"{path}[{index}]", budget_s) for index in doubtful)
        )
        answers = dict(zip(doubtful, settled, strict=True))
        return [outcome or answers[index] for index, outcome in enumerate(accepted)]

    def _accept_now(self, spec: JobSpec, path: str) -> NewJob | None:
        """The job, or None where the schemas need a closer look. Raises InvalidArgument."""
        limit, now_ms = self._max_payload_bytes, time.time_ns() // 1_000_000
        found = check_job(spec, path, max_payload=limit, now_ms=now_ms)
        if found:
            raise InvalidArgument(found)
        job = convert.new_job(spec, spec.request_id or new_request_id())
        return job if self._schemas.accepts(job.type, _json_of(job)) else None

    async def _accept_after_all(self, spec: JobSpec, path: str, budget_s: float) -> NewJob:
        job = convert.new_job(spec, spec.request_id or new_request_id())
        found = await self._schemas.check(
            job.type,
            f"{path}.payload.data",
            _json_of(job),
            lenient=spec.options.allow_unregistered,
            budget_s=budget_s,
        )
        if found:
            raise InvalidArgument(found)
        return job

    async def _settle(self, spec: JobSpec, path: str, budget_s: float) -> NewJob | PenstockError:
        try:
            return await self._accept_after_all(spec, path, budget_s)
        except PenstockError as error:
            return error


def _json_of(job: NewJob) -> bytes | None:
    content = job.payload
    return content.data if is_json(content.content_type) else None
