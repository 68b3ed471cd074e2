"""Queues, for those who run them: counts, pauses, purges, dead letters, and the list of jobs."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING, Any, Final

import pytest

from penstock.broker import (
    TERMINAL,
    Broker,
    BrokerOptions,
    Content,
    FailedPrecondition,
    FailureReason,
    InvalidArgument,
    JobState,
    NewJob,
    NotFound,
    Priority,
    Progress,
    SubmitOutcome,
)
from penstock.broker.engine import SCRIPT_BATCH
from penstock.broker.queues import CLEAN_STEPS
from tests.broker.relay import relay_to
from tests.broker.rig import LEASE_MS, QUEUE, Rig, tail_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from penstock.runtime.embedded import EmbeddedServer

LARGE: Final = Content(b"x" * 1_000, "text/plain")


# Counts.


async def test_stats_count_what_there_is(rig: Rig) -> None:
    for kind, more in (("final", 1), ("cancelled", 4), ("expired", 3)):
        for _ in range(more):
            await rig.fail(await rig.granted(max_attempts=1), kind)
    await rig.fail(await rig.granted(max_attempts=1), "timeout")
    await rig.fill(4)
    stats = await rig.broker.queues.stats("q")
    assert stats.waiting == {Priority.HIGH: 2, Priority.DEFAULT: 1, Priority.LOW: 1}
    assert (stats.scheduled, stats.running) == (4, 4)
    assert (stats.succeeded, stats.failed, stats.cancelled, stats.expired) == (4, 6, 8, 7)
    assert stats.failed_by_reason == {FailureReason.NON_RETRYABLE: 5, FailureReason.TIMED_OUT: 1}
    assert stats.oldest_waiting_age_ms is not None
    assert 0 <= stats.oldest_waiting_age_ms < 60_000
    assert stats.counters["submitted"] == 37


async def test_an_unused_queue_counts_nothing(rig: Rig) -> None:
    stats = await rig.broker.queues.stats("q")
    assert sum(stats.waiting.values()) == stats.scheduled == stats.running == 0
    assert (stats.oldest_waiting_age_ms, stats.throughput_per_s) == (None, 0.0)


async def test_throughput_is_that_of_the_last_whole_minute(rig: Rig) -> None:
    seconds, _ = await rig.call("TIME")
    bucket = int(seconds) // 10
    for back, ended in ((0, 1_000), (1, 60), (6, 60), (7, 1_000)):
        await rig.call("SET", rig.slot.finished(bucket - back), ended, "EX", 60)
    stats = await rig.broker.queues.stats("q")
    if int((await rig.call("TIME"))[0]) // 10 == bucket:
        assert stats.throughput_per_s == 2.0


async def test_each_end_is_counted_in_the_bucket_of_its_time(rig: Rig) -> None:
    await rig.fill()
    buckets = await rig.call("KEYS", rig.slot.base + b":t:*")
    assert sum([int(await rig.call("GET", key)) for key in buckets]) == 4


# Operations.


OPERATIONS: Final[dict[str, Callable[[Broker], Awaitable[Any]]]] = {
    "get": lambda broker: broker.queues.get("nobody's"),
    "stats": lambda broker: broker.queues.stats("nobody's"),
    "pause": lambda broker: broker.queues.pause("nobody's"),
    "paused": lambda broker: broker.queues.paused("nobody's"),
    "resume": lambda broker: broker.queues.resume("nobody's"),
    "purge": lambda broker: broker.queues.purge("nobody's"),
    "redrive": lambda broker: broker.queues.redrive("nobody's"),
    "list": lambda broker: broker.jobs.list("nobody's"),
}


@pytest.mark.parametrize("operation", OPERATIONS.values(), ids=OPERATIONS)
async def test_a_queue_that_nobody_used_is_not_found(
    broker: Broker, operation: Callable[[Broker], Awaitable[Any]]
) -> None:
    with pytest.raises(NotFound) as refused:
        await operation(broker)
    assert (refused.value.kind, refused.value.name) == ("queue", "nobody's")
    assert await broker.queues.all() == []


async def test_a_pause_holds_every_partition_for_every_process(url: str) -> None:
    options = BrokerOptions(partitions=3)
    async with Broker(url, options) as broker, Broker(url) as other:
        for number in range(30):
            await broker.jobs.submit(NewJob(type="work", queue="q", request_id=str(number)))

        async def granted() -> int:
            slots = other.engine.slots(await other.engine.queue("q"))
            assert len(slots) == 3
            grants = [await other.attempts.claim(slot, "w", 100, LEASE_MS) for slot in slots]
            return sum(map(len, grants))

        await broker.queues.pause("q")
        assert await other.queues.paused("q") is True
        assert await granted() == 0
        await other.queues.resume("q")
        assert await broker.queues.paused("q") is False
        assert await granted() == 30


async def test_a_purge_cancels_what_waits_and_nothing_else(rig: Rig) -> None:
    counts = await rig.fill(2)
    assert await rig.broker.queues.purge("q") == (4, False)
    listed = await rig.listed()
    counts[JobState.CANCELLED] += counts.pop(JobState.SCHEDULED) + counts.pop(JobState.QUEUED)
    assert Counter(job.state for job in listed) == counts
    purged = [job for job in listed if job.cancel_reason == "purged"]
    assert len(purged) == 4
    assert await rig.broker.queues.purge("q") == (0, False)


async def test_a_purge_works_in_bounded_steps_and_says_whether_more_wait(rig: Rig) -> None:
    await rig.broker.jobs.submit_many([rig.new_job(delay_ms=60_000) for _ in range(500)])
    await rig.broker.jobs.submit_many([rig.new_job() for _ in range(520)])
    assert await rig.broker.queues.purge("q") == (1_000, True)
    assert await rig.broker.queues.purge("q") == (20, False)


@pytest.mark.foreign_hands
async def test_what_is_stale_does_not_stand_in_the_way_of_a_purge(rig: Rig) -> None:
    ended, running = await rig.granted(), await rig.granted()
    await rig.complete(ended)
    stale = [
        *(f"{number:026}" for number in range(150)),
        *map(tail_of, (ended.job_id, running.job_id)),
    ]
    records = [await rig.record(grant.job_id) for grant in (ended, running)]
    for tail in stale:
        await rig.call("XADD", rig.slot.stream(Priority.HIGH), "*", "j", tail)
        await rig.call("ZADD", rig.slot.due(), 1, tail)
    job_id = await rig.submit()
    assert await rig.broker.queues.purge("q") == (1, False)
    assert await rig.state(job_id) is JobState.CANCELLED
    assert [await rig.record(grant.job_id) for grant in (ended, running)] == records


# Dead letters, and retries of what ended.


async def test_each_dead_letter_is_redriven_once(rig: Rig) -> None:
    letters = []
    for number in range(3):
        grant = await rig.granted(payload=LARGE, priority=Priority.LOW, metadata={"n": str(number)})
        await rig.fail(grant, "final")
        letters.append(grant.job_id)
    assert await rig.broker.queues.redrive("q") == (3, "")
    assert await rig.broker.queues.redrive("q") == (0, "")
    grants = await rig.claim()
    jobs = [await rig.job(grant.job_id) for grant in grants]
    assert sorted(job.retried_from for job in jobs) == sorted(letters)
    assert {job.metadata["n"] for job in jobs} == {"0", "1", "2"}
    assert {(job.payload, job.priority, job.attempt) for job in jobs} == {(LARGE, Priority.LOW, 1)}
    for letter in letters:
        assert await rig.state(letter) is JobState.FAILED


async def test_a_dead_letter_whose_new_job_is_forgotten_is_redriven_anew(rig: Rig) -> None:
    """The new job itself is what says that there was a redrive."""
    await rig.fail(await rig.granted(), "final")
    assert await rig.broker.queues.redrive("q") == (1, "")
    ((new, *_), _) = await rig.broker.jobs.list("q", [JobState.QUEUED])
    await rig.broker.jobs.cancel(new.job_id, "not wanted")
    assert await rig.broker.queues.redrive("q") == (0, "")
    await rig.pass_retention(new.job_id)
    await rig.prune()
    assert await rig.broker.queues.redrive("q") == (1, "")


async def test_dead_letters_run_again_in_the_order_in_which_they_failed(rig: Rig) -> None:
    letters = []
    for number in range(5):
        grant = await rig.granted(retention_ms=3_600_000 + 60_000 * number)
        await rig.fail(grant, "final")
        letters.append(grant.job_id)
    assert await rig.broker.queues.redrive("q") == (5, "")
    jobs = [await rig.job(grant.job_id) for grant in await rig.claim()]
    assert [job.retried_from for job in jobs] == letters


async def test_no_request_id_of_a_caller_stands_for_a_redrive(rig: Rig) -> None:
    grant = await rig.granted()
    await rig.fail(grant, "final")
    for request_id in ("redrive:{}", "redrive {}", "redrive{}", "retry {}"):
        await rig.submit(request_id=request_id.format(grant.job_id))
    assert await rig.broker.queues.redrive("q") == (1, "")


async def test_dead_letters_are_redriven_page_by_page_and_by_type(rig: Rig) -> None:
    await rig.broker.jobs.submit_many(
        [rig.new_job(type="odd" if number % 2 else "even") for number in range(230)]
    )
    while grants := await rig.claim():
        for grant in grants:
            await rig.fail(grant, "final")
    made, token = [], ""
    while True:
        count, token = await rig.broker.queues.redrive("q", job_type="odd", page_token=token)
        made.append(count)
        if not token:
            break
    assert sum(made) == 115
    assert len(made) >= 3
    assert {grant.type for grant in await rig.claim()} == {"odd"}


async def test_a_dead_letter_that_is_forgotten_meanwhile_is_passed_over(
    rig: Rig, server: EmbeddedServer
) -> None:
    for _ in range(3):
        await rig.fail(await rig.granted(), "final")
    ((first, *_, last), _) = await rig.broker.jobs.list("q", [JobState.FAILED], oldest_first=True)
    async with relay_to(server.socket_path) as relay, Broker(relay.url) as behind:
        relay.hold(tail_of(first.job_id).encode())
        redrive = asyncio.create_task(behind.queues.redrive("q"))
        await relay.held.wait()  # The page was read, and the first letter is asked for.
        await rig.pass_retention(last.job_id)
        relay.release()
        assert await redrive == (2, "")
    await rig.prune()


@pytest.mark.parametrize("state", list(JobState))
async def test_only_what_ended_without_success_is_retried_and_as_a_new_job(
    rig: Rig, state: JobState
) -> None:
    await rig.fill()
    ((job, *_), _) = await rig.broker.jobs.list("q", [state])
    before = await rig.record(job.job_id)
    if state not in TERMINAL - {JobState.SUCCEEDED}:
        with pytest.raises(FailedPrecondition) as refused:
            await rig.broker.jobs.retry(job.job_id, "again")
        assert refused.value.metadata == {"state": state.name}
        return
    receipts = [await rig.broker.jobs.retry(job.job_id, "again") for _ in range(2)]
    assert [r.outcome for r in receipts] == [SubmitOutcome.CREATED, SubmitOutcome.REPEATED]
    assert (await rig.job(receipts[0].job_id)).retried_from == job.job_id
    assert await rig.record(job.job_id) == before


async def test_a_caller_cannot_stand_in_the_way_of_a_redrive(rig: Rig) -> None:
    grant = await rig.granted()
    await rig.fail(grant, "final")
    await rig.submit(request_id=f"redrive:{grant.job_id}", payload=Content(b"other"))
    assert await rig.broker.queues.redrive("q") == (1, "")
    assert await rig.broker.queues.redrive("q") == (0, "")


async def test_a_retry_under_the_first_request_id_is_a_new_job(rig: Rig) -> None:
    grant = await rig.granted(request_id="mine")
    await rig.fail(grant, "final")
    first = await rig.broker.jobs.retry(grant.job_id, "mine")
    again = await rig.broker.jobs.retry(grant.job_id, "mine")
    assert first.job_id != grant.job_id
    assert again.job_id == first.job_id


# Cleaning.


async def test_only_what_was_asked_for_is_cleaned(rig: Rig) -> None:
    await rig.fill(3)
    clean = rig.broker.queues.clean
    assert await clean(QUEUE, [JobState.FAILED], job_type="none") == (0, "")
    assert await clean(QUEUE, [JobState.FAILED], older_than_ms=3_600_000) == (0, "")
    assert await clean(QUEUE, [JobState.FAILED, JobState.CANCELLED], job_type="other") == (3, "")
    assert await clean(QUEUE, [JobState.SUCCEEDED, JobState.EXPIRED]) == (6, "")
    states = Counter(job.state for job in await rig.listed())
    assert states == {
        JobState.CANCELLED: 3,
        JobState.RUNNING: 3,
        JobState.SCHEDULED: 3,
        JobState.QUEUED: 3,
    }
    assert await clean(QUEUE, [state for state in JobState if state.terminal]) == (3, "")


async def test_all_keys_of_a_cleaned_job_are_gone(rig: Rig) -> None:
    grant = await rig.granted(payload=LARGE)
    await rig.broker.attempts.report(grant.job_id, grant.fencing_token, 1, [Progress(1, 2)])
    await rig.broker.attempts.complete(grant.job_id, grant.fencing_token, LARGE)
    assert await rig.broker.queues.clean(QUEUE, [JobState.SUCCEEDED]) == (1, "")
    assert not await rig.snapshot()


async def test_a_long_clean_goes_step_by_step(rig: Rig) -> None:
    count = SCRIPT_BATCH * CLEAN_STEPS + 50
    jobs = [rig.new_job(retention_ms=60_000 + n) for n in range(count)]
    await rig.broker.jobs.submit_many(jobs)
    await rig.broker.queues.purge(QUEUE)
    while (await rig.broker.queues.purge(QUEUE))[1]:
        pass
    forgotten, token = await rig.broker.queues.clean(QUEUE, [JobState.CANCELLED])
    assert (forgotten, bool(token)) == (SCRIPT_BATCH * CLEAN_STEPS, True)
    rest = await rig.broker.queues.clean(QUEUE, [JobState.CANCELLED], page_token=token)
    assert rest == (50, "")
    with pytest.raises(InvalidArgument):
        await rig.broker.queues.clean(QUEUE, [JobState.CANCELLED], page_token="9:x")
