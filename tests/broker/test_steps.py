"""What is done about an occurrence that has come due: in time, late, or after an outage."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from cronsim import CronSim
from hypothesis import given
from hypothesis import strategies as st

from penstock.broker.schedule import CatchUp, Overlap, SchedulePolicy
from penstock.broker.steps import (
    LATEST_LOOK_MS,
    LONGEST_LAG_MS,
    MOST_COUNTED,
    SOONEST_LOOK_MS,
    Step,
    Waiting,
    look_again_ms,
    next_step,
)
from penstock.broker.timing import Timing

if TYPE_CHECKING:
    from datetime import datetime

NOON = 1_800_000_000_000
MINUTE = 60_000
DAY = 86_400_000


def waiting(
    catch_up: CatchUp = CatchUp.LAST,
    attended_ms: int = NOON - MINUTE,
    **policies: Any,  # noqa: ANN401 - the fields of SchedulePolicy.
) -> Waiting:
    """A schedule of a minute's interval that waits for noon."""
    return Waiting(
        "s",
        Timing(interval_ms=MINUTE, anchor_ms=NOON - DAY),
        replace(SchedulePolicy(catch_up=catch_up), **policies),
        NOON,
        attended_ms,
    )


@pytest.mark.parametrize("catch_up", CatchUp)
@pytest.mark.parametrize("late_ms", [0, 7, 60_000])
def test_in_time_is_up_to_the_tolerance(catch_up: CatchUp, late_ms: int) -> None:
    assert next_step(waiting(catch_up), NOON + late_ms) == Step(NOON, NOON + MINUTE)


@pytest.mark.parametrize(
    ("catch_up", "expected"),
    [
        (CatchUp.NONE, Step(None, NOON + 10 * MINUTE, missed=10)),
        (CatchUp.LAST, Step(NOON + 10 * MINUTE, NOON + 11 * MINUTE, missed=10)),
        (CatchUp.ALL, Step(NOON + 8 * MINUTE, NOON + 9 * MINUTE, missed=8)),
    ],
)
def test_after_an_outage_the_policy_chooses(catch_up: CatchUp, expected: Step) -> None:
    assert next_step(waiting(catch_up, limit=3), NOON + 10 * MINUTE + 30_000) == expected


def test_a_backlog_that_is_worked_off_is_no_outage() -> None:
    now_ms = NOON + 60 * MINUTE
    first = next_step(waiting(CatchUp.ALL, limit=1_000), now_ms)
    assert first == Step(NOON, NOON + MINUTE)
    second = replace(
        waiting(CatchUp.ALL, limit=1_000), next_ms=NOON + MINUTE, attended_ms=now_ms - 5
    )
    assert next_step(second, now_ms) == Step(NOON + MINUTE, NOON + 2 * MINUTE)


def test_what_waited_for_a_job_is_not_missed() -> None:
    held = waiting(CatchUp.NONE, attended_ms=NOON + 60 * MINUTE, overlap=Overlap.QUEUE)
    assert next_step(held, NOON + 60 * MINUTE + 5_000) == Step(NOON, NOON + MINUTE)


def test_a_schedule_that_lags_too_much_leaves_out_the_oldest_but_never_the_newest() -> None:
    now_ms = NOON + LONGEST_LAG_MS + 5 * MINUTE
    held = waiting(attended_ms=now_ms, overlap=Overlap.QUEUE)
    assert next_step(held, now_ms) == Step(None, NOON + 6 * MINUTE, skipped=6)
    weekly = replace(held, timing=Timing(interval_ms=7 * DAY, anchor_ms=NOON))
    assert next_step(weekly, now_ms) == Step(NOON, NOON + 7 * DAY)


def test_counting_is_bounded() -> None:
    step = next_step(waiting(), NOON + 365 * DAY)
    assert step.missed == MOST_COUNTED
    assert step.fire_ms == NOON + 365 * DAY


def test_the_end_of_a_schedule_is_no_next_occurrence() -> None:
    timing = Timing(interval_ms=MINUTE, anchor_ms=NOON - DAY, end_ms=NOON + MINUTE)
    ending = replace(waiting(), timing=timing)
    assert next_step(ending, NOON) == Step(NOON, NOON + MINUTE)
    assert next_step(replace(ending, next_ms=NOON + MINUTE), NOON + MINUTE) == Step(
        NOON + MINUTE, None
    )
    none = replace(ending, policy=SchedulePolicy(catch_up=CatchUp.NONE))
    assert next_step(none, NOON + DAY) == Step(None, None, missed=2)


def test_jitter_holds_back_what_an_outage_would_run() -> None:
    timing = Timing(interval_ms=MINUTE, anchor_ms=NOON - DAY, jitter_ms=MINUTE)
    late = replace(waiting(), timing=timing)
    now_ms = NOON + 10 * MINUTE
    step = next_step(late, now_ms)
    assert step.fire_ms is not None
    assert late.due_ms(step.fire_ms) <= now_ms


def every_minute(catch_up: CatchUp, **policies: Any) -> Waiting:  # noqa: ANN401 - as above.
    """Occurrences that jitter moves by up to an hour, so that a later one may fire first."""
    timing = Timing(cron="* * * * *", jitter_ms=60 * MINUTE)
    state = waiting(catch_up, **policies)
    first = replace(state, timing=timing).due_ms(NOON)
    return replace(state, timing=timing, attended_ms=first)


@pytest.mark.parametrize("seconds", range(0, 600, 60))
def test_the_last_is_run_though_jitter_holds_later_ones_back(seconds: int) -> None:
    late = every_minute(CatchUp.LAST)
    now_ms = late.attended_ms + DAY + seconds * 1_000
    due = [each for each in range(NOON, now_ms, MINUTE) if late.due_ms(each) <= now_ms]
    assert next_step(late, now_ms).fire_ms == due[-1]
    three = replace(late, policy=SchedulePolicy(catch_up=CatchUp.ALL, limit=3))
    assert next_step(three, now_ms).fire_ms == due[-3]


def test_what_jitter_still_holds_back_is_not_left_out() -> None:
    late = every_minute(CatchUp.NONE)
    now_ms = late.attended_ms + DAY
    step = next_step(late, now_ms)
    in_time = [
        each
        for each in range(NOON, now_ms + MINUTE, MINUTE)
        if now_ms - late.due_ms(each) <= late.policy.tolerance_ms
    ]
    assert step == Step(None, in_time[0], missed=MOST_COUNTED)


def test_a_short_outage_is_worked_out_from_what_it_lasted(monkeypatch: pytest.MonkeyPatch) -> None:
    """And not from the most that might have been missed: all schedules are late at once."""
    steps: list[datetime] = []

    class Counted(CronSim):
        def __next__(self) -> datetime:
            steps.append(found := super().__next__())
            return found

    monkeypatch.setattr("penstock.broker.timing.CronSim", Counted)
    state = replace(waiting(CatchUp.ALL, limit=1_000), timing=Timing(cron="* * * * *"))
    assert next_step(state, NOON + 5 * MINUTE).fire_ms == NOON
    assert 0 < len(steps) < 50


def test_what_is_held_up_is_looked_at_the_less_often_the_longer_it_is() -> None:
    assert look_again_ms(waiting(), NOON) == NOON + SOONEST_LOOK_MS
    assert look_again_ms(waiting(), NOON + 20_000) == NOON + 22_000
    assert look_again_ms(waiting(), NOON + DAY) == NOON + DAY + LATEST_LOOK_MS


@given(
    st.sampled_from(CatchUp),
    st.sampled_from(Overlap),
    st.integers(2_000, 5 * MINUTE),
    st.integers(0, 30_000),
    st.integers(1, 5),
    st.lists(st.integers(0, 20 * MINUTE), max_size=8),
)
def test_each_occurrence_is_fired_left_out_or_still_to_come(  # noqa: PLR0917 - by hypothesis.
    catch_up: CatchUp,
    overlap: Overlap,
    interval_ms: int,
    jitter_ms: int,
    limit: int,
    pauses: list[int],
) -> None:
    """Whatever outages there are: nothing comes twice, all is in order, and the counts add up."""
    timing = Timing(interval_ms=interval_ms, anchor_ms=NOON, jitter_ms=min(jitter_ms, interval_ms))
    policy = SchedulePolicy(overlap, catch_up, limit)
    state, now_ms = Waiting("s", timing, policy, NOON, 0), NOON
    fired: list[int] = []
    left_out = 0
    for pause_ms in pauses:
        now_ms += pause_ms
        while state.due_ms(state.next_ms) <= now_ms:
            step = next_step(state, now_ms)
            assert step.next_ms is not None
            if step.fire_ms is not None:
                assert state.next_ms <= step.fire_ms < step.next_ms
                fired.append(step.fire_ms)
            left_out += step.missed + step.skipped
            state = replace(state, next_ms=step.next_ms, attended_ms=now_ms)
    assert fired == sorted(set(fired))
    assert len(fired) + left_out == (state.next_ms - NOON) // interval_ms
    if catch_up is CatchUp.ALL and limit * interval_ms > sum(pauses):
        assert left_out == 0
