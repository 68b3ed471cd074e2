"""Replies that are lost after execution: the classic way to run a job twice."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from penstock.broker import Broker, Content, JobState, Progress, SubmitOutcome, Submitted
from tests.broker.relay import Relay, relay_to
from tests.broker.rig import Rig, tail_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from penstock.runtime.embedded import EmbeddedServer


@pytest.fixture
async def relay(server: EmbeddedServer) -> AsyncIterator[Relay]:
    """In front of the server of the rig."""
    async with relay_to(server.socket_path) as relay:
        yield relay


@pytest.mark.parametrize("replies", [1, 3])
async def test_a_submit_whose_reply_is_lost_makes_one_job(
    rig: Rig, relay: Relay, replies: int
) -> None:
    async with Broker(relay.url) as behind:
        relay.lose(b"the marked one", replies)
        receipt = await behind.jobs.submit(rig.new_job(payload=Content(b"the marked one")))
    assert relay.lost == replies
    assert receipt.outcome is SubmitOutcome.REPEATED
    assert (await rig.counters())["submitted"] == 1
    assert len(await rig.claim()) == 1


async def test_a_batch_whose_replies_are_lost_makes_each_job_once(rig: Rig, relay: Relay) -> None:
    specs = [rig.new_job(payload=Content(b"one of many")) for _ in range(200)]
    async with Broker(relay.url) as behind:
        relay.lose(b"one of many")
        answers = await behind.jobs.submit_many(specs)
    assert relay.lost == 1
    assert all(isinstance(answer, Submitted) for answer in answers)
    assert (await rig.counters())["submitted"] == len(specs)


@pytest.mark.parametrize("write", ["complete", "fail", "release", "report"])
async def test_a_workers_write_whose_reply_is_lost_counts_once(
    rig: Rig, relay: Relay, write: str
) -> None:
    grant = await rig.granted()
    async with Broker(relay.url) as behind:
        await behind.jobs.get(grant.job_id)
        relay.lose(tail_of(grant.job_id).encode())
        worker = Rig(behind, rig.slot)
        if write == "complete":
            await worker.complete(grant)
        elif write == "fail":
            assert await worker.fail(grant, retry_after_ms=60_000) is JobState.SCHEDULED
        elif write == "release":
            assert await worker.release(grant) is JobState.QUEUED
        else:
            events = [Progress(1, 2)]
            await behind.attempts.report(grant.job_id, grant.fencing_token, 1, events)
    assert relay.lost == 1
    assert (await rig.job(grant.job_id)).last_sequence == 3
