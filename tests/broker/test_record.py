"""Plain data: how a job is written into its record and read back, and how long a retry waits."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.broker import Backoff, Content, JobState, NewJob, Priority
from penstock.broker.record import INLINE_BYTES, decode_job, digest_of, encode_new

text = st.text(max_size=20)
spans = st.integers(0, 366 * 86_400_000)
backoffs = st.builds(
    Backoff,
    initial_ms=st.integers(0, 86_400_000),
    max_ms=st.integers(0, 86_400_000),
    multiplier=st.floats(1.0, allow_nan=False, allow_infinity=False),
    jitter=st.floats(0.0, 1.0),
)
contents = st.builds(Content, st.binary(max_size=100), text)
jobs = st.builds(
    NewJob,
    type=text,
    queue=st.just("q"),
    request_id=text,
    payload=contents,
    max_attempts=st.integers(1, 100),
    backoff=backoffs,
    timeout_ms=st.none() | spans,
    retention_ms=st.integers(1_000, 366 * 86_400_000),
    retention_succeeded_ms=st.none() | st.integers(1_000, 366 * 86_400_000),
    metadata=st.dictionaries(text, text, max_size=3),
    retried_from=text,
)


def fields_of_new(job: NewJob) -> dict[bytes, bytes]:
    """The record as Redis holds it after submit.lua, of which these are the last arguments."""
    flat = [
        part if isinstance(part, bytes) else str(part).encode()
        for part in [*encode_new(job), "s", "Q", "c", 5, "n", 1]
    ]
    return dict(zip(flat[::2], flat[1::2], strict=True))


@given(jobs)
def test_a_record_is_read_back_as_it_was_written(spec: NewJob) -> None:
    fields = fields_of_new(spec)
    apart = spec.payload.data if b"pl" in fields else None
    assert (apart is not None) == (len(spec.payload.data) > INLINE_BYTES)
    job = decode_job("id", "q", fields, payload=apart, with_payload=True)
    for name in (
        "type", "payload", "max_attempts", "backoff", "timeout_ms", "retention_ms", "metadata",
        "retried_from",
    ):  # fmt: skip
        assert getattr(job, name) == getattr(spec, name), name
    kept_ms = (
        spec.retention_ms if spec.retention_succeeded_ms is None else spec.retention_succeeded_ms
    )
    assert (job.retention_succeeded_ms or job.retention_ms) == kept_ms
    assert (job.state, job.priority, job.queued_ms) == (JobState.QUEUED, Priority.DEFAULT, 5)


def test_what_is_default_costs_nothing() -> None:
    assert set(fields_of_new(NewJob("", "q", ""))) == {b"t", b"p", b"s", b"c", b"n"}


@given(jobs, jobs)
def test_a_digest_tells_work_from_work_and_nothing_else(first: NewJob, second: NewJob) -> None:
    same = (first.type, first.payload) == (second.type, second.payload)
    assert (digest_of(first) == digest_of(second)) == same


def test_the_parts_of_a_digest_cannot_be_shifted_into_each_other() -> None:
    first = NewJob("ab", "q", "r", Content(b"c", "d"))
    second = NewJob("a", "q", "r", Content(b"c", "bd"))
    assert digest_of(first) != digest_of(second)


# Pauses between attempts.


def test_pauses_double_up_to_the_longest() -> None:
    backoff = Backoff(initial_ms=100, max_ms=1_000, multiplier=2.0, jitter=0.0)
    pauses = [backoff.delay_ms(failures, spread=0.0) for failures in range(1, 7)]
    assert pauses == [100, 200, 400, 800, 1_000, 1_000]


@pytest.mark.parametrize(("spread", "delay_ms"), [(-1.0, 80), (0.0, 100), (1.0, 120)])
def test_jitter_spreads_a_pause_both_ways(spread: float, delay_ms: int) -> None:
    assert Backoff(100, 1_000, 2.0, 0.2).delay_ms(1, spread) == delay_ms


@given(backoffs, st.integers(1, 100), st.floats(-1.0, 1.0))
def test_a_pause_is_never_negative_nor_longer_than_the_longest_and_its_jitter(
    backoff: Backoff, failures: int, spread: float
) -> None:
    delay_ms = backoff.delay_ms(failures, spread)
    assert 0 <= delay_ms <= math.ceil(backoff.max_ms * (1 + backoff.jitter))
    assert delay_ms <= backoff.delay_ms(failures + 1, spread)
