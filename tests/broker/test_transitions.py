"""The state machine: every arrow is taken by the real scripts, and nothing else ever moves a job.

`ARROWS` lists each way from one state to another. Whatever operation meets a job in a state from
which it has no arrow must leave no trace: not in the record, not in any structure.
"""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

import pytest

from penstock.broker import (
    TERMINAL,
    TRANSITIONS,
    Content,
    FailureReason,
    Grant,
    JobState,
    Progress,
    StaleToken,
)
from penstock.broker.reconciler import REPAIR
from tests.broker.rig import FAILURE, RESULT, pairs, states_of, tail_of

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


def test_the_arrows_tested_here_are_those_of_the_table_script_by_script() -> None:
    documented = {
        arrow: set(re.findall(r"\w+", reason.rpartition("(")[2]))
        for arrow, reason in TRANSITIONS.items()
    }
    tested: dict[tuple[JobState, JobState], set[str]] = {}
    for start, operation, _, end in ARROWS:
        tested.setdefault((start, end), set()).add(operation.script)
    assert tested == documented
    assert not any(start in TERMINAL for start, _ in TRANSITIONS)


@pytest.mark.parametrize(
    ("start", "operation", "circumstance", "end"),
    [
        pytest.param(*arrow, id=f"{arrow[0].name}-{arrow[1]}-{arrow[2] and arrow[2].__name__}")
        for arrow in ARROWS
    ],
)
async def test_an_arrow(
    rig: Rig, start: JobState, operation: Operation, circumstance: Act | None, end: JobState
) -> None:
    grant = await IN_STATE[start](rig)
    before = await rig.job(grant.job_id)
    for prepare in (circumstance, operation.before):
        if prepare:
            await prepare(rig, grant)
    await operation.act(rig, grant)

    after = await rig.job(grant.job_id)
    assert after.state is end
    assert after.last_sequence == before.last_sequence + 1
    assert states_of(await rig.events(grant.job_id))[-2:] == [start, end]
    assert (after.finished_ms is not None) == (end in TERMINAL)


@pytest.mark.parametrize(
    ("state", "operation"),
    [pytest.param(*pair, id=f"{pair[0].name}-{pair[1]}") for pair in FORBIDDEN],
)
async def test_what_has_no_arrow_leaves_no_trace(
    rig: Rig, state: JobState, operation: Operation
) -> None:
    grant = await IN_STATE[state](rig)
    if operation.before:
        await operation.before(rig, grant)
    before = await everything(rig)
    with suppress(StaleToken):
        await operation.act(rig, grant)
    assert await everything(rig) == before


@pytest.mark.parametrize("state", [state for state in JobState if state is not R])
async def test_renewing_a_job_that_is_not_running_tells_the_worker_to_stop(
    rig: Rig, state: JobState
) -> None:
    grant = await IN_STATE[state](rig)
    renewal = await rig.broker.attempts.renew({grant.job_id: grant.fencing_token})
    assert [answer.name for answer in renewal.values()] == ["LOST"]


@pytest.mark.parametrize(
    "operation",
    [COMPLETE, FAIL, FAIL_FINAL, FAIL_CANCELLED, RELEASE, RELEASE_LATER, *RUNNING_OPERATIONS],
    ids=str,
)
@pytest.mark.parametrize("state", list(JobState))
async def test_a_write_with_an_old_token_is_refused_in_every_state(
    rig: Rig, state: JobState, operation: Operation
) -> None:
    grant = await IN_STATE[state](rig)
    before = await everything(rig)
    old = replace(grant, fencing_token=grant.fencing_token - 1)
    if operation.script == "renew":
        await operation.act(rig, old)
    else:
        with pytest.raises(StaleToken) as refused:
            await operation.act(rig, old)
        assert refused.value.state is state
    assert await everything(rig) == before


async def test_a_lost_lease_makes_the_last_token_an_old_one(rig: Rig) -> None:
    grant = await running(rig)
    await rig.lose_lease(grant.job_id)
    before = await everything(rig)
    for operation in (COMPLETE, FAIL, RELEASE):
        with pytest.raises(StaleToken):
            await operation.act(rig, grant)
    assert await everything(rig) == before
    (again,) = await rig.claim()
    assert again.fencing_token > grant.fencing_token
    with pytest.raises(StaleToken):
        await rig.complete(grant)
    await rig.complete(again)


@pytest.mark.parametrize(
    ("operation", "end"),
    [(COMPLETE, D), (FAIL, S), (FAIL_FINAL, F), (FAIL_CANCELLED, C), (RELEASE_LATER, S)],
    ids=str,
)
async def test_a_workers_last_write_may_be_repeated_when_its_reply_was_lost(
    rig: Rig, operation: Operation, end: JobState
) -> None:
    grant = await running(rig)
    await operation.act(rig, grant)
    before = await everything(rig)
    await operation.act(rig, grant)
    assert await everything(rig) == before
    assert await rig.state(grant.job_id) is end


async def test_the_first_terminal_write_wins(rig: Rig) -> None:
    grant = await running(rig)
    await rig.broker.jobs.cancel(grant.job_id, "too late")
    await rig.complete(grant)
    with pytest.raises(StaleToken) as refused:
        await rig.fail(grant, "final")
    assert refused.value.state is D
    job = await rig.job(grant.job_id)
    assert (job.state, job.result, job.failure) == (D, RESULT, None)


@pytest.mark.parametrize(
    ("operation", "reason"),
    [
        (FAIL, FailureReason.EXHAUSTED),
        (FAIL_TIMEOUT, FailureReason.TIMED_OUT),
        (FAIL_FINAL, FailureReason.NON_RETRYABLE),
    ],
    ids=str,
)
async def test_a_dead_letter_keeps_its_reason(
    rig: Rig, operation: Operation, reason: FailureReason
) -> None:
    grant = await running(rig, max_attempts=1)
    await operation.act(rig, grant)
    failure = (await rig.job(grant.job_id)).failure
    assert failure is not None
    assert (failure.type, failure.message) == (FAILURE.type, FAILURE.message)
    assert failure.reason is reason
    assert (await rig.counters())[f"failed:{reason}"] == 1


async def test_a_job_that_waits_for_its_retry_says_why(rig: Rig) -> None:
    grant = await running(rig)
    await rig.fail(grant, retry_after_ms=HOUR_MS)
    assert (await rig.job(grant.job_id)).failure == FAILURE


async def test_crashes_are_counted_apart_and_quarantine_a_job(rig: Rig) -> None:
    job_id = await rig.submit(max_attempts=1)
    for crash in (1, 2):
        (grant,) = await rig.claim()
        assert (grant.attempt, grant.crashes, grant.failures) == (crash, crash - 1, 0)
        assert await rig.lose_lease(job_id) == (1, 0)
    (grant,) = await rig.claim()
    assert await rig.lose_lease(job_id) == (0, 1)
    job = await rig.job(job_id)
    assert (job.state, job.attempt, job.crashes) == (F, 3, 3)
    assert job.failure is not None
    assert job.failure.reason is FailureReason.QUARANTINED
    assert (await rig.counters())["lost"] == 3


async def test_failures_use_up_attempts_and_crashes_and_releases_do_not(rig: Rig) -> None:
    job_id = await rig.submit(max_attempts=2)
    (grant,) = await rig.claim()
    await rig.lose_lease(job_id)
    (grant,) = await rig.claim()
    await rig.release(grant)
    (grant,) = await rig.claim()
    assert (grant.attempt, grant.crashes, grant.failures) == (2, 1, 0)
    assert await rig.fail(grant) is S
    await rig.promote()
    (grant,) = await rig.claim()
    assert (grant.attempt, grant.crashes, grant.failures) == (3, 1, 1)
    assert await rig.fail(grant) is F


async def test_a_cancel_is_told_with_each_renewal_and_report_and_its_first_reason_stands(
    rig: Rig,
) -> None:
    grant = await rig.granted()
    attempts = rig.broker.attempts
    job = await rig.broker.jobs.cancel(grant.job_id, "first")
    assert (job.state, job.cancel_requested) == (R, True)
    await rig.broker.jobs.cancel(grant.job_id, "second")
    assert (await attempts.renew({grant.job_id: 1}))[grant.job_id].name == "CANCEL_REQUESTED"
    assert await attempts.report(grant.job_id, 1, 1, [Progress(1, 2)]) is True
    await rig.fail(grant, "cancelled")
    job = await rig.job(grant.job_id)
    assert (job.state, job.cancel_reason, job.cancel_requested) == (C, "first", False)


async def everything(rig: Rig) -> dict[bytes, object]:
    """All that is stored in the slot, but counters and what is empty."""
    found: dict[bytes, object] = {}
    for key in await rig.call("KEYS", rig.slot.base + b":*"):
        kind = await rig.call("TYPE", key)
        if b":t:" in key:
            continue
        if kind == b"hash":
            found[key] = pairs(await rig.call("HGETALL", key))
        elif kind == b"zset":
            found[key] = await rig.call("ZRANGE", key, 0, -1, "WITHSCORES")
        elif kind == b"stream":
            found[key] = await rig.call("XRANGE", key, "-", "+")
        elif kind == b"list":
            found[key] = await rig.call("LRANGE", key, 0, -1)
        else:
            found[key] = await rig.call("GET", key)
    return {key: value for key, value in found.items() if value}
