"""I7: what the checker says of views that are out of date, and of cancels that do not hold."""

from __future__ import annotations

from typing import Any

from tests.chaos.checker.judging.told import Tale, found, refuted, state, view


class TestI7:
    """Views are current."""

    def test_older_than_before(self) -> None:
        tale = Tale().submitted().start(1).seen(state="RUNNING", sequence=2)
        tale.seen(state="QUEUED", token=0, attempt=0, sequence=1).end(1)
        (violation,) = found(tale.final())
        assert violation.invariant == "I7"
        assert len(violation.witness) == 2

    def test_older_than_an_event(self) -> None:
        tale = Tale().submitted().start(1)
        op = tale.call("watch", job="j", after=0)
        for event in (state(1, "QUEUED"), state(2, "RUNNING", 1)):
            tale.line("client-1", "event", op=op, job="j", **event)
        tale.seen(state="QUEUED", token=1, attempt=0, sequence=1).end(1)
        assert refuted(tale.final()) == {"I7"}

    def test_older_than_a_start(self) -> None:
        tale = Tale().submitted().start(1).seen(state="QUEUED", token=0, attempt=0, sequence=1)
        assert refuted(tale.end(1).final()) == {"I7"}

    def test_older_but_asked_for_before(self) -> None:
        tale = Tale().submitted()
        slow = tale.call("status", job="j")
        tale.start(1).seen(state="RUNNING", sequence=2)
        tale.answer(slow, **view(state="QUEUED", token=0, attempt=0, sequence=1))
        assert refuted(tale.end(1).final()) == set()

    def test_one_sequence_two_states(self) -> None:
        tale = Tale().submitted()
        tale.seen(state="QUEUED", token=0, attempt=0, sequence=2)
        tale.start(1).seen(state="RUNNING", sequence=2)
        assert refuted(tale.end(1).final()) == {"I7"}

    def test_a_state_that_no_event_told(self) -> None:
        tale = Tale().submitted().start(1).seen(state="RUNNING", sequence=2).end(1)
        tale.watch(state(1, "SCHEDULED"), state(2, "QUEUED"), state(3, "CANCELLED"))
        assert "I7" in refuted(tale.final())

    def test_two_attempts_of_one_token(self) -> None:
        tale = Tale().submitted().start(1).seen(state="RUNNING", sequence=2, attempt=2)
        assert "I7" in refuted(tale.end(1).final(attempt=2))

    def test_ended_after_its_attempt_was_handed_back(self) -> None:
        tale = Tale().submitted(ends=[], deadline_ms=1).start(1, 1).end(1, "stopped").later(5)
        expired: dict[str, Any] = {"state": "EXPIRED", "attempt": 0}
        assert not refuted(tale.seen(**expired).final(**expired))
        other = Tale().submitted(ends=[], deadline_ms=1).start(1, 3).end(1, "stopped").later(5)
        assert "I7" in refuted(other.seen(**expired).final(**expired))

    def test_granted_again_after_a_cancel(self) -> None:
        tale = Tale().submitted().start(1)
        tale.seen("cancel", state="RUNNING", sequence=2, cancel=True)
        tale.start(3, 2).end(3)
        assert refuted(tale.final(token=3, attempt=2, crashes=1, sequence=5)) == {"I7"}

    def test_a_cancel_without_a_request(self) -> None:
        tale = Tale().submitted().start(1).seen("cancel", state="RUNNING", sequence=2)
        assert refuted(tale.end(1).final()) == {"I7"}
        tale = Tale().submitted().seen("cancel", state="QUEUED", token=0, attempt=0, sequence=1)
        assert refuted(tale.start(1).end(1).final()) == {"I7"}

    def test_failed_after_a_cancel(self) -> None:
        tale = Tale().submitted(ends=["FAILED:EXHAUSTED"], max_attempts=1).start(1)
        tale.seen("cancel", state="RUNNING", sequence=2, cancel=True).end(1, "raise")
        assert refuted(tale.final(state="FAILED", reason="EXHAUSTED")) == {"I7"}
