"""The live schemas of job types, kept ready to judge payloads by."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final, NamedTuple

import structlog
from jsonschema_rs import RegexOptions, ValidationError, Validator, validator_for

from penstock.broker import FailedPrecondition, InvalidArgument, PenstockError, Unavailable
from penstock.runtime import Periodic

if TYPE_CHECKING:
    from collections.abc import Mapping

    from penstock.broker.registry import Registry
    from penstock.server.breath import Breath

__all__ = ["Schemas", "Verdict"]

REFRESH_EVERY_S: Final = 3.0
#: A type that is gone from the server is still accepted for so long (s): where a power cut took it,
#: workers register it again, at once when they reconnect, or within 10 s.
VANISHED_FOR_S: Final = 15.0
#: Most types that an error names.
MAX_NAMED: Final = 32

_log = structlog.get_logger(__name__)


class Verdict(NamedTuple):
    """What can be said of a job's type and payload, by what was known then.

    Attributes:
        versions: digests of the type's schemas; None for an unknown type.
        violations: of the payload; None where no schema of the type can be used.
    """

    versions: tuple[str, ...] | None
    violations: tuple[tuple[str, str], ...] | None

    @property
    def accepts(self) -> bool:
        """Whether nothing stands against the job."""
        return self.versions is not None and self.violations == ()


class Schemas(Periodic):
    """Judges types and payloads by what workers registered.

    What is known is refreshed every few seconds, and at once before anything is refused, so that a
    type or a version that was registered a moment ago counts.
    """

    def __init__(self, registry: Registry, refresh_every_s: float = REFRESH_EVERY_S) -> None:
        super().__init__(interval_s=refresh_every_s, stop_grace_s=0.0, expendable=True)
        self._registry = registry
        self._refresh_every_s = refresh_every_s
        self._types: Mapping[str, tuple[str, ...]] = {}
        # Of those, what the server has no more: when it was first missed (s, the loop's clock).
        self._vanished: dict[str, float] = {}
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

    async def judge(self, job_type: str, path: str, data: bytes | None, breath: Breath) -> Verdict:
        """What can be said of a job here and now, without asking Redis.

        Args:
            job_type: of the job.
            path: of the payload's data within the request.
            data: the payload, None if it is not JSON.
            breath: of the call.
        """
        versions = self._types.get(job_type)
        usable = self._usable(versions or ())
        if data is None:
            return Verdict(versions, ())
        if versions and not usable:
            return Verdict(versions, None)
        return Verdict(versions, tuple(await breath.judge(path, data, usable)))

    def holds(self, job_type: str, verdict: Verdict) -> bool:
        """Whether the verdict would be the same by what is known now."""
        # A schema that could not be used may have been read since, under the same digest.
        return verdict.violations is not None and self._types.get(job_type) == verdict.versions

    def is_fresh(self) -> bool:
        """Whether what is known was read within the last few seconds."""
        age_s = asyncio.get_running_loop().time() - self._refreshed_at
        return age_s < self._refresh_every_s

    def refusal(self, job_type: str, verdict: Verdict, *, lenient: bool) -> PenstockError | None:
        """What a job is refused with; None if it is accepted.

        Args:
            job_type: of the job.
            verdict: on it, which holds.
            lenient: an unknown type is accepted, with any payload that is JSON.
        """
        if verdict.versions is None and not lenient:
            return self._unknown(job_type)
        if verdict.violations is None:
            return FailedPrecondition(
                "SCHEMA_UNUSABLE",
                f"the schema that workers registered for {job_type} cannot be used; the gateway's "
                "log tells why",
                {"job_type": job_type},
            )
        return InvalidArgument(verdict.violations) if verdict.violations else None

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
            late = Unavailable("what is registered could not be read in time")
            raise self._registry.trouble or late from None

    async def _read(self, budget_s: float) -> None:
        types = await self._registry.types(budget_s)
        types |= self._lost_lately(types)
        live = {digest for digests in types.values() for digest in digests}
        for digest in live - self._validators.keys():
            schema = await self._registry.schema(digest, budget_s)
            if schema is not None:  # Else another version is there by now: the next reading tells.
                self._validators[digest] = _compile(digest, schema)
        for digest in self._validators.keys() - live:
            del self._validators[digest]
        self._types = types

    def _lost_lately(self, found: Mapping[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
        """The types that were known and are not found, but for those missed for too long."""
        now_s = asyncio.get_running_loop().time()
        missed = self._types.keys() - found.keys()
        self._vanished = {name: self._vanished.get(name, now_s) for name in missed}
        return {
            name: self._types[name]
            for name, at_s in self._vanished.items()
            if now_s - at_s < VANISHED_FOR_S
        }

    def _usable(self, digests: tuple[str, ...]) -> list[Validator]:
        known = [self._validators.get(digest) for digest in digests]
        return [validator for validator in known if validator is not None]

    def _unknown(self, job_type: str) -> FailedPrecondition:
        names = sorted(self._types)
        named = ", ".join(names[:MAX_NAMED]) + (", ..." if len(names) > MAX_NAMED else "")
        return FailedPrecondition(
            "UNKNOWN_JOB_TYPE",
            f"no worker has registered the job type {job_type}; known: {named or 'none'}",
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
