"""Attempts: whose write counts, how often, and what is held against a job."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from penstock.broker import FailureReason, JobState, Progress, StaleToken
from tests.broker.arrows import (
    COMPLETE,
    FAIL,
    FAIL_CANCELLED,
    FAIL_FINAL,
    FAIL_TIMEOUT,
    HOUR_MS,
    RELEASE,
    RELEASE_LATER,
    Operation,
    running,
)
from tests.broker.rig import FAILURE, RESULT

if TYPE_CHECKING:
    from tests.broker.rig import Rig

S, Q, R = JobState.SCHEDULED, JobState.QUEUED, JobState.RUNNING
D, F, C = JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED


async def test_a_lost_lease_makes_the_last_token_an_old_one(rig: Rig) -> None:
    grant = await running(rig)
    await rig.lose_lease(grant.job_id)
    before = await rig.snapshot()
    for operation in (COMPLETE, FAIL, RELEASE):
        with pytest.raises(StaleToken):
            await operation.act(rig, grant)
    assert await rig.snapshot() == before
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
    before = await rig.snapshot()
    await operation.act(rig, grant)
    assert await rig.snapshot() == before
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
    held = {grant.job_id: grant.fencing_token}
    assert (await attempts.renew(held))[grant.job_id].name == "CANCEL_REQUESTED"
    token = grant.fencing_token
    assert await attempts.report(grant.job_id, token, 1, [Progress(1, 2)]) is True
    await rig.fail(grant, "cancelled")
    job = await rig.job(grant.job_id)
    assert (job.state, job.cancel_reason, job.cancel_requested) == (C, "first", False)
