"""I4, I5, I6: what the checker says of two outcomes, stale attempts, and falling tokens."""

from __future__ import annotations

from typing import Any

import pytest

from tests.chaos.checker.judging.tales import plain
from tests.chaos.checker.judging.told import Tale, found, refuted, view


class TestI4:
    """One outcome, for ever."""

    def test_two(self) -> None:
        end: dict[str, Any] = {"state": "FAILED", "reason": "NON_RETRYABLE"}
        tale = Tale().submitted(ends=["SUCCEEDED", "FAILED:NON_RETRYABLE"]).start(1).end(1)
        (violation,) = found(tale.seen().final(**end))
        assert violation.invariant == "I4"
        assert len(violation.witness) == 2

    def test_two_results(self) -> None:
        tale = Tale().submitted().start(1).end(1).seen(result={"work": "w", "token": 1, "n": 2})
        assert refuted(tale.final()) == {"I4"}

    @pytest.mark.parametrize("told", [{"token": 2}, {"sequence": 4}, {"attempt": 2}])
    def test_changed(self, told: dict[str, Any]) -> None:
        tale = Tale().submitted(max_attempts=9).start(1).end(1).seen()
        assert "I4" in refuted(tale.final(**told))

    def test_alive_again(self) -> None:
        tale = Tale().submitted().start(1).end(1).seen()
        tale.seen(state="RUNNING", sequence=5)
        assert "I4" in refuted(tale.final())

    def test_alive_at_a_repeated_submit(self) -> None:
        tale = Tale().submitted().start(1).end(1).seen()
        tale.receipt(tale.submit(), outcome="REPEATED", state="RUNNING")
        assert refuted(tale.final()) == {"I4"}

    def test_a_view_that_was_asked_for_before_may_be_older(self) -> None:
        tale = Tale().submitted().start(1)
        slow = tale.call("status", job="j")
        tale.end(1).seen().answer(slow, **view(state="RUNNING", sequence=2))
        assert refuted(tale.final()) == set()


class TestI5:
    """The outcome is that of the highest token."""

    def two_attempts(self, **end: Any) -> Tale:  # noqa: ANN401
        tale = Tale().submitted().start(1).start(3, 2).end(1).end(3)
        told: dict[str, Any] = {"attempt": 2, "crashes": 1, "sequence": 5, **end}
        return tale.final(**told)

    def test_of_the_last_attempt(self) -> None:
        assert refuted(self.two_attempts(token=3)) == set()

    def test_of_a_stale_attempt(self) -> None:
        assert refuted(self.two_attempts(token=1, attempt=1, crashes=0)) == {"I5", "I9"}

    def test_of_a_stale_attempt_under_a_new_token(self) -> None:
        tale = self.two_attempts(token=3, result={"work": "w", "token": 1})
        assert refuted(tale) == {"I5"}

    def test_of_nobody(self) -> None:
        assert refuted(Tale().submitted().final()) == {"I5"}
        assert refuted(Tale().submitted().start(1).final()) == {"I5"}
        assert refuted(Tale().submitted().start(1).end(1).final(result=None)) == {"I5"}

    def test_of_other_work(self) -> None:
        tale = Tale().submitted().start(1).end(1)
        assert refuted(tale.final(result={"work": "x", "token": 1})) == {"I5"}

    def test_a_failure_of_a_stale_attempt(self) -> None:
        tale = Tale().submitted(ends=["FAILED:EXHAUSTED"], max_attempts=1)
        tale.start(1).start(3, 2).end(1, "raise")
        assert refuted(tale.final(state="FAILED", reason="EXHAUSTED")) == {"I5"}

    def test_another_result_than_that_which_was_cached(self) -> None:
        tale = plain()
        tale.receipt(tale.submit("w", request="r-2", cache_ms=1000), "d", outcome="CACHED")
        hit: dict[str, Any] = {"token": 0, "attempt": 0, "sequence": 1, "cached_from": "j"}
        assert refuted(tale.final(job="d", result={"work": "w", "token": 9}, **hit)) == {"I5"}

    def hit(self, tale: Tale, work: str = "w", **told: Any) -> Tale:  # noqa: ANN401
        """Another submit is answered from the cache."""
        op = tale.submit(work, request="r-2", cache_ms=1000)
        tale.receipt(op, "d", outcome="CACHED", state="SUCCEEDED")
        hit: dict[str, Any] = {"token": 0, "attempt": 0, "sequence": 1, "cached_from": "j"}
        hit["result"] = {"work": "w", "token": 1}
        return tale.final(job="d", work=work, **{**hit, **told})

    def test_the_cache(self) -> None:
        assert refuted(self.hit(plain().later(900))) == set()

    def test_from_the_cache_for_other_work(self) -> None:
        assert refuted(self.hit(plain(), work="x")) == {"I5"}

    def test_from_the_cache_without_a_result(self) -> None:
        assert refuted(self.hit(plain(), result=None)) == {"I5"}

    def test_from_the_cache_of_nobody(self) -> None:
        assert refuted(self.hit(plain(), cached_from="nobody")) == {"I5"}

    def test_from_the_cache_too_late(self) -> None:
        assert refuted(self.hit(plain().later(1100))) == {"time"}

    def test_from_the_cache_after_the_date_went_back(self) -> None:
        assert refuted(self.hit(plain().later(1100).turned(-200))) == set()
        assert refuted(self.hit(plain().later(1300).turned(-200))) == {"time"}
        assert refuted(self.hit(plain().later(1100).turned(200))) == {"time"}


class TestI6:
    """Tokens rise."""

    def test_twice(self) -> None:
        tale = Tale().submitted().start(1).start(1, 2).end(1)
        assert refuted(tale.final(attempt=2, crashes=1)) == {"I6"}

    def test_what_never_began(self) -> None:
        tale = Tale().submitted().effect(1, "progress", 1).start(2).end(2)
        assert refuted(tale.final(token=2)) == set()  # Progress proves nothing.
        tale = Tale().submitted().effect(1, "chunk", "1/1 ").start(2).end(2)
        assert refuted(tale.final(token=2)) == {"I6"}
        tale = Tale().submitted().end(1, "stopped").start(2).end(2)
        assert refuted(tale.final(token=2)) == {"I6"}

    def test_what_ended_twice(self) -> None:
        assert refuted(Tale().submitted().start(1).end(1).end(1, "stopped").final()) == {"I6"}

    def test_backwards(self) -> None:
        tale = Tale().submitted().start(3, 2).start(1).end(3)
        assert refuted(tale.final(token=3, attempt=2, crashes=1)) == {"I6"}

    def test_late_after_a_fault(self) -> None:
        tale = Tale().submitted()
        tale.line("nemesis", "strike", fault="a worker stands still", strike=1, target="worker-1")
        tale.start(3, 2).line("nemesis", "heal", fault="...", strike=1).start(1).end(3)
        assert refuted(tale.final(token=3, attempt=2, crashes=1)) == set()

    def test_attempts_that_fall(self) -> None:
        tale = Tale().submitted().start(1, 2).start(3, 1).end(3)
        assert "I6" in refuted(tale.final(token=3, attempt=2, crashes=1))
