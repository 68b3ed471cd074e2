"""The workers' side of the broker: claim, renew, report, end attempts. Every write is fenced."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from typing import TYPE_CHECKING, Any, Final

from penstock.broker.engine import DEFAULT_BUDGET_S, SCRIPT_BATCH, Engine
from penstock.broker.errors import PenstockError, StaleToken
from penstock.broker.event import Chunk, LogLine
from penstock.broker.grant import Grant, Renewal
from penstock.broker.job import Content, JobState, Progress
from penstock.broker.new_job import DEFAULTS
from penstock.broker.record import INLINE_BYTES, decode_grant, fields_of
from penstock.broker.script import load_script

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from penstock.broker.activity import Activity
    from penstock.broker.cache import Cache
    from penstock.broker.cache_keys import CacheTarget
    from penstock.broker.doorbell import Doorbell
    from penstock.broker.job import Failure
    from penstock.broker.keys import Slot
    from penstock.broker.pipeline import Arg
    from penstock.broker.script import Script

CLAIM = load_script("claim")
BEGIN = load_script("begin")
RENEW = load_script("renew")
PROGRESS = load_script("progress")
CHECKPOINT = load_script("checkpoint")
COMPLETE = load_script("complete")
FAIL = load_script("fail")
RELEASE = load_script("release")
DISOWN = load_script("disown")

#: One look passes by some hundred jobs that may not run now; a claim makes no more looks than this.
LOOKS_PER_CLAIM: Final = 100


class Attempts:
    """What a worker may do with the jobs it is granted."""

    def __init__(
        self, engine: Engine, activity: Activity, cache: Cache, doorbell: Doorbell
    ) -> None:
        self._engine = engine
        self._activity = activity
        self._cache = cache
        self._doorbell = doorbell

    async def claim(
        self,
        slot: Slot,
        worker_id: str,
        count: int,
        lease_ms: int,
        order: str = "hdl",
        *,
        max_crashes: int | None = None,
    ) -> list[Grant]:
        """Grants of up to count waiting jobs (at most 100), by priorities in the given order.

        With max_crashes, jobs that one more crash would have quarantined are granted as suspects.

        Not repeated by itself: after ConnectionLost, jobs may have been granted that nobody knows
        of; call `disown` with what is held.
        """
        await self._activity.mark(slot)
        queue = self._engine.queue_name(slot.queue_code)
        grants: list[Grant] = []
        for _ in range(LOOKS_PER_CLAIM):
            wanted = min(count - len(grants), SCRIPT_BATCH)
            more, *rows = await CLAIM.run(
                self._engine.link,
                [slot.base],
                [worker_id, wanted, lease_ms, order, max_crashes or ""],
            )
            grants += [
                decode_grant(
                    slot.job_id(tail.decode()),
                    queue,
                    fields_of(flat),
                    payload=payload,
                    checkpoint=checkpoint,
                )
                for tail, checkpoint, payload, flat in rows
            ]
            if not more:
                break
        return grants

    async def disown(
        self, slot: Slot, worker_id: str, held: Iterable[str], budget_s: float = DEFAULT_BUDGET_S
    ) -> int:
        """Hands back what a lost reply granted: the worker's leases but those held (job ids).

        Costs no attempt. Returns how many were handed back.
        """
        tails = [(await self._engine.locate(job_id, budget_s))[1] for job_id in held]
        back: int = await self._engine.run(
            DISOWN, [slot.base], worker_id, *tails, budget_s=budget_s
        )
        return back

    async def renew(
        self, held: Mapping[str, int], budget_s: float = DEFAULT_BUDGET_S
    ) -> dict[str, Renewal]:
        """Renews leases: fencing tokens by job id. One call per slot and 100 jobs, all at once.

        Leases whose call failed are missing from the answer, so that one slot's fault costs no
        other slot its leases.

        Raises:
            PenstockError: all calls failed; the first error.
        """
        by_slot: defaultdict[Slot, list[tuple[str, str, int]]] = defaultdict(list)
        for job_id, token in held.items():
            slot, tail, _ = await self._engine.locate(job_id, budget_s)
            by_slot[slot].append((job_id, tail, token))
        answers = await asyncio.gather(
            *(
                self._renew(slot, leases[start : start + SCRIPT_BATCH], budget_s)
                for slot, leases in by_slot.items()
                for start in range(0, len(leases), SCRIPT_BATCH)
            ),
            return_exceptions=True,
        )
        renewed: dict[str, Renewal] = {}
        errors: list[PenstockError] = []
        for answer in answers:
            if isinstance(answer, PenstockError):
                errors.append(answer)
            elif isinstance(answer, BaseException):
                raise answer
            else:
                renewed.update(answer)
        if errors and not renewed:
            raise errors[0]
        return renewed

    async def _renew(
        self, slot: Slot, leases: Sequence[tuple[str, str, int]], budget_s: float
    ) -> dict[str, Renewal]:
        args: list[Arg] = []
        for _, tail, token in leases:
            args += (tail, token)
        answers = await self._engine.run(RENEW, [slot.base], *args, budget_s=budget_s)
        return {
            job_id: Renewal(answer) for (job_id, _, _), answer in zip(leases, answers, strict=True)
        }

    async def begin(self, job_id: str, token: int, budget_s: float = DEFAULT_BUDGET_S) -> None:
        """Says that a suspect is run from now on, alone. Raises StaleToken."""
        reply = await self._write(BEGIN, job_id, token, budget_s=budget_s)
        if reply[0] != b"begun":
            raise StaleToken(job_id, _state(reply[1]))

    async def report(
        self,
        job_id: str,
        token: int,
        number: int,
        events: Sequence[Progress | Chunk | LogLine],
        budget_s: float = DEFAULT_BUDGET_S,
    ) -> bool:
        """Appends events of a running attempt, 1 to 100. Returns whether a cancel is requested.

        number counts the reports of the attempt: 1, 2, 3 ... one after another. A report whose
        reply was lost is repeated under its number, and stored once.

        Raises:
            StaleToken: the attempt is over.
        """
        args: list[Arg] = [token, number]
        for event in events:
            args += _event_args(event)
        reply = await self._write(PROGRESS, job_id, *args, budget_s=budget_s)
        if reply[0] != b"stored":
            raise StaleToken(job_id, _state(reply[1]))
        return bool(reply[2])

    async def checkpoint(
        self, job_id: str, token: int, data: bytes, budget_s: float = DEFAULT_BUDGET_S
    ) -> None:
        """Saves data for the next attempt, in place of what was saved. Raises StaleToken."""
        reply = await self._write(CHECKPOINT, job_id, token, data, budget_s=budget_s)
        if reply[0] != b"stored":
            raise StaleToken(job_id, _state(reply[1]))

    async def invalidate(self, targets: Sequence[CacheTarget]) -> None:
        """As `Cache.invalidate`: not fenced, since too much of it does no harm."""
        await self._cache.invalidate(targets)

    async def complete(
        self, job_id: str, token: int, result: Content, budget_s: float = DEFAULT_BUDGET_S
    ) -> None:
        """The handler returned: SUCCEEDED. Raises StaleToken if the attempt was over before."""
        await self._end(
            COMPLETE,
            {JobState.SUCCEEDED},
            job_id,
            token,
            result.content_type,
            result.data,
            INLINE_BYTES,
            budget_s=budget_s,
        )

    async def fail(  # noqa: PLR0917 - one more than five; each has its place in the call.
        self,
        job_id: str,
        token: int,
        kind: str,
        failure: Failure,
        retry_after_ms: int = 0,
        budget_s: float = DEFAULT_BUDGET_S,
    ) -> JobState:
        """The attempt ended without a result. Returns the state that it led to.

        Args:
            job_id: whose attempt it was.
            token: fencing token of the attempt.
            kind: error or timeout (tried again while attempts are left), final (never tried again),
                cancelled (the handler stopped for a cancel), expired (the deadline passed).
            failure: what the handler raised.
            retry_after_ms: pause before a retry.
            budget_s: how long to try.

        Raises:
            StaleToken: the attempt was over before.
        """
        ends = {JobState.SCHEDULED, JobState.FAILED, JobState.CANCELLED, JobState.EXPIRED}
        state = await self._end(
            FAIL,
            ends,
            job_id,
            token,
            kind,
            failure.type,
            failure.message,
            retry_after_ms,
            DEFAULTS.max_attempts,
            budget_s=budget_s,
        )
        await self._expect(job_id, state, retry_after_ms, budget_s)
        return state

    async def release(
        self,
        job_id: str,
        token: int,
        reason: str,
        pause_ms: int = 0,
        *,
        misrouted: bool = False,
        budget_s: float = DEFAULT_BUDGET_S,
    ) -> JobState:
        """Hands the job back unfinished, at no cost of an attempt. Returns the state it led to.

        misrouted counts it as one whose worker has no handler for its type. Raises StaleToken.
        """
        counter = "misrouted" if misrouted else "released"
        ends = {JobState.QUEUED, JobState.SCHEDULED, JobState.CANCELLED, JobState.EXPIRED}
        state = await self._end(
            RELEASE, ends, job_id, token, pause_ms, reason, counter, budget_s=budget_s
        )
        await self._expect(job_id, state, pause_ms, budget_s)
        return state

    async def _write(self, script: Script, job_id: str, *args: Arg, budget_s: float) -> Any:  # noqa: ANN401 - each caller knows the shape of its script's reply.
        slot, tail, _ = await self._engine.locate(job_id, budget_s)
        return await self._engine.run(script, [slot.base], tail, *args, budget_s=budget_s)

    async def _expect(self, job_id: str, state: JobState, in_ms: int, budget_s: float) -> None:
        """Has a job that comes due before the next visit of its slot queued in time."""
        if state is JobState.SCHEDULED:
            slot, _, _ = await self._engine.locate(job_id, budget_s)
            self._activity.agenda.expect(slot, in_ms / 1000)

    async def _end(
        self, script: Script, ends: Collection[JobState], job_id: str, *args: Arg, budget_s: float
    ) -> JobState:
        """Ends an attempt. Returns the state that it led to.

        Whoever leaves a place to another job rings for it. Where the reply was lost, so is the
        ring: then it costs a worker's poll interval.
        """
        slot, tail, _ = await self._engine.locate(job_id, budget_s)
        kind, letter, *rings = await self._engine.run(
            script, [slot.base], tail, *args, budget_s=budget_s
        )
        if any(rings):
            self._doorbell.ring_soon(slot)
        state = _state(letter)
        # 'repeated' is our own write, whose reply was lost.
        if kind == b"stale" or state is None or state not in ends:
            raise StaleToken(job_id, state)
        return state


def _state(letter: bytes) -> JobState | None:
    return JobState(letter.decode()) if letter else None


def _event_args(event: Progress | Chunk | LogLine) -> tuple[Arg, ...]:
    match event:
        case Progress():
            return "p", repr(event.current), repr(event.total), event.message
        case Chunk():
            return "c", event.data
        case LogLine():
            return "l", f"{event.level} {event.message}"
