"""The arrows of the state machine as the tests take them: states, operations, circumstances.

`ARROWS` lists each way from one state to another; every other pair of a state and an operation is
in `FORBIDDEN`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from penstock.broker import Content, Grant, JobState, Progress
from penstock.broker.reconciler import REPAIR
from tests.broker.rig import tail_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tests.broker.rig import Rig

    Act = Callable[[Rig, Grant], Awaitable[object]]

HOUR_MS: Final = 3_600_000
S, Q, R = JobState.SCHEDULED, JobState.QUEUED, JobState.RUNNING
D, F, C, E = JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED, JobState.EXPIRED

#: A submit that can be repeated; its payload has a key of its own.
SUBMIT: Final[dict[str, Any]] = {
    "request_id": "the one",
    "payload": Content(b"[" + b" " * 100 + b"]"),
}


# How a job comes into each state, with a grant that was, or is, the newest one.


async def running(rig: Rig, **options: Any) -> Grant:  # noqa: ANN401 - the fields of NewJob.
    """In its second grant, so that there is a stale token; with a checkpoint."""
    first = await rig.granted(**SUBMIT, **options)
    await rig.broker.attempts.checkpoint(first.job_id, first.fencing_token, b"half")
    await rig.release(first)
    (grant,) = await rig.claim()
    return grant


async def scheduled(rig: Rig) -> Grant:
    grant = await running(rig)
    assert await rig.fail(grant, retry_after_ms=HOUR_MS) is S
    return grant


async def queued(rig: Rig) -> Grant:
    grant = await running(rig)
    assert await rig.release(grant) is Q
    return grant


async def succeeded(rig: Rig) -> Grant:
    grant = await running(rig)
    await rig.complete(grant)
    return grant


async def failed(rig: Rig) -> Grant:
    grant = await running(rig)
    assert await rig.fail(grant, "final") is F
    return grant


async def cancelled(rig: Rig) -> Grant:
    grant = await running(rig)
    assert await rig.fail(grant, "cancelled") is C
    return grant


async def expired(rig: Rig) -> Grant:
    grant = await running(rig)
    assert await rig.fail(grant, "expired") is E
    return grant


IN_STATE: Final = {
    S: scheduled, Q: queued, R: running, D: succeeded, F: failed, C: cancelled, E: expired,
}  # fmt: skip


# What may befall a job. `before` is no operation, but what time or a caller did by then.


@dataclass(frozen=True)
class Operation:
    """One script, called in one way."""

    script: str
    act: Act
    before: Act | None = None
    variant: str = ""

    def __str__(self) -> str:
        return f"{self.script} {self.variant}".strip()


def failing(kind: str, retry_after_ms: int = HOUR_MS) -> Act:
    return lambda rig, grant: rig.fail(grant, kind, retry_after_ms)


async def come_due(rig: Rig, grant: Grant) -> None:
    await rig.come_due(grant.job_id)


async def pass_deadline(rig: Rig, grant: Grant) -> None:
    await rig.pass_deadline(grant.job_id)


async def request_cancel(rig: Rig, grant: Grant) -> None:
    await rig.broker.jobs.cancel(grant.job_id, "enough")


async def use_up_attempts(rig: Rig, grant: Grant) -> None:
    await rig.call("HSET", rig.slot.record(tail_of(grant.job_id)), "m", 1)


async def report(rig: Rig, grant: Grant) -> None:
    await rig.broker.attempts.report(grant.job_id, grant.fencing_token, 1, [Progress(1, 2)])


async def reclaim_moved(rig: Rig, grant: Grant) -> None:
    """What an observer tries that missed the last renewal."""
    await rig.lose_lease(grant.job_id, tick=(await rig.tick(grant.job_id) or 1) - 1)


PROMOTE = Operation("promote", lambda rig, _: rig.promote(), come_due)
EXPIRE = Operation("expire", lambda rig, _: rig.expire(), pass_deadline)
CLAIM = Operation("claim", lambda rig, _: rig.claim())
CANCEL = Operation("cancel", lambda rig, grant: rig.broker.jobs.cancel(grant.job_id, "enough"))
PURGE = Operation("purge", lambda rig, _: rig.broker.queues.purge("q"))
COMPLETE = Operation("complete", lambda rig, grant: rig.complete(grant))
FAIL = Operation("fail", failing("error"))
FAIL_TIMEOUT = Operation("fail", failing("timeout"), variant="by timeout")
FAIL_FINAL = Operation("fail", failing("final"), variant="for good")
FAIL_CANCELLED = Operation("fail", failing("cancelled"), variant="for a cancel")
FAIL_EXPIRED = Operation("fail", failing("expired"), variant="at the deadline")
RELEASE = Operation("release", lambda rig, grant: rig.release(grant))
RELEASE_LATER = Operation(
    "release", lambda rig, grant: rig.release(grant, HOUR_MS), variant="with a pause"
)
RECLAIM = Operation("reclaim", lambda rig, grant: rig.lose_lease(grant.job_id))
DISOWN = Operation("disown", lambda rig, _: rig.broker.attempts.disown(rig.slot, "worker", []))

#: These have no arrow at all, whatever state they meet.
IDLE_OPERATIONS: Final = [
    Operation("promote", lambda rig, _: rig.promote(), variant="before its time"),
    Operation("expire", lambda rig, _: rig.expire(), variant="before its deadline"),
    Operation("prune", lambda rig, _: rig.prune(), variant="within its retention"),
    Operation("reclaim", reclaim_moved, variant="of a lease that moved"),
    Operation(
        "disown",
        lambda rig, _: rig.broker.attempts.disown(rig.slot, "another", []),
        variant="by another worker",
    ),
    Operation(
        "disown",
        lambda rig, grant: rig.broker.attempts.disown(rig.slot, "worker", [grant.job_id]),
        variant="of what is held",
    ),
    Operation("submit", lambda rig, _: rig.receipt(**SUBMIT), variant="repeated"),
    Operation(
        "repair",
        lambda rig, grant: rig.broker.engine.run(REPAIR, [rig.slot.base], tail_of(grant.job_id)),
    ),
]

#: These write into a RUNNING job, and leave it RUNNING.
RUNNING_OPERATIONS: Final = [
    Operation(
        "renew",
        lambda rig, grant: rig.broker.attempts.renew({grant.job_id: grant.fencing_token}),
    ),
    Operation("progress", report),
    Operation(
        "checkpoint",
        lambda rig, grant: rig.broker.attempts.checkpoint(
            grant.job_id, grant.fencing_token, b"more"
        ),
    ),
]

#: Every way of every arrow: from, operation, circumstance or none, to.
ARROWS: Final[list[tuple[JobState, Operation, Act | None, JobState]]] = [
    (S, PROMOTE, None, Q),
    (S, CANCEL, None, C),
    (S, PURGE, None, C),
    (S, EXPIRE, None, E),
    (Q, CLAIM, None, R),
    (Q, CLAIM, pass_deadline, E),
    (Q, CANCEL, None, C),
    (Q, PURGE, None, C),
    (Q, EXPIRE, None, E),
    (R, COMPLETE, None, D),
    (R, FAIL, None, S),
    (R, FAIL, use_up_attempts, F),
    (R, FAIL, request_cancel, C),
    (R, FAIL, pass_deadline, E),
    (R, FAIL_TIMEOUT, None, S),
    (R, FAIL_TIMEOUT, use_up_attempts, F),
    (R, FAIL_FINAL, None, F),
    (R, FAIL_CANCELLED, None, C),
    (R, FAIL_EXPIRED, None, E),
    (R, RELEASE, None, Q),
    (R, RELEASE, request_cancel, C),
    (R, RELEASE, pass_deadline, E),
    (R, RELEASE_LATER, None, S),
    (R, RELEASE_LATER, request_cancel, C),
    (R, RECLAIM, None, Q),
    (R, RECLAIM, request_cancel, C),
    (R, RECLAIM, pass_deadline, E),
    (
        R,
        Operation("reclaim", lambda rig, g: rig.lose_lease(g.job_id, max_crashes=1)),
        None,
        F,
    ),
    (R, DISOWN, None, Q),
    (R, DISOWN, request_cancel, C),
]

OPERATIONS: Final = list(
    dict.fromkeys(
        [
            *(operation for _, operation, _, _ in ARROWS),
            *IDLE_OPERATIONS,
            *RUNNING_OPERATIONS,
        ]
    )
)
_MOVES: Final = {(start, operation) for start, operation, _, _ in ARROWS}
_WRITES: Final = {(R, operation) for operation in (*RUNNING_OPERATIONS, CANCEL)}
FORBIDDEN: Final = [
    (state, operation)
    for state in JobState
    for operation in OPERATIONS
    if (state, operation) not in _MOVES | _WRITES
]
