"""Mailboxes: bounded, in order, without a hole, and with nothing merged that counts."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from penstock.broker import Chunk, Event, Gap, JobState, LogLine, Progress, StateChange
from penstock.server.mailbox import Mailbox, merge_progress

if TYPE_CHECKING:
    from collections.abc import Sequence

Body = StateChange | Progress | Chunk | LogLine | Gap

BODIES = st.one_of(
    st.builds(Progress, st.just(1.0), st.just(2.0)),
    st.builds(Progress, st.just(1.5), st.just(2.0)),
    st.builds(Chunk, st.binary(max_size=40), st.just(1)),
    st.builds(LogLine, st.just("info"), st.text(max_size=9), st.just(1)),
    st.just(StateChange(JobState.RUNNING, 1)),
)


def numbered(bodies: Sequence[Body], first: int = 1) -> list[Event]:
    return [Event(n, n, 0, body) for n, body in enumerate(bodies, first)]


def live(capacity: int, cursor: int = 0, max_bytes: int = 1_000) -> Mailbox:
    mailbox = Mailbox(cursor, capacity, max_bytes)
    mailbox.live = True
    return mailbox


def assert_tile(events: Sequence[Event], after: int = 0) -> None:
    for event in events:
        assert event.first_sequence == after + 1
        assert event.last_sequence >= event.first_sequence
        after = event.last_sequence


def test_what_is_put_is_taken_in_order() -> None:
    mailbox = live(10)
    events = numbered([Progress(1, 2), Chunk(b"x", 1)])
    for event in events:
        mailbox.put(event)
    assert mailbox.take() == events
    assert mailbox.take() == []


def test_a_fast_reader_gets_every_report() -> None:
    mailbox = live(40)
    events = numbered([Progress(n, 10) for n in range(10)])
    for event in events:
        mailbox.put(event)
    assert mailbox.take() == events


def test_progress_is_merged_into_its_newest_for_a_slow_reader() -> None:
    mailbox = live(8)
    for event in numbered([Progress(n, 100) for n in range(1, 101)]):
        mailbox.put(event)
    taken = mailbox.take()
    assert len(taken) == 2
    assert taken[-1] == Event(2, 100, 0, Progress(100, 100))
    assert_tile(taken)


def test_an_overflow_sends_the_reader_back_to_where_it_was() -> None:
    mailbox = live(8)
    chunks = numbered([Chunk(b"x", 1)] * 9)
    mailbox.put(chunks[0])
    assert mailbox.take() == [chunks[0]]
    for event in chunks[1:]:
        mailbox.put(event)
    assert len(mailbox) == 8
    mailbox.put(Event(10, 10, 0, Chunk(b"x", 1)))
    assert not mailbox.live
    assert mailbox.take() == []
    assert mailbox.cursor == 1


def test_output_is_bounded_in_bytes() -> None:
    mailbox = live(100, max_bytes=100)
    mailbox.put(Event(1, 1, 0, Chunk(b"x" * 60, 1)))
    mailbox.put(Event(2, 2, 0, LogLine("info", "y" * 60, 1)))
    assert not mailbox.live
    assert mailbox.cursor == 0


def test_what_the_watcher_has_already_is_dropped() -> None:
    mailbox = live(10, cursor=5)
    for event in numbered([Chunk(b"x", 1)] * 6):
        mailbox.put(event)
    assert [event.first_sequence for event in mailbox.take()] == [6]


def test_of_a_gap_that_reaches_back_only_the_new_part_counts() -> None:
    mailbox = live(10, cursor=5)
    mailbox.put(Event(1, 9, 0, Gap(9)))
    assert mailbox.take() == [Event(6, 9, 0, Gap(4))]


@given(st.lists(BODIES), st.integers(8, 12), st.lists(st.integers(0, 3)))
def test_a_watcher_sees_everything_that_counts(
    bodies: list[Body], capacity: int, pace: list[int]
) -> None:
    """A model of a watcher: it takes at its pace, and reads the log again where it fell behind."""
    log = numbered(bodies)
    mailbox = live(capacity, max_bytes=200)
    seen: list[Event] = []
    paces = iter(pace)
    for event in log:
        if mailbox.live:
            mailbox.put(event)
        if next(paces, 0) == 1:
            seen += mailbox.take()
    if not mailbox.live:
        seen += merge_progress(log[mailbox.cursor :])
    else:
        seen += mailbox.take()
    assert_tile(seen)
    assert (seen[-1].last_sequence if seen else 0) == len(log)
    counting = [event for event in log if not isinstance(event.body, Progress)]
    assert [event for event in seen if not isinstance(event.body, Progress)] == counting
    for event in seen:
        assert event.body == log[event.last_sequence - 1].body


@given(st.lists(BODIES))
def test_merging_keeps_the_newest_of_each_run(bodies: list[Body]) -> None:
    merged = merge_progress(numbered(bodies))
    assert_tile(merged)
    assert all(
        not (isinstance(a.body, Progress) and isinstance(b.body, Progress))
        for a, b in itertools.pairwise(merged)
    )
