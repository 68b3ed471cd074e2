"""When schedules fire: expressions, intervals, time zones, and the days on which clocks change."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime, timedelta
from itertools import islice, pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.broker.timing import Timing, TimingError, read_timing, write_timing

BERLIN = "Europe/Berlin"


def ms(text: str, zone: str = "UTC") -> int:
    """A time in ISO 8601 (with an offset, or local in the zone)."""
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=ZoneInfo(zone))
    return round(moment.timestamp() * 1000)


def times(timing: Timing, after: str, count: int) -> list[str]:
    """The next occurrences, in UTC."""
    found = islice(timing.all_after(ms(after)), count)
    return [f"{datetime.fromtimestamp(each / 1000, UTC):%Y-%m-%dT%H:%M:%S}" for each in found]


def test_an_expression_is_read_in_its_time_zone() -> None:
    timing = Timing(cron="0 9 * * MON-FRI", time_zone=BERLIN)
    assert times(timing, "2026-01-09T08:00:00", 2) == ["2026-01-12T08:00:00", "2026-01-13T08:00:00"]
    assert times(timing, "2026-07-01T00:00:00", 1) == ["2026-07-01T07:00:00"]


def test_six_fields_begin_with_seconds() -> None:
    timing = Timing(cron="*/20 * * * * *")
    assert times(timing, "2026-01-01T00:00:01", 3) == [
        "2026-01-01T00:00:20",
        "2026-01-01T00:00:40",
        "2026-01-01T00:01:00",
    ]


@pytest.mark.parametrize(
    ("cron", "expected"),
    [
        # 02:30 is not there on 2026-03-29: it fires at the gap's end, 03:00 (01:00 UTC), once.
        ("30 2 * * *", ["2026-03-28T01:30:00", "2026-03-29T01:00:00", "2026-03-30T00:30:00"]),
        ("0,30 2 29 3 *", ["2026-03-29T01:00:00", "2027-03-29T00:00:00"]),
        # By the elapsed time: an hour has no 02:xx to miss.
        ("0 */2 28-29 3 *", ["2026-03-28T01:00:00", "2026-03-28T03:00:00"]),
    ],
)
def test_clocks_go_forward(cron: str, expected: list[str]) -> None:
    start = "2026-03-28T00:00:00"
    assert times(Timing(cron=cron, time_zone=BERLIN), start, len(expected)) == expected


def test_what_falls_into_the_gap_is_left_out_by_those_that_follow_the_elapsed_time() -> None:
    timing = Timing(cron="0 30 2 * * *", time_zone=BERLIN)
    assert times(timing, "2026-03-28T00:00:00", 2) == ["2026-03-28T01:30:00", "2026-03-30T00:30:00"]


def test_clocks_go_back() -> None:
    """02:30 comes twice on 2026-10-25: at 00:30 and at 01:30 UTC."""
    once = Timing(cron="30 2 * * *", time_zone=BERLIN)
    assert times(once, "2026-10-25T00:00:00", 2) == ["2026-10-25T00:30:00", "2026-10-26T01:30:00"]
    # Also for whoever asks between the two.
    assert times(once, "2026-10-25T01:10:00", 1) == ["2026-10-26T01:30:00"]
    twice = Timing(cron="30 * * * *", time_zone=BERLIN)
    assert times(twice, "2026-10-25T00:00:00", 3) == [
        "2026-10-25T00:30:00",
        "2026-10-25T01:30:00",
        "2026-10-25T02:30:00",
    ]


def test_clocks_go_back_by_half_an_hour() -> None:
    """01:30 to 02:00 comes twice on 2024-04-07: at 14:30 and at 15:00 UTC of the day before."""
    timing = Timing(cron="*/20 */5 7 4 *", time_zone="Australia/Lord_Howe")
    expected = [
        "2024-04-06T13:40:00",
        "2024-04-06T18:30:00",  # 05:00.
        "2024-04-06T18:50:00",
        "2024-04-06T19:10:00",
    ]
    assert times(timing, "2024-04-06T13:30:00", 4) == expected
    assert times(timing, "2024-04-06T17:00:00", 3) == expected[1:]


def test_an_interval_is_counted_from_its_anchor() -> None:
    timing = Timing(interval_ms=1_500, anchor_ms=10_000)
    assert list(islice(timing.all_after(0), 3)) == [10_000, 11_500, 13_000]
    assert timing.after(11_499) == 11_500
    assert timing.after(11_500) == 13_000
    assert timing.latest(2, 13_100) == [11_500, 13_000]
    assert timing.latest(5, 11_600) == [10_000, 11_500]
    assert timing.latest(5, 13_100, 11_500) == [11_500, 13_000]


def test_nothing_occurs_before_the_start_or_after_the_end() -> None:
    start, end = ms("2026-01-01T00:10:00"), ms("2026-01-01T00:20:00")
    timing = Timing(cron="*/5 * * * *", start_ms=start, end_ms=end)
    assert times(timing, "2025-01-01", 9) == [
        "2026-01-01T00:10:00",
        "2026-01-01T00:15:00",
        "2026-01-01T00:20:00",
    ]
    assert timing.after(end) is None
    assert timing.latest(2, end + 10**9) == [end - 300_000, end]
    assert timing.latest(9, start) == [start]
    assert timing.count(start, end, 100) == 2
    assert timing.count(start, end, 1) == 1


@pytest.mark.parametrize(
    "cron",
    [
        "", " ", "* * * *", "* * * * * * *", "60 * * * *", "x", "0 0 30 2 *", "0 0 31 2,4,6 *",
        "@daily", "* * * * 8", "*/0 * * * *", "1-0 * * * *", "* * * * MON#6", "²L * * * *",
    ],
)  # fmt: skip
def test_what_is_no_expression_is_told(cron: str) -> None:
    with pytest.raises(TimingError) as refusal:
        Timing(cron=cron or " ", time_zone=BERLIN).check()
    assert refusal.value.part == "expression"


@pytest.mark.parametrize(("cron", "number"), [("0 3 * *", 4), ("@daily", 1)])
def test_who_gives_too_few_fields_is_told_which_there_are(cron: str, number: int) -> None:
    with pytest.raises(TimingError, match=f"five fields .* or six .*: found {number}"):
        Timing(cron=cron).check()


def test_an_expression_that_never_fires_is_seen_in_a_moment() -> None:
    timing = Timing(cron="0 0 * 2 MON#5", end_ms=ms("2040-01-01"))
    assert timing.after(ms("2026-01-01")) is None  # The next one is in 2044.


@pytest.mark.parametrize(
    "zone", ["", "Nowhere", "europe/berlin/", "../../etc/passwd", "/etc/passwd", "Europe", "a\0b"]
)
def test_what_is_no_time_zone_is_told(zone: str) -> None:
    with pytest.raises(TimingError) as refusal:
        Timing(cron="* * * * *", time_zone=zone).check()
    assert refusal.value.part == "time_zone"


def test_jitter_is_the_same_each_time_and_spread() -> None:
    timing = Timing(interval_ms=60_000, jitter_ms=10_000)
    delays = [timing.delay_ms("report", number * 60_000) for number in range(1_000)]
    assert delays == [timing.delay_ms("report", number * 60_000) for number in range(1_000)]
    assert min(delays) < 500
    assert 9_500 < max(delays) <= 10_000
    assert Timing(interval_ms=60_000).delay_ms("report", 0) == 0


def test_the_shortest_distance_is_that_of_the_next_occurrences() -> None:
    timing = Timing(cron="0 9,12 * * *")
    assert timing.least_distance_ms(ms("2026-01-01"), 50) == 3 * 3_600_000
    assert timing.least_distance_ms(ms("2026-01-01"), 1) is None
    ended = Timing(cron="0 9,12 * * *", end_ms=ms("2026-01-01 10:00"))
    assert ended.least_distance_ms(ms("2026-01-01"), 50) is None


# Properties.

ZONES = ["UTC", BERLIN, "America/New_York", "Australia/Lord_Howe", "America/Santiago", "Asia/Kabul"]
fields = st.sampled_from(["*", "*/7", "0", "5,20", "1-3", "30"])
crons = st.builds(
    " ".join,
    st.tuples(fields, st.sampled_from(["*", "*/5", "2", "0,2,3", "1-4"]), st.sampled_from(
        ["*", "1", "L", "29", "*/9"]
    ), st.sampled_from(["*", "3", "2-11", "10,4"]), st.sampled_from(["*", "SUN", "MON-FRI"])),
)  # fmt: skip
moments = st.integers(ms("2024-01-01"), ms("2028-01-01"))
timings = st.one_of(
    st.builds(Timing, cron=crons, time_zone=st.sampled_from(ZONES)),
    st.builds(
        Timing, interval_ms=st.integers(1_000, 10**9), anchor_ms=st.integers(0, ms("2026-01-01"))
    ),
)


@given(timings, moments)
def test_occurrences_rise_and_can_be_found_from_anywhere(timing: Timing, moment: int) -> None:
    found = list(islice(timing.all_after(moment), 20))
    assert all(earlier < later for earlier, later in pairwise([moment, *found]))
    for earlier, later in pairwise(found):
        assert timing.after(earlier) == later
        assert timing.after((earlier + later) // 2) == later
        assert timing.after(later - 1) == later


@given(timings, moments, st.integers(1, 8))
def test_the_newest_are_those_that_come_up_forwards(timing: Timing, moment: int, most: int) -> None:
    found = list(islice(timing.all_after(moment), 12))
    if len(found) < 12 or found[-1] > ms("2030-01-01"):
        return
    assert timing.latest(most, found[-1])[-most:] == found[-most:]
    assert timing.latest(most, found[-1] - 1)[-most:] == found[-most - 1 : -1]
    assert timing.count(found[0], found[-1], 1_000) == len(found) - 1


@given(timings, st.none() | moments, st.none() | moments, st.integers(0, 86_400_000))
def test_a_timing_is_read_back_as_it_was_written(
    timing: Timing, start: int | None, end: int | None, jitter: int
) -> None:
    timing = Timing(
        timing.cron, timing.time_zone, timing.interval_ms, timing.anchor_ms, start, end, jitter
    )
    assert read_timing(write_timing(timing)) == timing


@given(st.text(max_size=30) | st.text("0123456789*,-/#LW? ", max_size=30), st.sampled_from(ZONES))
def test_any_text_is_an_expression_or_is_refused(cron: str, zone: str) -> None:
    timing = Timing(cron=cron or "x", time_zone=zone)
    with suppress(TimingError):
        timing.check()
        start = datetime(2026, 1, 1, tzinfo=UTC)
        found = timing.after(round(start.timestamp() * 1000))
        assert found is None or found > round((start - timedelta(seconds=1)).timestamp() * 1000)
