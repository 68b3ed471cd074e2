"""Waits grow, stay within their bounds, and are spread."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.runtime import Backoff, jittered

backoffs = st.builds(
    lambda initial, span, multiplier, jitter: Backoff(initial, initial + span, multiplier, jitter),
    st.floats(0, 3600),
    st.floats(0, 86400),
    st.floats(1, 100),
    st.floats(0, 1),
)


@given(backoffs, st.integers(1, 10_000))
def test_a_wait_is_within_its_bounds(backoff: Backoff, retry: int) -> None:
    delay_s = backoff.delay_s(retry)
    assert backoff.initial_s * (1 - backoff.jitter) <= delay_s
    assert delay_s <= backoff.max_s * (1 + backoff.jitter)


@given(backoffs, st.integers(1, 10_000))
def test_without_jitter_no_wait_is_shorter_than_the_one_before(
    backoff: Backoff, retry: int
) -> None:
    steady = replace(backoff, jitter=0)
    assert steady.delay_s(retry) <= steady.delay_s(retry + 1)


def test_waits_double_up_to_the_limit() -> None:
    backoff = Backoff(initial_s=1, max_s=5, multiplier=2, jitter=0)
    assert [backoff.delay_s(retry) for retry in range(1, 6)] == [1, 2, 4, 5, 5]


def test_jitter_spreads() -> None:
    assert len({jittered(10, 0.1) for _ in range(50)}) > 40
    assert jittered(10, 0) == 10


@pytest.mark.parametrize(
    "wrong",
    [{"initial_s": -1}, {"initial_s": 2, "max_s": 1}, {"multiplier": 0.5}, {"jitter": 1.5}],
)
def test_a_backoff_out_of_range_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="a backoff needs"):
        Backoff(**wrong)
