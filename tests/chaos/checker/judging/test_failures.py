"""What the checker says of calls that fail."""

from __future__ import annotations

import pytest

from tests.chaos.checker.judging.tales import plain
from tests.chaos.checker.judging.told import Tale, refuted


@pytest.mark.parametrize("rpc", ["status", "wait", "watch", "cancel"])
def test_what_was_acknowledged_is_found(rpc: str) -> None:
    tale = plain()
    op = tale.call(rpc, job="j")
    assert refuted(tale.error(op, "NOT_FOUND", sure=True)) == {"I1"}


def test_what_was_asked_for_before_the_answer_may_be_missing() -> None:
    tale = Tale()
    submit, status = tale.submit(), tale.call("status", job="j")
    tale.receipt(submit).error(status, "NOT_FOUND", sure=True)
    assert refuted(tale.start(1).end(1).final()) == set()


@pytest.mark.parametrize("code", ["UNAVAILABLE", "DEADLINE_EXCEEDED", "RESOURCE_EXHAUSTED"])
def test_an_outage_is_no_violation(code: str) -> None:
    tale = plain()
    assert refuted(tale.error(tale.call("status", job="j"), code)) == set()


@pytest.mark.parametrize("code", ["INTERNAL", "UNKNOWN", "OUT_OF_RANGE", "CANCELLED"])
def test_a_fault_of_ours_is(code: str) -> None:
    tale = plain()
    assert refuted(tale.error(tale.call("watch", job="j"), code)) == {"errors"}
    assert refuted(tale, codes=frozenset({code})) == set()


def test_a_conflict_is_for_submits_alone() -> None:
    tale = plain()
    assert refuted(tale.error(tale.call("status", job="j"), "ALREADY_EXISTS")) == {"errors"}


def test_a_job_of_a_batch_that_was_refused() -> None:
    tale = plain()
    refusal = {"code": "INTERNAL", "sure": False}
    assert refuted(tale.answer(tale.submit("x"), jobs=[refusal])) == {"errors"}
