"""The list of jobs: whole, page by page, whatever moves meanwhile; and no page token can harm."""

from __future__ import annotations

from collections import Counter

import pytest

from penstock.broker import (
    Broker,
    BrokerOptions,
    InvalidArgument,
    Job,
    JobState,
    NewJob,
    Priority,
    Submitted,
)
from tests.broker.rig import Rig, tail_of


@pytest.mark.parametrize("limit", [1, 2, 3, 7, 35, 36, 100])
async def test_pages_of_any_size_hold_each_job_once(rig: Rig, limit: int) -> None:
    counts = await rig.fill(5)
    jobs = await rig.listed(limit)
    assert Counter(job.state for job in jobs) == counts
    assert len({job.job_id for job in jobs}) == len(jobs)


async def test_jobs_of_the_same_moment_are_not_mixed_up(rig: Rig) -> None:
    await rig.broker.jobs.submit_many([rig.new_job(run_at_ms=10**14) for _ in range(25)])
    for limit in (1, 4, 24, 25):
        assert len({job.job_id for job in await rig.listed(limit)}) == 25


async def test_a_list_is_of_the_states_and_the_type_asked_for(rig: Rig) -> None:
    await rig.fill(3)
    for state in JobState:
        jobs = await rig.listed(2, states=[state])
        assert [job.state for job in jobs] == [state] * 3
    both = await rig.listed(4, states=[JobState.FAILED, JobState.QUEUED])
    assert Counter(job.state for job in both) == {JobState.FAILED: 3, JobState.QUEUED: 3}
    others = await rig.listed(2, job_type="other")
    assert [(job.type, job.state) for job in others] == [("other", JobState.FAILED)] * 3
    assert await rig.listed(job_type="unheard of") == []


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


async def test_waiting_jobs_come_in_the_order_in_which_they_will_run(rig: Rig) -> None:
    for priority in (Priority.LOW, Priority.DEFAULT, Priority.HIGH) * 3:
        await rig.submit(priority=priority)
    for moment in (3, 1, 2):
        await rig.submit(run_at_ms=10**14 + moment)
    scheduled = await rig.listed(2, states=[JobState.SCHEDULED])
    assert [job.run_at_ms for job in scheduled] == [10**14 + moment for moment in (1, 2, 3)]
    queued = await rig.listed(2, states=[JobState.QUEUED])
    assert [job.job_id for job in queued] == [grant.job_id for grant in await rig.claim()]


async def test_of_running_jobs_the_oldest_grant_comes_first_whatever_was_renewed(rig: Rig) -> None:
    await rig.broker.jobs.submit_many([rig.new_job() for _ in range(5)])
    grants = await rig.claim(5)
    first, second = grants[:2]
    await rig.broker.attempts.renew({second.job_id: second.fencing_token})
    await rig.broker.attempts.renew({first.job_id: first.fencing_token})
    running = await rig.listed(states=[JobState.RUNNING])
    assert [job.job_id for job in running] == [grant.job_id for grant in grants]


@pytest.mark.parametrize("limit", [1, 3, 100])
async def test_of_ended_jobs_the_newest_comes_first(rig: Rig, limit: int) -> None:
    ended = []
    for number in range(7):
        # Of each pair, both may end within the same millisecond.
        grant = await rig.granted(retention_ms=3_600_000 + 60_000 * (number // 2))
        await rig.complete(grant)
        ended.append(grant.job_id)
    stored = await rig.call("ZREVRANGE", rig.slot.ended(JobState.SUCCEEDED), 0, -1)
    newest_first = await rig.listed(limit, states=[JobState.SUCCEEDED])
    assert [tail_of(job.job_id).encode() for job in newest_first] == stored
    assert [ended.index(job.job_id) // 2 for job in newest_first] == [3, 2, 2, 1, 1, 0, 0]
    oldest_first = await rig.listed(limit, states=[JobState.SUCCEEDED], oldest_first=True)
    assert oldest_first == newest_first[::-1]


@pytest.mark.parametrize("oldest_first", [True, False])
async def test_jobs_that_end_or_are_forgotten_between_two_pages_hide_none(
    rig: Rig, *, oldest_first: bool
) -> None:
    running = [await rig.granted() for _ in range(12)]
    stay = set()
    for grant in running[:9]:
        await rig.complete(grant)
        stay.add(grant.job_id)
    seen: list[str] = []
    token = ""
    while True:
        page, token = await rig.broker.jobs.list(
            "q", [JobState.SUCCEEDED], limit=2, page_token=token, oldest_first=oldest_first
        )
        seen += [job.job_id for job in page]
        if not token:
            break
        if len(running) > 9:
            await rig.complete(running.pop())
        gone = page[-1].job_id  # Which the next page would begin after.
        stay.discard(gone)
        await rig.pass_retention(gone)
        await rig.prune()
    assert stay <= set(seen)


async def test_a_list_goes_state_by_state_over_all_partitions(url: str) -> None:
    async with Broker(url, BrokerOptions(partitions=4)) as broker:
        specs = [
            NewJob(type="work", queue="q", request_id=str(n), delay_ms=60_000 * (n % 2))
            for n in range(40)
        ]
        await broker.jobs.submit_many(specs)
        states = [job.state for job in await (await Rig.on(broker)).listed(7)]
        assert states == sorted(states, key=[JobState.QUEUED, JobState.SCHEDULED].index)
        assert len(states) == 40


async def test_a_list_covers_all_partitions(url: str) -> None:
    async with Broker(url, BrokerOptions(partitions=4)) as broker:
        specs = [NewJob(type="work", queue="q", request_id=str(n)) for n in range(40)]
        submitted = await broker.jobs.submit_many(specs)
        rig = await Rig.on(broker)
        listed = await rig.listed(7)
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
    await rig.fill()
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
    await rig.fill()
    (job, *_), _ = await rig.broker.jobs.list("q", page_token=token, limit=1)
    assert job.state is state
