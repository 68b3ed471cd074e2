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
    Job,
    JobState,
    NewJob,
    NotFound,
    Priority,
    SubmitOutcome,
    Submitted,
)
from tests.broker.relay import relay_to
from tests.broker.rig import LEASE_MS, Rig, tail_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from penstock.runtime.embedded import EmbeddedServer

LARGE: Final = Content(b"x" * 1_000, "text/plain")


async def fill(rig: Rig, each: int = 1) -> Counter[JobState]:
    """A queue with so many jobs in each state."""
    for _ in range(each):
        await rig.complete(await rig.granted())
        await rig.fail(await rig.granted(type="other"), "final")
        await rig.fail(await rig.granted(), "cancelled")
        await rig.fail(await rig.granted(), "expired")
    running = [await rig.granted() for _ in range(each)]
    for number in range(each):
        await rig.submit(delay_ms=60_000)
        await rig.submit(priority=list(Priority)[number % 3])
    assert len(running) == each
    return Counter(dict.fromkeys(JobState, each))


# Counts.


async def test_stats_count_what_there_is(rig: Rig) -> None:
    for kind, more in (("final", 1), ("cancelled", 4), ("expired", 3)):
        for _ in range(more):
            await rig.fail(await rig.granted(max_attempts=1), kind)
    await rig.fail(await rig.granted(max_attempts=1), "timeout")
    await fill(rig, 4)
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
    await fill(rig)
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
    counts = await fill(rig, 2)
    assert await rig.broker.queues.purge("q") == (4, False)
    listed = await everything(rig)
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
    ((first, *_, last), _) = await rig.broker.jobs.list("q", [JobState.FAILED])
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
    await fill(rig)
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


# The list of jobs.


async def everything(rig: Rig, limit: int = 100, **options: Any) -> list[Job]:  # noqa: ANN401 - as Jobs.list.
    """All pages of a list, none of which is too long."""
    jobs: list[Job] = []
    token = ""
    while True:
        page, token = await rig.broker.jobs.list("q", limit=limit, page_token=token, **options)
        assert len(page) <= limit
        jobs += page
        if not token:
            return jobs


@pytest.mark.parametrize("limit", [1, 2, 3, 7, 35, 36, 100])
async def test_pages_of_any_size_hold_each_job_once(rig: Rig, limit: int) -> None:
    counts = await fill(rig, 5)
    jobs = await everything(rig, limit)
    assert Counter(job.state for job in jobs) == counts
    assert len({job.job_id for job in jobs}) == len(jobs)


async def test_jobs_of_the_same_moment_are_not_mixed_up(rig: Rig) -> None:
    await rig.broker.jobs.submit_many([rig.new_job(run_at_ms=10**14) for _ in range(25)])
    for limit in (1, 4, 24, 25):
        assert len({job.job_id for job in await everything(rig, limit)}) == 25


async def test_a_list_is_of_the_states_and_the_type_asked_for(rig: Rig) -> None:
    await fill(rig, 3)
    for state in JobState:
        jobs = await everything(rig, 2, states=[state])
        assert [job.state for job in jobs] == [state] * 3
    both = await everything(rig, 4, states=[JobState.FAILED, JobState.QUEUED])
    assert Counter(job.state for job in both) == {JobState.FAILED: 3, JobState.QUEUED: 3}
    others = await everything(rig, 2, job_type="other")
    assert [(job.type, job.state) for job in others] == [("other", JobState.FAILED)] * 3
    assert await everything(rig, job_type="unheard of") == []


async def test_a_page_looks_at_no_more_jobs_than_its_limit_whatever_the_filter(rig: Rig) -> None:
    await rig.broker.jobs.submit_many(
        [
            rig.new_job(
                type="rare" if number == 95 else "work", priority=list(Priority)[number % 3]
            )
            for number in range(96)
        ]
    )
    pages = 0
    token = ""
    found: list[Job] = []
    while True:
        page, token = await rig.broker.jobs.list("q", job_type="rare", limit=10, page_token=token)
        pages += 1
        found += page
        if not token:
            break
    assert len(found) == 1
    assert pages >= 9


async def test_jobs_that_move_hide_none_that_stay(rig: Rig) -> None:
    """Those of the first page renew their leases, and so stand behind all others."""
    await rig.broker.jobs.submit_many([rig.new_job() for _ in range(9)])
    grants = []
    while granted := await rig.claim(1):
        grants += granted
    page, token = await rig.broker.jobs.list("q", [JobState.RUNNING], limit=3)
    await rig.broker.attempts.renew({job.job_id: job.fencing_token for job in page})
    seen = [job.job_id for job in page]
    while token:
        page, token = await rig.broker.jobs.list("q", [JobState.RUNNING], limit=3, page_token=token)
        seen += [job.job_id for job in page]
    assert set(seen) == {grant.job_id for grant in grants}


async def test_a_job_that_left_between_two_pages_hides_none(rig: Rig) -> None:
    for _ in range(4):
        await rig.submit(run_at_ms=10**14)
    (first,), token = await rig.broker.jobs.list("q", [JobState.SCHEDULED], limit=1)
    await rig.broker.jobs.cancel(first.job_id, "gone")
    rest: list[Job] = []
    while token:
        page, token = await rig.broker.jobs.list(
            "q", [JobState.SCHEDULED], limit=1, page_token=token
        )
        rest += page
    assert len({job.job_id for job in rest}) == 3


async def test_a_list_covers_all_partitions(url: str) -> None:
    async with Broker(url, BrokerOptions(partitions=4)) as broker:
        specs = [NewJob(type="work", queue="q", request_id=str(n)) for n in range(40)]
        submitted = await broker.jobs.submit_many(specs)
        rig = await Rig.on(broker)
        listed = await everything(rig, 7)
        assert {job.job_id for job in listed} == {
            answer.job_id for answer in submitted if isinstance(answer, Submitted)
        }
        assert await broker.queues.purge("q") == (40, False)


@pytest.mark.parametrize(
    "token",
    [
        "x", ":", "0", "0:x", "-1:", "99:", "1e1:", "0x0:", " 0:", "0: ", "0:\n", "٣:",
        "9" * 5_000 + ":", "0:1-1-1", "1:5 " + "0" * 26, "1:99999999999999999999-0",
        "0:e+ " + "0" * 26, "0:1e5 " + "0" * 26, "0:5 {}", "0:5-5",
        "4:" + "9" * 30 + " " + "0" * 26,
    ],
)  # fmt: skip
async def test_a_token_that_no_page_gave_is_refused(rig: Rig, token: str) -> None:
    await fill(rig)
    with pytest.raises(InvalidArgument) as refused:
        await rig.broker.jobs.list("q", page_token=token)
    assert [path for path, _ in refused.value.violations] == ["page_token"]


@pytest.mark.parametrize(
    ("token", "state"),
    [
        ("0:" + "9" * 17 + " " + "z" * 26, JobState.QUEUED),
        ("3:9999999999999999999-9999999999999999999", JobState.SCHEDULED),
    ],
)
async def test_a_token_that_leads_beyond_an_end_leads_on_to_the_next_place(
    rig: Rig, token: str, state: JobState
) -> None:
    await fill(rig)
    (job, *_), _ = await rig.broker.jobs.list("q", page_token=token, limit=1)
    assert job.state is state
