"""Submitting: what is stored, and what makes a repetition the same job rather than a second one."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from typing import Any

import pytest

from penstock.broker import (
    AlreadyExists,
    Backoff,
    Broker,
    BrokerOptions,
    Content,
    InvalidArgument,
    JobState,
    LimitExceeded,
    NewJob,
    NotFound,
    Priority,
    SubmitOutcome,
    Submitted,
)
from penstock.broker.engine import MAX_QUEUES
from penstock.broker.ids import queue_code
from tests.broker.audit import audit
from tests.broker.rig import Rig, tail_of
from tests.support.waiting import eventually

LARGE = Content(b"[" + b"1," * 50_000 + b"1]")
#: As text, the last moment of the year 9999; it has to survive Lua's arithmetic (ms).
YEAR_9999_MS = 253_402_300_799_999


# What is stored.


async def test_a_job_is_read_back_as_it_was_submitted(rig: Rig) -> None:
    spec = rig.new_job(
        payload=Content(bytes(range(256)), "application/octet-stream"),
        priority=Priority.HIGH,
        delay_ms=60_000,
        expires_in_ms=120_000,
        max_attempts=7,
        backoff=Backoff(10, 1_000_000, 1.5, 0.125),
        timeout_ms=5_000,
        retention_ms=1_000,
        metadata={"traceparent": "00-abc-def-01", "ключ": "значение"},
        retried_from="0" * 36,
    )
    receipt = await rig.broker.jobs.submit(spec)
    assert (receipt.outcome, receipt.state) == (SubmitOutcome.CREATED, JobState.SCHEDULED)
    job = await rig.job(receipt.job_id)
    for name in (
        "type", "queue", "payload", "priority", "max_attempts", "backoff", "timeout_ms",
        "retention_ms", "metadata", "retried_from",
    ):  # fmt: skip
        assert getattr(job, name) == getattr(spec, name), name
    assert (job.run_at_ms, job.deadline_ms) == (job.created_ms + 60_000, job.created_ms + 120_000)
    assert (job.attempt, job.crashes, job.fencing_token, job.last_sequence) == (0, 0, 0, 1)
    assert (job.queued_ms, job.started_ms, job.finished_ms, job.result) == (None,) * 4


@pytest.mark.parametrize("length", [0, 64, 65, 1_000_000])
async def test_a_longer_payload_has_a_key_of_its_own(rig: Rig, length: int) -> None:
    payload = Content(b"x" * length, "text/plain")
    job_id = await rig.submit(payload=payload)
    assert await rig.call("EXISTS", rig.slot.payload(tail_of(job_id))) == (length > 64)
    assert (await rig.job(job_id)).payload == payload
    (grant,) = await rig.claim()
    assert grant.payload == payload


@pytest.mark.parametrize(
    ("options", "state", "run_at_ms"),
    [
        ({}, JobState.QUEUED, None),
        ({"delay_ms": 0}, JobState.QUEUED, None),
        ({"run_at_ms": 1}, JobState.QUEUED, None),
        ({"run_at_ms": YEAR_9999_MS}, JobState.SCHEDULED, YEAR_9999_MS),
    ],
)
async def test_a_start_in_the_past_is_at_once(
    rig: Rig, options: dict[str, Any], state: JobState, run_at_ms: int | None
) -> None:
    job_id = await rig.submit(**options)
    job = await rig.job(job_id)
    assert (job.state, job.run_at_ms) == (state, run_at_ms)
    assert (job.queued_ms is None) == (state is JobState.SCHEDULED)


async def test_a_deadline_far_off_is_kept_to_the_millisecond(rig: Rig) -> None:
    job_id = await rig.submit(deadline_ms=YEAR_9999_MS)
    assert (await rig.job(job_id)).deadline_ms == YEAR_9999_MS
    assert await rig.expire() == 0


async def test_a_deadline_in_the_past_is_refused_and_nothing_is_stored(rig: Rig) -> None:
    with pytest.raises(InvalidArgument) as refused:
        await rig.submit(deadline_ms=1, idempotency_key="k", payload=LARGE)
    assert refused.value.violations[0][0] == "job.options.deadline"
    assert await rig.call("KEYS", rig.slot.base + b"*") == []


# Repetitions.


async def test_the_same_request_is_the_same_job_whatever_became_of_it(rig: Rig) -> None:
    spec = rig.new_job(deadline_ms=YEAR_9999_MS)
    first = await rig.broker.jobs.submit(spec)
    record = await rig.record(first.job_id)
    again = await rig.broker.jobs.submit(spec)
    assert again == Submitted(first.job_id, JobState.QUEUED, SubmitOutcome.REPEATED)
    assert await rig.record(first.job_id) == record
    (grant,) = await rig.claim()
    await rig.complete(grant)
    again = await rig.broker.jobs.submit(spec)
    assert again == Submitted(first.job_id, JobState.SUCCEEDED, SubmitOutcome.REPEATED)
    assert await rig.claim() == []


@pytest.mark.parametrize(
    "other",
    [
        {"type": "rest"},
        {"payload": Content(b"{ }")},
        {"payload": Content(b"{}", "text/plain")},
        {"payload": LARGE},
    ],
)
@pytest.mark.parametrize("key", ["", "a key"])
async def test_the_same_name_for_other_work_is_refused(
    rig: Rig, other: dict[str, Any], key: str
) -> None:
    """By request id, or by idempotency key."""
    name = {"idempotency_key": key} if key else {"request_id": "a request"}
    job_id = await rig.submit(**name)
    before = sorted(await rig.call("KEYS", "*"))
    with pytest.raises(AlreadyExists) as refused:
        await rig.submit(**name, **other)
    assert refused.value.job_id == job_id
    assert sorted(await rig.call("KEYS", "*")) == before


async def test_an_equal_submit_under_the_same_key_joins_the_first_job(rig: Rig) -> None:
    first = await rig.receipt(idempotency_key="nightly")
    second = await rig.receipt(idempotency_key="nightly", priority=Priority.LOW)
    assert second == Submitted(first.job_id, JobState.QUEUED, SubmitOutcome.JOINED)
    (grant,) = await rig.claim()
    await rig.complete(grant)
    third = await rig.receipt(idempotency_key="nightly")
    assert third == Submitted(first.job_id, JobState.SUCCEEDED, SubmitOutcome.JOINED)
    assert (await rig.counters())["submitted"] == 1


async def test_a_key_outlives_the_record_of_its_job(rig: Rig) -> None:
    grant = await rig.granted(idempotency_key="nightly")
    await rig.complete(grant)
    await rig.pass_retention(grant.job_id)
    joined = await rig.receipt(idempotency_key="nightly")
    assert joined == Submitted(grant.job_id, None, SubmitOutcome.JOINED)
    await rig.prune()


async def test_a_key_lives_as_long_as_the_process_is_configured_for(url: str) -> None:
    async with Broker(url, BrokerOptions(idempotency_ttl_ms=5_000)) as broker:
        rig = await Rig.on(broker)
        await rig.submit(idempotency_key="nightly")
        (key,) = await rig.call("KEYS", rig.slot.idempotency("*"))
        assert 4_000 < await rig.call("PTTL", key) <= 5_000
        await rig.call("DEL", key)  # As its end would.
        assert (await rig.receipt(idempotency_key="nightly")).outcome is SubmitOutcome.CREATED


async def test_a_request_after_its_record_is_gone_is_a_new_job_under_the_old_id(rig: Rig) -> None:
    spec = rig.new_job(payload=LARGE)
    first = await rig.broker.jobs.submit(spec)
    (grant,) = await rig.claim()
    await rig.complete(grant)
    await rig.pass_retention(first.job_id)
    assert await rig.broker.jobs.submit(spec) == first
    # The entry of its first life is pruned without harm to the second, and not listed.
    listed, _ = await rig.broker.jobs.list("q")
    assert [job.state for job in listed] == [JobState.QUEUED]
    assert await rig.prune() == 1
    assert (await rig.job(first.job_id)).payload == LARGE


async def test_duplicates_from_two_gateways_at_once_make_one_job(rig: Rig, other: Broker) -> None:
    spec = rig.new_job()
    gateways = (rig.broker.jobs, other.jobs)
    receipts = await asyncio.gather(*(gateways[i % 2].submit(spec) for i in range(100)))
    assert len({receipt.job_id for receipt in receipts}) == 1
    created = [r for r in receipts if r.outcome is SubmitOutcome.CREATED]
    assert len(created) == 1
    assert len(await rig.claim()) == 1


async def test_equal_keys_from_two_gateways_at_once_make_one_job(rig: Rig, other: Broker) -> None:
    specs = [rig.new_job(idempotency_key="k") for _ in range(100)]
    gateways = (rig.broker.jobs, other.jobs)
    receipts = await asyncio.gather(*(gateways[i % 2].submit(spec) for i, spec in enumerate(specs)))
    outcomes = [receipt.outcome for receipt in receipts]
    assert outcomes.count(SubmitOutcome.CREATED) == 1
    assert outcomes.count(SubmitOutcome.JOINED) == 99
    assert len({receipt.job_id for receipt in receipts}) == 1


# Batches, queues, partitions.


async def test_each_job_of_a_batch_has_its_own_outcome(rig: Rig) -> None:
    known = rig.new_job()
    job_id = (await rig.broker.jobs.submit(known)).job_id
    await rig.call("SCRIPT", "FLUSH")
    answers = await rig.broker.jobs.submit_many(
        [
            rig.new_job(),
            known,
            rig.new_job(deadline_ms=1),
            rig.new_job(request_id=known.request_id, type="rest"),
            rig.new_job(queue="another"),
        ]
    )
    outcomes = [getattr(answer, "outcome", type(answer)) for answer in answers]
    assert outcomes == [
        SubmitOutcome.CREATED,
        SubmitOutcome.REPEATED,
        InvalidArgument,
        AlreadyExists,
        SubmitOutcome.CREATED,
    ]
    assert isinstance(answers[1], Submitted)
    assert answers[1].job_id == job_id


@pytest.mark.parametrize(
    ("count", "size", "at_once"), [(16, 2**20 - 2, 4), (3, 5 * 2**20, 1), (1_000, 2, 1_000)]
)
async def test_a_batch_keeps_so_much_payload_under_way(
    rig: Rig, count: int, size: int, at_once: int
) -> None:
    """What others send in the meantime waits behind it. Small jobs go out all at once."""
    payload = Content(b'"%s"' % (b"x" * size))
    jobs = [rig.new_job(payload=payload) for _ in range(count)]
    await rig.submit()  # So that nothing else is under way.
    submitting = asyncio.create_task(rig.broker.jobs.submit_many(jobs))
    peak = 0
    while not submitting.done():
        peak = max(peak, rig.broker.link.stats.pending)
        await asyncio.sleep(0)
    assert at_once <= peak <= at_once + 2, "and the rings of the bell"
    receipts = [answer for answer in await submitting if isinstance(answer, Submitted)]
    assert {receipt.outcome for receipt in receipts} == {SubmitOutcome.CREATED}
    again = [await rig.broker.jobs.submit(job) for job in jobs]
    assert [receipt.job_id for receipt in receipts] == [receipt.job_id for receipt in again]


async def test_jobs_spread_over_partitions_and_are_found_by_any_process(url: str) -> None:
    async with Broker(url, BrokerOptions(partitions=4)) as broker, Broker(url) as other:
        specs = [
            NewJob(type="work", queue="wide", request_id=str(i), idempotency_key=f"k{i % 50}")
            for i in range(100)
        ]
        receipts = [
            await (other if number % 2 else broker).jobs.submit(spec)
            for number, spec in enumerate(specs)
        ]
        assert [r.outcome for r in receipts].count(SubmitOutcome.JOINED) == 50
        assert (await other.queues.get("wide")).partitions == 4
        assert {receipt.job_id[:2] for receipt in receipts} == {"00", "01", "02", "03"}
        for receipt in receipts:
            assert (await other.jobs.get(receipt.job_id)).queue == "wide"
        with pytest.raises(NotFound):
            await other.jobs.get("04" + receipts[0].job_id[2:])


async def test_two_names_never_share_a_code(rig: Rig) -> None:
    forged = queue_code("default", "victim") + " 1 0"
    await rig.call("HSET", rig.broker.engine.names.queues(), "squatter", forged)
    with pytest.raises(LimitExceeded, match="'victim' cannot be told from 'squatter'"):
        await rig.submit(queue="victim")
    await rig.call("HDEL", rig.broker.engine.names.queues(), "squatter")


async def test_the_number_of_queues_is_bounded(rig: Rig) -> None:
    fields: list[str] = []
    for number in range(MAX_QUEUES - 1):
        fields += (f"queue-{number}", f"{number:08} 1 0")
    names = rig.broker.engine.names.queues()
    await rig.call("HSET", names, *fields)
    with pytest.raises(LimitExceeded):
        await rig.submit(queue="one too many")
    assert await rig.submit()
    await rig.call("HDEL", names, *fields[::2])


async def test_a_queue_that_the_server_lost_is_made_again_after_a_reconnect(
    rig: Rig, other: Broker, url: str
) -> None:
    """As after a failover to a replica that had not heard of the queue yet."""
    await rig.call("FLUSHALL")
    connects = rig.broker.link.stats.connects
    await other.link.call("CLIENT", "KILL", "TYPE", "normal")
    job_id = await rig.submit()
    assert rig.broker.link.stats.connects > connects
    async with Broker(url) as third:
        assert (await third.jobs.get(job_id)).state is JobState.QUEUED
        assert await audit(third) == []


async def test_namespaces_do_not_see_each_other(rig: Rig, url: str) -> None:
    mine = await rig.submit(request_id="the same", idempotency_key="the same")
    async with Broker(url, BrokerOptions(namespace="another")) as another:
        spec = rig.new_job(request_id="the same", idempotency_key="the same", type="rest")
        theirs = await another.jobs.submit(spec)
        assert theirs.outcome is SubmitOutcome.CREATED
        with pytest.raises(NotFound):
            await another.jobs.get(mine)
    with pytest.raises(NotFound):
        await rig.job(theirs.job_id)
    assert [job.job_id for job in (await rig.broker.jobs.list("q"))[0]] == [mine]


@pytest.mark.parametrize("key", ["", "key"])
async def test_a_repetition_after_the_deadline_is_told_of_its_job(
    rig: Rig, other: Broker, key: str
) -> None:
    spec = rig.new_job(deadline_ms=round(time.time() * 1000) + 1_000, idempotency_key=key)
    receipt = await rig.broker.jobs.submit(spec)

    async def late() -> bool:
        seconds, _ = await rig.broker.link.call("TIME")
        return int(seconds) * 1000 > (spec.deadline_ms or 0)

    await eventually(late, "the deadline has passed")
    # Its reply was lost, say; so a process is asked that has never met the queue.
    again = await other.jobs.submit(spec)
    assert (again.job_id, again.outcome) == (receipt.job_id, SubmitOutcome.REPEATED)
    (result,) = await other.jobs.submit_many([spec])
    assert result == again
    if key:
        joined = await other.jobs.submit(replace(spec, request_id="another"))
        assert (joined.job_id, joined.outcome) == (receipt.job_id, SubmitOutcome.JOINED)
