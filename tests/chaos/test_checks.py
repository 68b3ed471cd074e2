"""What scenarios share refutes what it is to refute."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from penstock.client import JobState
from tests.chaos.checks import (
    expect_newest_outcomes,
    expect_rising_tokens,
    expect_undisturbed,
    starts_of,
)
from tests.chaos.history.journal import Line
from tests.chaos.result import Result


def stage(*tokens: int) -> Any:  # noqa: ANN401 - as much of a stage as is looked at.
    """A stage on which one job was begun under these tokens."""
    lines = [
        Line(at, "w", "start", {"job": "j", "token": token}) for at, token in enumerate(tokens)
    ]
    run = SimpleNamespace(result=Result("test", seed=1, command=""))
    return SimpleNamespace(run=run, lines=lambda: [*lines, Line(9, "w", "end", {"job": "j"})])


def job(state: JobState = JobState.SUCCEEDED, result: int = 2, crashes: int = 0) -> Any:  # noqa: ANN401 - as above.
    return SimpleNamespace(
        job_id="j", type="hold", state=state, result=result, attempt=1, crashes=crashes
    )


def refuted(looked_at: Any) -> list[str]:  # noqa: ANN401 - as above.
    return [violation.invariant for violation in looked_at.run.result.violations]


@pytest.mark.parametrize(
    ("tokens", "violations"), [((1, 2), []), ((1, 1), ["I6"]), ((2, 1), ["I6"])]
)
def test_tokens_rise(tokens: tuple[int, ...], violations: list[str]) -> None:
    looked_at = stage(*tokens)
    expect_rising_tokens(looked_at)
    assert refuted(looked_at) == violations


@pytest.mark.parametrize(
    ("ended", "violations"),
    [(job(), []), (job(result=1), ["I5"]), (job(JobState.FAILED), ["I5"])],
)
def test_the_outcome_is_that_of_the_newest_token(ended: Any, violations: list[str]) -> None:  # noqa: ANN401 - as above.
    looked_at = stage(1, 2)
    expect_newest_outcomes(looked_at, [ended])
    assert refuted(looked_at) == violations


def test_a_crash_is_a_disturbance() -> None:
    looked_at = stage(1)
    expect_undisturbed(looked_at.run.result, [job(), job(crashes=1)], "leases", "beside it")
    assert refuted(looked_at) == ["leases"]


def test_starts_of_some_jobs() -> None:
    lines = [Line(at, "w", "start", {"job": name}) for at, name in enumerate("aba")]
    assert {name: len(starts) for name, starts in starts_of(lines).items()} == {"a": 2, "b": 1}
    assert starts_of(lines, {"b"}).keys() == {"b"}
