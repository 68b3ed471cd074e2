"""Durations and times: what people may type, and what they are shown."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.cli import times

NOON = datetime(2030, 1, 31, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90", 90),
        ("0", 0),
        ("1.5", 1.5),
        ("250ms", 0.25),
        ("90s", 90),
        ("1h30m", 5400),
        ("1D", 86400),
        (" 2w ", 1209600),
        ("1m30.5s", 90.5),
    ],
)
def test_a_duration_is_read(text: str, seconds: float) -> None:
    assert times.duration(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize(
    "text", ["", "h", "-5s", "5 s 3", "1y", "m5", "1e5", "nan", "9" * 40 + "d"]
)
def test_what_is_no_duration_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ValueError, match="duration"):
        times.duration(text)


@given(st.integers(0, 10**8))
def test_a_shown_duration_fits_its_column(milliseconds: int) -> None:
    assert 3 <= len(times.short(milliseconds / 1000)) <= 7


def test_a_time_with_an_offset_is_that_time() -> None:
    assert times.moment("2030-01-31T12:00Z") == NOON
    assert times.moment("2030-01-31T14:00+02:00") == NOON


def test_a_time_without_an_offset_is_local() -> None:
    assert times.moment("2030-01-31T12:00") == NOON.replace(tzinfo=None).astimezone()


@pytest.mark.parametrize("text", ["", "tomorrow", "2030-13-01", "12:00"])
def test_what_is_no_time_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ValueError, match="2030-01-31T18:00"):
        times.moment(text)


def test_how_long_ago() -> None:
    assert times.ago(NOON - timedelta(seconds=5), NOON) == "5.0 s ago"
    assert times.ago(NOON + timedelta(minutes=5), NOON) == "in 5m00s"
    assert times.ago(None, NOON) == "-"


def test_machines_get_utc() -> None:
    local = NOON.astimezone()
    assert times.isoformat(local) == "2030-01-31T12:00:00.000+00:00"
    assert times.isoformat(None) is None
