"""Data that the first version stored, before there was a cache, a schedule or a limit, and we."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

import pytest

from penstock.broker import TERMINAL, Broker, Content, JobState, SubmitOutcome, UnsafeServer
from penstock.broker.keys import DATA_FORMAT
from tests.broker.audit import audit
from tests.broker.rig import Rig
from tests.support.stored import put_back, take_out

STORED: Final[dict[str, Any]] = json.loads(
    Path(__file__).resolve().parents[1].joinpath("data", "format-1.json").read_text()
)


@pytest.fixture
async def rigs(broker: Broker) -> list[Rig]:
    """The old data's queue, a rig for each partition."""
    await broker.link.call("FLUSHALL")
    await put_back(broker.link.call, STORED)
    await broker._examine(broker.link)
    (queue,) = await broker.engine.queues()
    return [Rig(broker, slot) for slot in broker.engine.slots(queue)]


def rig_of(rigs: list[Rig], job_id: str) -> Rig:
    (rig,) = [rig for rig in rigs if job_id.startswith(rig.slot.job_id(""))]
    return rig


async def test_old_jobs_are_read_as_they_were(rigs: list[Rig]) -> None:
    assert {job["state"] for job in STORED["jobs"].values()} == {state.name for state in JobState}
    for job_id, expected in STORED["jobs"].items():
        job = await rigs[0].job(job_id)
        assert job.payload is not None
        assert {
            "state": job.state.name,
            "attempt": job.attempt,
            "payload": job.payload.data.decode(),
            "result": job.result.data.decode() if job.result else None,
            "events": (await rigs[0].broker.jobs.events(job_id)).last_sequence,
        } == expected
    assert await audit(rigs[0].broker) == []


async def test_old_jobs_go_on_to_their_ends(rigs: list[Rig]) -> None:
    jobs = rigs[0].broker.jobs
    for job_id, job in STORED["jobs"].items():
        rig = rig_of(rigs, job_id)
        if job["state"] == "RUNNING":
            await rig.lose_lease(job_id)
        elif job["state"] == "SCHEDULED":
            await rig.come_due(job_id)
    for rig in rigs:
        await rig.promote()
        while grants := await rig.claim():
            for grant in grants:
                await rig.complete(grant)
    states = {job_id: (await jobs.get(job_id)).state for job_id in STORED["jobs"]}
    assert set(states.values()) <= TERMINAL
    for job_id, job in STORED["jobs"].items():
        if JobState[job["state"]] in TERMINAL:
            assert states[job_id].name == job["state"]
    ended = [state for job_id, state in states.items() if _was_live(job_id)]
    assert ended.count(JobState.CANCELLED) == 2  # Those that somebody had asked to stop.
    assert ended.count(JobState.SUCCEEDED) == len(ended) - 2
    assert await audit(rigs[0].broker) == []


def _was_live(job_id: str) -> bool:
    return JobState[STORED["jobs"][job_id]["state"]] not in TERMINAL


async def test_an_old_request_repeated_is_the_old_job(rigs: list[Rig]) -> None:
    rig = rigs[0]
    jobs = len(await rig.call("KEYS", "ps{*:j:*"))
    again = await rig.receipt(request_id="r1")
    joined = await rig.receipt(idempotency_key="key", payload=Content())
    assert again.outcome is SubmitOutcome.REPEATED
    assert joined.outcome is SubmitOutcome.JOINED
    assert len(await rig.call("KEYS", "ps{*:j:*")) == jobs


async def test_what_is_put_back_can_be_taken_out_again(rigs: list[Rig]) -> None:
    assert _kept(await take_out(rigs[0].call)) == _kept(STORED)


def _kept(stored: dict[str, Any]) -> set[str]:
    return {name for name, entry in stored["keys"].items() if entry["value"]}


@pytest.mark.foreign_hands
async def test_data_of_a_newer_format_are_refused_with_what_to_do(
    rigs: list[Rig], url: str
) -> None:
    names = rigs[0].broker.engine.names
    await rigs[0].call("HSET", names.base, "format", DATA_FORMAT + 1)
    before = await take_out(rigs[0].call)
    with pytest.raises(UnsafeServer, match=r"format 2, this version reads 1: run the version that"):
        async with Broker(url):
            pass
    after = await take_out(rigs[0].call)
    await rigs[0].call("HSET", names.base, "format", DATA_FORMAT)
    assert after["keys"] == before["keys"]
