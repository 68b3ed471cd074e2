"""I1, I2, I3: what the checker says of jobs that are lost, made up, or made twice."""

from __future__ import annotations

from typing import Any

import pytest

from tests.chaos.checker.judging.tales import plain
from tests.chaos.checker.judging.told import Tale, found, refuted
from tests.chaos.checker.scene import Loss


class TestI1:
    """No acknowledged job is lost, and all end as planned."""

    def test_gone(self) -> None:
        (violation,) = found(Tale().submitted().start(1))
        assert violation.invariant == "I1"
        assert "acknowledged" in violation.text
        assert [line.split()[3] for line in violation.witness] == ["call", "start"]

    def test_gone_after_an_answer_that_was_never_given(self) -> None:
        tale = Tale()
        tale.error(tale.submit(), "UNAVAILABLE")
        assert refuted(tale) == set()
        assert refuted(tale.start(1)) == {"I1"}

    @pytest.mark.parametrize(
        "told",
        [
            {"state": "CANCELLED"},
            {"state": "EXPIRED"},
            {"state": "FAILED", "reason": "NON_RETRYABLE"},
            {"state": "FAILED", "reason": "TIMED_OUT"},
        ],
    )
    def test_ended_as_nobody_planned(self, told: dict[str, Any]) -> None:
        assert refuted(Tale().submitted().start(1).final(**told)) == {"I1"}

    def test_a_cancel_that_was_not_answered_may_have_been_done(self) -> None:
        tale = Tale().submitted()
        tale.error(tale.call("cancel", job="j"), "DEADLINE_EXCEEDED")
        assert refuted(tale.final(state="CANCELLED")) == set()

    def test_a_documented_loss_is_forgiven(self) -> None:
        tale = Tale().submitted()
        until = tale.lines[-1].at
        assert refuted(tale, losses=(Loss(0, until),)) == set()
        assert refuted(tale.submitted("x", "x"), losses=(Loss(0, until),)) == {"I1"}

    def test_durability(self) -> None:
        assert refuted(plain(), durability="ALWAYS") == set()
        assert refuted(plain(), durability="REPLICATED") == {"I1"}


def test_a_retry_of_a_job_that_nobody_saw() -> None:
    tale = plain()
    tale.error(tale.call("retry", job="unseen", request="r-2"), "UNAVAILABLE")
    assert refuted(tale) == set()


class TestLiveness:
    """Every job ends."""

    @pytest.mark.parametrize("left", ["QUEUED", "SCHEDULED", "RUNNING"])
    def test_left(self, left: str) -> None:
        tale = Tale().submitted().final(state=left, token=0, attempt=0)
        assert refuted(tale) == {"liveness"}
        assert refuted(tale, settled=False) == set()


class TestI2:
    """Nothing runs that nobody submitted."""

    def test_a_phantom(self) -> None:
        tale = plain().start(7, job="p", work="p").end(7, job="p")
        tale.final(job="p", work="p", token=7, result={"work": "p", "token": 7})
        assert refuted(tale) == {"I2"}

    def test_one_that_was_refused(self) -> None:
        tale = plain()
        tale.error(tale.submit("p"), "RESOURCE_EXHAUSTED", sure=True)
        end: dict[str, Any] = {
            "job": "p",
            "work": "p",
            "state": "CANCELLED",
            "token": 0,
            "attempt": 0,
        }
        assert refuted(tale.final(**end)) == {"I2"}

    def test_other_work(self) -> None:
        tale = Tale().submitted().start(1, work="other").end(1).final()
        assert "I2" in refuted(tale)

    def test_stored_as_other_work(self) -> None:
        tale = Tale().submitted().start(1).end(1).final(work="other")
        assert refuted(tale) == {"I2"}


class TestI3:
    """One job for each request and key."""

    def test_two_jobs_for_a_request(self) -> None:
        tale = plain().submitted("w", "k").start(2, job="k").end(2, job="k")
        tale.final(job="k", token=2)
        assert refuted(tale) == {"I3"}

    def test_two_jobs_for_a_request_that_was_never_answered(self) -> None:
        tale = plain()
        tale.error(tale.submit("x"), "UNAVAILABLE")
        for job, token in (("x", 2), ("y", 3)):
            tale.start(token, job=job, work="x").end(token, job=job)
            tale.final(job=job, work="x", token=token, result={"work": "x", "token": token})
        assert refuted(tale) == {"I3"}

    def test_two_jobs_for_a_key(self) -> None:
        tale = Tale().submitted("a", "a", request="r-1", key="key")
        tale.submitted("a", "b", request="r-2", key="key")
        for job, token in (("a", 1), ("b", 2)):
            tale.start(token, job=job, work="a").end(token, job=job)
            tale.final(job=job, work="a", token=token, result={"work": "a", "token": token})
        assert refuted(tale) == {"I3"}

    def test_one_job_for_two_works(self) -> None:
        tale = plain()
        tale.receipt(
            tale.submit("other", request="r-w"), "j", outcome="REPEATED", state="SUCCEEDED"
        )
        assert refuted(tale) == {"I3"}

    def test_made_twice(self) -> None:
        tale = plain()
        tale.receipt(tale.submit(), "j", state="SUCCEEDED")
        assert refuted(tale) == {"I3"}

    def test_refused_for_no_reason(self) -> None:
        tale = plain()
        tale.error(tale.submit(), "ALREADY_EXISTS", sure=True)
        assert refuted(tale) == {"I3"}

    def test_repeated_before_it_was_answered(self) -> None:
        tale = Tale()
        first, second = tale.submit(), tale.submit()
        tale.receipt(second, outcome="REPEATED").error(first, "UNAVAILABLE")
        assert refuted(tale.start(1).end(1).final()) == set()
