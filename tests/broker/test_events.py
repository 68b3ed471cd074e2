"""Events: numbered from 1 without a hole, told the same way each time, capped, and paged."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final

import pytest

from penstock.broker import (
    Chunk,
    CursorOutOfRange,
    Event,
    Gap,
    Grant,
    JobState,
    LogLine,
    NotFound,
    Progress,
    StaleToken,
    StateChange,
    Wakeups,
)
from tests.broker.rig import FAILURE, Rig, states_of, tail_of
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    End = Callable[[Rig, Grant], Awaitable[Any]]

#: What a log keeps at most (see lib/events.lua).
MOST_LINES: Final = 10_000
MOST_BYTES: Final = 16 * 1024 * 1024


async def report(rig: Rig, grant: Grant, number: int, *events: Progress | Chunk | LogLine) -> bool:
    return await rig.broker.attempts.report(grant.job_id, grant.fencing_token, number, events)


# The life of a job in two tellings.


async def cancel_and(rig: Rig, grant: Grant, end: End) -> None:
    await rig.broker.jobs.cancel(grant.job_id, "no longer wanted")
    await end(rig, grant)


async def expire_while_running(rig: Rig, grant: Grant) -> None:
    await rig.pass_deadline(grant.job_id)
    await rig.fail(grant)


async def quarantine(rig: Rig, grant: Grant) -> None:
    await rig.lose_lease(grant.job_id, max_crashes=1)


ENDS: Final[dict[str, End]] = {
    "succeeds": lambda rig, grant: rig.complete(grant),
    "succeeds although cancelled": lambda rig, g: cancel_and(rig, g, lambda r, h: r.complete(h)),
    "fails": lambda rig, grant: rig.fail(grant, "final"),
    "is cancelled": lambda rig, g: cancel_and(rig, g, lambda r, h: r.fail(h, "cancelled")),
    "cancels itself": lambda rig, grant: rig.fail(grant, "cancelled"),
    "is cancelled when released": lambda rig, g: cancel_and(rig, g, lambda r, h: r.release(h)),
    "is cancelled when lost": lambda rig, g: cancel_and(
        rig, g, lambda r, h: r.lose_lease(h.job_id)
    ),
    "is cancelled when disowned": lambda rig, g: cancel_and(
        rig, g, lambda r, _: r.broker.attempts.disown(r.slot, "worker", [])
    ),
    "expires": lambda rig, grant: rig.fail(grant, "expired"),
    "fails too late for a retry": expire_while_running,
    "is quarantined": quarantine,
}


@pytest.mark.parametrize("delayed", [False, True])
@pytest.mark.parametrize("end", ENDS.values(), ids=ENDS)
async def test_a_plain_life_is_told_from_the_record_as_a_log_would_tell_it(
    rig: Rig, *, end: End, delayed: bool
) -> None:
    told = []
    for reports in (False, True):
        job_id = await rig.submit(run_at_ms=10**14 if delayed else None)
        if delayed:
            await rig.come_due(job_id)
            await rig.promote()
        (grant,) = await rig.claim()
        before = await rig.events(job_id)
        if reports:
            await report(rig, grant, 1, Progress(1, 2))
            assert (await rig.events(job_id))[: len(before)] == before
        await end(rig, grant)
        assert (b"lt" in await rig.record(job_id)) == reports
        events = await rig.events(job_id)
        assert events[: len(before)] == before
        told.append([event.body for event in events if isinstance(event.body, StateChange)])
    plain, logged = told
    assert plain == logged


@pytest.mark.parametrize(
    ("steps", "states"),
    [
        ((), [JobState.SCHEDULED]),
        (("cancel",), [JobState.SCHEDULED, JobState.CANCELLED]),
        (("expire",), [JobState.SCHEDULED, JobState.EXPIRED]),
        (("promote", "cancel"), [JobState.SCHEDULED, JobState.QUEUED, JobState.CANCELLED]),
        (("promote", "expire"), [JobState.SCHEDULED, JobState.QUEUED, JobState.EXPIRED]),
    ],
)
async def test_a_life_without_an_attempt(
    rig: Rig, steps: tuple[str, ...], states: list[JobState]
) -> None:
    job_id = await rig.submit(delay_ms=60_000)
    told = await rig.events(job_id)
    for step in steps:
        if step == "promote":
            await rig.come_due(job_id)
            await rig.promote()
        elif step == "expire":
            await rig.pass_deadline(job_id)
            await rig.expire()
        else:
            await rig.broker.jobs.cancel(job_id, "no longer wanted")
        events = await rig.events(job_id)
        assert events[: len(told)] == told
        told = events
    assert states_of(told) == states
    assert [event.first_sequence for event in told] == list(range(1, len(states) + 1))


async def test_the_whole_story_of_a_hard_life(rig: Rig) -> None:
    job_id = await rig.submit(max_attempts=2)
    (grant,) = await rig.claim(worker_id="ada")
    await rig.lose_lease(job_id)
    (grant,) = await rig.claim(worker_id="bob")
    await rig.release(grant)
    (grant,) = await rig.claim(worker_id="bob")
    await rig.fail(grant, retry_after_ms=60_000)
    await rig.come_due(job_id)
    await rig.promote()
    (grant,) = await rig.claim(worker_id="bob")
    await rig.fail(grant)
    events = await rig.events(job_id)
    bodies = [event.body for event in events]
    state, failure = JobState, f"{FAILURE.type}: {FAILURE.message}"
    assert bodies == [
        StateChange(state.QUEUED, 0),
        StateChange(state.RUNNING, 1),
        StateChange(state.QUEUED, 1, "lease lost by ada"),
        StateChange(state.RUNNING, 2),
        StateChange(state.QUEUED, 1, "drain"),
        StateChange(state.RUNNING, 2),
        StateChange(state.SCHEDULED, 2, failure, events[6].time_ms + 60_000),
        StateChange(state.QUEUED, 2),
        StateChange(state.RUNNING, 3),
        StateChange(state.FAILED, 3, failure),
    ]


# Reports.


@pytest.mark.parametrize(
    "event",
    [
        Progress(0.1, 1e300, "тихо, a b  c "),
        Progress(3, 0),
        Progress(math.inf, -0.5, "\n\x00"),
        Chunk(bytes(range(256)), 1),
        Chunk(b"", 1),
        Chunk(b" leading and trailing ", 1),
        LogLine("warning", "two  words ", 1),
        LogLine("info", "", 1),
    ],
)
async def test_what_a_handler_reports_is_told_to_the_letter(
    rig: Rig, event: Progress | Chunk | LogLine
) -> None:
    grant = await rig.granted()
    await report(rig, grant, 1, event)
    told = (await rig.events(grant.job_id))[-1]
    assert (told.first_sequence, told.last_sequence, told.body) == (3, 3, event)


async def test_a_report_is_one_step_and_its_repetition_none(rig: Rig) -> None:
    grant = await rig.granted()
    batch = [Chunk(b"%d" % n, 1) for n in range(99)]
    await report(rig, grant, 1, *batch, Progress(1, 3, "a third"))
    await report(rig, grant, 1, *batch, Progress(1, 3, "a third"))
    assert (await rig.job(grant.job_id)).last_sequence == 102
    await report(rig, grant, 2, Progress(2, 3, "two thirds"))
    job = await rig.job(grant.job_id)
    assert (job.last_sequence, job.progress) == (103, Progress(2, 3, "two thirds"))
    bodies = [event.body for event in await rig.events(grant.job_id)]
    assert bodies[2:-2] == batch


async def test_the_reports_of_two_attempts_are_not_taken_for_each_other(rig: Rig) -> None:
    grant = await rig.granted()
    await report(rig, grant, 1, Chunk(b"first", 1))
    await rig.lose_lease(grant.job_id)
    (again,) = await rig.claim()
    await report(rig, again, 1, Chunk(b"second", 2))
    with pytest.raises(StaleToken):
        await report(rig, grant, 2, Chunk(b"late", 1))
    chunks = [event.body for event in await rig.events(grant.job_id)]
    assert [body.data for body in chunks if isinstance(body, Chunk)] == [b"first", b"second"]


# Pages and cursors.


async def pages(rig: Rig, job_id: str, limit: int, after: int = 0) -> list[list[Event]]:
    found: list[list[Event]] = []
    while True:
        page = await rig.broker.jobs.events(job_id, after, limit=limit)
        if not page.events:
            return found
        found.append(list(page.events))
        after = page.events[-1].last_sequence


@pytest.mark.parametrize("reports", [0, 1, 40])
@pytest.mark.parametrize("limit", [1, 3, 500, 100_000])
async def test_pages_tile_wherever_they_are_cut(rig: Rig, limit: int, reports: int) -> None:
    grant = await rig.granted()
    for number in range(1, reports + 1):
        await report(rig, grant, number, Progress(number, reports))
    await rig.complete(grant)
    found = await pages(rig, grant.job_id, limit)
    sequences = [event.first_sequence for page in found for event in page]
    assert sequences == list(range(1, reports + 4))
    assert max(map(len, found)) <= limit
    tail = await pages(rig, grant.job_id, limit, after=2)
    assert [event.first_sequence for page in tail for event in page] == sequences[2:]


@pytest.mark.parametrize("after", [4, 2**31, 2**32, 2**53 - 1])
@pytest.mark.parametrize("logged", [False, True])
async def test_a_cursor_from_the_future_is_refused(rig: Rig, *, after: int, logged: bool) -> None:
    grant = await rig.granted()
    if logged:
        await report(rig, grant, 1, Progress(1, 1))
    newest = 3 if logged else 2
    with pytest.raises(CursorOutOfRange) as refused:
        await rig.broker.jobs.events(grant.job_id, after)
    assert refused.value.last_sequence == newest
    page = await rig.broker.jobs.events(grant.job_id, newest)
    assert (page.events, page.last_sequence, page.state) == ((), newest, JobState.RUNNING)


async def test_a_job_that_is_not_there_has_no_events(rig: Rig) -> None:
    for job_id in (rig.slot.job_id("0" * 26), "00" + "z" * 34, "short", ""):
        with pytest.raises(NotFound):
            await rig.broker.jobs.events(job_id)


# The cap.


async def fill(rig: Rig, grant: Grant, events: int) -> None:
    """Reports until the job has so many events."""
    number, told = 0, (await rig.job(grant.job_id)).last_sequence
    while told < events:
        number += 1
        size = min(100, events - told)
        await report(rig, grant, number, *[Chunk(b"x", 1)] * size)
        told += size


async def test_a_log_that_is_too_long_loses_its_oldest_events_and_says_so(rig: Rig) -> None:
    grant = await rig.granted()
    await fill(rig, grant, MOST_LINES)
    log = rig.slot.log(tail_of(grant.job_id))
    assert await rig.call("LLEN", log) == MOST_LINES
    lost = 50
    await report(rig, grant, 1_000, *[Chunk(b"last", 1)] * lost)
    assert await rig.call("LLEN", log) == MOST_LINES
    first, *rest = (await rig.broker.jobs.events(grant.job_id, limit=2)).events
    assert (first.first_sequence, first.last_sequence, first.body) == (1, lost, Gap(lost))
    assert [event.first_sequence for event in rest] == [lost + 1, lost + 2]
    # A watcher who has seen some of what was lost is told of the rest of it.
    (gap, *_) = (await rig.broker.jobs.events(grant.job_id, 20, limit=1)).events
    assert (gap.first_sequence, gap.last_sequence, gap.body) == (21, lost, Gap(lost - 20))
    (event,) = (await rig.broker.jobs.events(grant.job_id, lost, limit=1)).events
    assert event.body == Chunk(b"x", 1)


async def test_a_log_is_bounded_in_bytes_too(rig: Rig) -> None:
    """A stream of large chunks must not fill the server's memory."""
    grant = await rig.granted()
    large = Chunk(b"x" * 256 * 1024, 1)
    for number in range(1, 11):
        await report(rig, grant, number, *[large] * 10)
    log = rig.slot.log(tail_of(grant.job_id))
    kept = await rig.call("LRANGE", log, 0, -1)
    assert MOST_BYTES - 256 * 1024 < sum(map(len, kept)) <= MOST_BYTES
    assert int((await rig.record(grant.job_id))[b"lb"]) == sum(map(len, kept))
    gap, *rest = (await rig.broker.jobs.events(grant.job_id)).events
    assert gap.body == Gap(102 - len(kept))
    assert 4 <= len(rest) <= 12  # A page of about 1 MB.
    await rig.complete(grant)
    assert [event.body for event in (await rig.broker.jobs.events(grant.job_id, 101)).events] == [
        large,
        StateChange(JobState.SUCCEEDED, 1),
    ]


async def test_a_job_that_goes_back_and_forth_for_ever_keeps_a_log_of_bounded_length(
    rig: Rig,
) -> None:
    grant = await rig.granted()
    await fill(rig, grant, MOST_LINES)
    await rig.release(grant)
    assert await rig.call("LLEN", rig.slot.log(tail_of(grant.job_id))) == MOST_LINES
    (grant,) = await rig.claim()
    newest = (await rig.job(grant.job_id)).last_sequence
    (event,) = (await rig.broker.jobs.events(grant.job_id, newest - 1)).events
    assert event.body == StateChange(JobState.RUNNING, 1)


# Wake-ups.


async def test_each_event_wakes_whoever_listens(rig: Rig, url: str) -> None:
    job_id = await rig.submit()
    woken = 0

    def wake() -> None:
        nonlocal woken
        woken += 1

    wakeups = Wakeups(url)
    await wakeups.start()
    try:
        wakeups.listen(rig.slot.channel(tail_of(job_id)), wake)
        await eventually(lambda: woken == 1, "the subscription is confirmed")
        (grant,) = await rig.claim()
        await eventually(lambda: woken == 2, "the grant wakes")
        await report(rig, grant, 1, Progress(1, 2), Progress(2, 2))
        await eventually(lambda: woken == 3, "the report wakes, once")
        await rig.complete(grant)
        await eventually(lambda: woken == 4, "the end wakes")
    finally:
        await wakeups.stop()


async def test_a_page_ends_with_the_event_that_fills_it(rig: Rig) -> None:
    grant = await rig.granted()
    for number in range(1, 5):
        await report(rig, grant, number, *[Chunk(b"x" * 10_000, 1)] * 10)
    for wanted, told in [(1, 1), (10_001, 3), (50_001, 7), (1_000_000, 42)]:
        page = await rig.broker.jobs.events(grant.job_id, page_bytes=wanted)
        assert len(page.events) == told
        assert page.last_sequence == 42
