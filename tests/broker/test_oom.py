"""Memory is full: submits are refused cleanly, and what runs can come to its end."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from penstock.broker import (
    Broker,
    Content,
    JobState,
    Progress,
    Renewal,
    StorageFull,
    Submitted,
)
from tests.broker.rig import Rig

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from penstock.broker import Grant


@pytest.fixture
async def grants(rig: Rig) -> list[Grant]:
    """Running jobs, from before memory was short."""
    await rig.broker.jobs.submit_many([rig.new_job() for _ in range(10)])
    return await rig.claim()


@pytest.fixture
async def full(rig: Rig, grants: list[Grant]) -> AsyncIterator[Rig]:
    """The rig on a server whose memory is full."""
    assert grants
    await rig.submit(delay_ms=60_000)
    await rig.submit(expires_in_ms=60_000)
    await rig.call("CONFIG", "SET", "maxmemory", 1)
    yield rig
    await rig.call("CONFIG", "SET", "maxmemory", 0)


async def keys(rig: Rig) -> list[bytes]:
    return sorted(await rig.call("KEYS", "*"))


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"delay_ms": 60_000},
        {"payload": Content(b"x" * 1_000), "idempotency_key": "k", "expires_in_ms": 60_000},
        {"queue": "new"},
    ],
)
async def test_a_submit_is_refused_and_leaves_nothing_behind(
    full: Rig, options: dict[str, object]
) -> None:
    before = await keys(full)
    with pytest.raises(StorageFull):
        await full.submit(**options)
    (answer,) = await full.broker.jobs.submit_many([full.new_job(**options)])
    assert isinstance(answer, StorageFull)
    assert await keys(full) == before
    assert (await full.counters())["submitted"] == 12


async def test_waiting_jobs_are_granted_so_that_the_server_becomes_empty(full: Rig) -> None:
    full.broker.activity.forget()
    await full.broker.doorbell.idle("worker", [full.slot.queue_code])
    assert await full.claim()


async def test_running_jobs_renew_and_come_to_every_end(full: Rig, grants: list[Grant]) -> None:
    attempts = full.broker.attempts
    held = {grant.job_id: grant.fencing_token for grant in grants}
    assert set((await attempts.renew(held)).values()) == {Renewal.RENEWED}
    done, retried, dead, cancelled, released, later, lost, disowned, *_ = grants
    await attempts.complete(done.job_id, done.fencing_token, Content(b"x" * 1_000))
    assert (await full.job(done.job_id)).result == Content(b"x" * 1_000)
    assert await full.fail(retried) is JobState.SCHEDULED
    assert await full.fail(dead, "final") is JobState.FAILED
    await full.broker.jobs.cancel(cancelled.job_id, "stop")
    assert await full.fail(cancelled, "cancelled") is JobState.CANCELLED
    assert await full.release(released) is JobState.QUEUED
    assert await full.release(later, 60_000) is JobState.SCHEDULED
    assert await full.lose_lease(lost.job_id) == (1, 0)
    known = [g.job_id for g in grants if g is not disowned]
    assert await attempts.disown(full.slot, "worker", known) == 1


async def test_a_report_is_refused_and_may_be_repeated(full: Rig, grants: list[Grant]) -> None:
    grant, events = grants[0], [Progress(1, 2)]
    with pytest.raises(StorageFull):
        await full.broker.attempts.report(grant.job_id, grant.fencing_token, 1, events)
    assert (await full.job(grant.job_id)).last_sequence == 2


async def test_housekeeping_goes_on_and_makes_room(full: Rig, grants: list[Grant]) -> None:
    ((scheduled,), _) = await full.broker.jobs.list("q", [JobState.SCHEDULED])
    ((waiting,), _) = await full.broker.jobs.list("q", [JobState.QUEUED])
    await full.complete(grants[0])
    await full.broker.housekeeper.visit(full.slot)
    await full.broker.jobs.cancel(scheduled.job_id, "not now")
    assert await full.broker.queues.purge("q") == (1, False)
    assert await full.state(waiting.job_id) is JobState.CANCELLED
    assert await full.prune(keep=0) == 3


async def test_a_worker_that_comes_back_can_end_its_job(
    full: Rig, grants: list[Grant], url: str
) -> None:
    async with Broker(url) as broker:
        await Rig(broker, full.slot).complete(grants[0])
    assert await full.state(grants[0].job_id) is JobState.SUCCEEDED


async def test_when_there_is_room_again_everything_goes_on(full: Rig) -> None:
    await full.call("CONFIG", "SET", "maxmemory", 0)
    assert isinstance((await full.broker.jobs.submit_many([full.new_job()]))[0], Submitted)
    assert len(await full.claim()) == 2
