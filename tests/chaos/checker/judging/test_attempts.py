"""I9, checkpoints and times: what the checker says of wrong counts, old data, and haste."""

from __future__ import annotations

from typing import Any

import pytest

from tests.chaos.checker.judging.told import Tale, refuted


class TestI9:
    """Attempts and crashes are bounded."""

    def test_too_many_attempts(self) -> None:
        tale = Tale().submitted(max_attempts=2)
        for token in (1, 2, 3):
            tale.start(token, token).end(token, "return" if token == 3 else "raise")
        assert refuted(tale.final(token=3, attempt=3)) == {"I9"}

    def test_attempts_that_were_not_counted(self) -> None:
        tale = Tale().submitted().start(1).end(1, "raise").start(2, 1).end(2)
        assert refuted(tale.final(token=2)) == {"I9"}

    def test_released_attempts_are_free(self) -> None:
        tale = Tale().submitted(max_attempts=1).start(1).end(1, "stopped").start(2, 1).end(2)
        assert refuted(tale.final(token=2)) == set()

    def test_given_up_too_early(self) -> None:
        tale = Tale().submitted(ends=["FAILED:EXHAUSTED"], max_attempts=2).start(1).end(1, "raise")
        assert refuted(tale.final(state="FAILED", reason="EXHAUSTED")) == {"I9"}

    def test_a_poison_that_goes_on(self) -> None:
        tale = Tale().submitted().start(1).start(3, 2).start(5, 3).start(7, 4).end(7)
        assert "I9" in refuted(tale.final(token=7, attempt=4, crashes=3))

    def test_a_crash_that_was_not_counted(self) -> None:
        tale = Tale().submitted().start(1)
        tale.line("harness", "killed", target="worker-1").start(3, 2).end(3)
        assert refuted(tale.final(token=3, attempt=2, crashes=1)) == set()
        tale.lines.pop()
        assert refuted(tale.final(token=3, attempt=2)) == {"I9"}

    def test_an_attempt_that_was_handed_back_and_counted(self) -> None:
        tale = Tale().submitted().start(1).end(1, "stopped", why="DRAINING")
        tale.start(2, 2).end(2)
        assert refuted(tale.final(token=2, attempt=2)) == {"I9"}

    def test_an_attempt_that_timed_out_counts(self) -> None:
        tale = Tale().submitted().start(1).end(1, "stopped", why="TIMED_OUT")
        tale.start(2, 2).end(2)
        assert refuted(tale.final(token=2, attempt=2)) == set()

    def test_quarantined_too_early(self) -> None:
        tale = Tale().submitted().start(1)
        end: dict[str, Any] = {"state": "FAILED", "reason": "QUARANTINED", "token": 2, "crashes": 1}
        assert refuted(tale.final(**end)) == {"I1", "I9"}


class TestCheckpoints:
    """An attempt resumes what was saved."""

    def resumed(self, value: object) -> set[str]:
        tale = Tale().submitted().start(1)
        for step in (1, 2, 3):
            tale.effect(1, "checkpoint", {"token": 1, "step": step})
            if step < 3:
                tale.effect(1, "saved", {"token": 1, "step": step})
        tale.start(3, 2).effect(3, "resumed", value).end(3)
        return refuted(tale.final(token=3, attempt=2, crashes=1))

    @pytest.mark.parametrize("step", [2, 3])
    def test_the_last_that_was_saved_or_may_have_been(self, step: int) -> None:
        assert self.resumed({"token": 1, "step": step}) == set()

    @pytest.mark.parametrize(
        "value", [None, {"token": 1, "step": 1}, {"token": 1, "step": 9}, {"token": 3, "step": 1}]
    )
    def test_another(self, value: object) -> None:
        assert self.resumed(value) == {"checkpoint"}


class TestTimes:
    """Neither too early."""

    def test_started_before_it_was_due(self) -> None:
        tale = Tale().submitted(delay_ms=50).later(20).start(1).end(1).final()
        assert refuted(tale) == {"time"}
        assert refuted(tale, clock_slack_ms=100) == set()

    def test_what_goes_by_the_servers_date_goes_by_its_jumps(self) -> None:
        for ahead_ms, expected in ((100, set[str]()), (30, {"time"}), (-100, {"time"})):
            tale = Tale().submitted(delay_ms=200).later(100).turned(ahead_ms)
            assert refuted(tale.start(1).end(1).final()) == expected
            tale = Tale().submitted(deadline_ms=200).later(100).turned(ahead_ms)
            assert refuted(tale.final(state="EXPIRED", token=0, attempt=0)) == expected

    def test_a_jump_before_or_after_excuses_nothing(self) -> None:
        tale = Tale().turned(100).submitted(delay_ms=200).later(100)
        assert refuted(tale.start(1).turned(200).end(1).final()) == {"time"}

    def test_a_jump_while_it_was_submitted(self) -> None:
        tale = Tale()
        op = tale.submit(delay_ms=200)
        tale.turned(200).receipt(op).later(100)
        assert refuted(tale.start(1).end(1).final()) == set()

    def test_two_jumps_that_cancel_each_other(self) -> None:
        tale = Tale().submitted(delay_ms=200).turned(-100).later(50).turned(0).later(50)
        assert refuted(tale.start(1).end(1).final()) == {"time"}
        tale = Tale()  # Nobody knows when it was stored: perhaps between them.
        tale.error(tale.submit(delay_ms=200), "UNAVAILABLE")
        tale.turned(-100).later(50).turned(0).later(50)
        assert refuted(tale.start(1).end(1).final()) == set()

    def test_expired_before_its_deadline(self) -> None:
        tale = Tale().submitted(deadline_ms=50).later(20)
        assert refuted(tale.final(state="EXPIRED", token=0, attempt=0)) == {"time"}

    def test_a_retry_that_would_come_too_late_is_not_waited_for(self) -> None:
        tale = Tale().submitted(deadline_ms=50).start(1).end(1, "raise")
        assert refuted(tale.final(state="EXPIRED")) == set()
