"""The live schemas of job types, kept ready to judge payloads by."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

import structlog
from jsonschema_rs import RegexOptions, ValidationError, Validator, validator_for

from penstock.broker import FailedPrecondition, PenstockError, Unavailable
from penstock.runtime import Periodic
from penstock.server.payloads import judge

if TYPE_CHECKING:
    from collections.abc import Mapping

    from penstock.broker.registry import Registry

__all__ = ["Schemas"]

Violation = tuple[str, str]

REFRESH_EVERY_S: Final = 3.0
#: Payloads beyond it are judged in a thread, so that the loop goes on meanwhile.
INLINE_BYTES: Final = 65_536
#: Most types that an error names.
MAX_NAMED: Final = 32

_log = structlog.get_logger(__name__)


class Schemas(Periodic):
    """Judges types and payloads by what workers registered.

    What is known is refreshed every few seconds, and at once before anything is refused, so that a
    type or a version that was registered a moment ago counts.
    """

    def __init__(self, registry: Registry, refresh_every_s: float = REFRESH_EVERY_S) -> None:
        super().__init__(interval_s=refresh_every_s, stop_grace_s=0.5)
        self._registry = registry
        self._refresh_every_s = refresh_every_s
        self._types: Mapping[str, tuple[str, ...]] = {}
        # By digest; None is a schema that cannot be used.
        self._validators: dict[str, Validator | None] = {}
        self._refreshing = asyncio.Lock()
        self._refreshed_at = float("-inf")

    async def tick(self) -> None:
        """Refreshes, where Redis can be reached."""
        try:
            await self.refresh(self._refresh_every_s)
        except PenstockError as error:
            _log.debug("schemas not refreshed", reason=str(error))

    def accepts(self, job_type: str, data: bytes | None) -> bool:
        """Whether the job can be accepted here and now; False means that `check` must be asked.

        Args:
            job_type: of the job.
            data: its payload, None if it is not JSON.
        """
        digests = self._types.get(job_type)
        if digests is None:
            return False
        if data is None:
            return True
        if len(data) > INLINE_BYTES:
            return False
        usable = self._usable(digests)
        return bool(usable or not digests) and not judge("", data, usable)

    async def check(
        self, job_type: str, path: str, data: bytes | None, *, lenient: bool, budget_s: float
    ) -> list[Violation]:
        """What is wrong with the payload of a job that was not accepted at once.

        Args:
            job_type: of the job.
            path: of the payload's data within the request.
            data: the payload, None if it is not JSON.
            lenient: an unknown type is accepted, with any payload that is JSON.
            budget_s: how long to try to reach Redis.

        Raises:
            FailedPrecondition: the type is unknown, or has schemas that cannot be used.
            Unavailable: Redis would have to be asked, and cannot be.
        """
        if not (lenient and job_type not in self._types and self._is_fresh()):
            await self.refresh(budget_s)
        digests = self._types.get(job_type)
        if digests is None and not lenient:
            raise self._unknown(job_type)
        if data is None:
            return []
        usable = self._usable(digests or ())
        if digests and not usable:
            raise FailedPrecondition(
                "SCHEMA_UNUSABLE",
                f"the schema that workers registered for {job_type} cannot be used; the gateway's "
                "log tells why",
                {"job_type": job_type},
            )
        if len(data) <= INLINE_BYTES:
            return judge(path, data, usable)
        return await asyncio.to_thread(judge, path, data, usable)

    async def refresh(self, budget_s: float) -> None:
        """Reads what is registered, after this call began; callers share one reading.

        Raises:
            Unavailable: Redis cannot be asked within budget_s.
        """
        loop = asyncio.get_running_loop()
        asked_at = loop.time()
        try:
            # The budget includes the wait for a reading that began before.
            async with asyncio.timeout(budget_s), self._refreshing:
                if self._refreshed_at < asked_at:
                    began = loop.time()
                    await self._read(asked_at + budget_s - began)
                    self._refreshed_at = began
        except TimeoutError:
            raise Unavailable("what is registered could not be read in time") from None

    async def _read(self, budget_s: float) -> None:
        types = await self._registry.types(budget_s)
        live = {digest for digests in types.values() for digest in digests}
        for digest in live - self._validators.keys():
            schema = await self._registry.schema(digest, budget_s)
            self._validators[digest] = _compile(digest, schema)
        for digest in self._validators.keys() - live:
            del self._validators[digest]
        self._types = types

    def _is_fresh(self) -> bool:
        age_s = asyncio.get_running_loop().time() - self._refreshed_at
        return age_s < self._refresh_every_s

    def _usable(self, digests: tuple[str, ...]) -> list[Validator]:
        known = [self._validators.get(digest) for digest in digests]
        return [validator for validator in known if validator is not None]

    def _unknown(self, job_type: str) -> FailedPrecondition:
        names = sorted(self._types)
        named = ", ".join(names[:MAX_NAMED]) + (", ..." if len(names) > MAX_NAMED else "")
        return FailedPrecondition(
            "UNKNOWN_JOB_TYPE",
            f"no worker has registered the job type {job_type}; known: {named or 'none'} "
            "(allow_unregistered accepts it all the same)",
            {"job_type": job_type, "known_types": named},
        )


def _compile(digest: str, schema: dict[str, object]) -> Validator | None:
    """A validator that fetches nothing, and whose patterns take linear time."""
    try:
        return validator_for(schema, pattern_options=RegexOptions(), offline=True)
    except (ValidationError, ValueError) as error:
        # Such as a pattern that looks around, or a reference to elsewhere.
        _log.error("schema cannot be used", digest=digest, reason=str(error))
        return None
