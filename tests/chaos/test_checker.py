"""The checker: good histories pass, and each bad one is refuted by the promise that it breaks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.chaos.checker import check
from tests.chaos.scene import Expectations, Loss
from tests.chaos.tales import GOOD, plain, retried
from tests.chaos.told import Tale, chunk, gap, state, view

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.chaos.result import Violation


def refuted(tale: Tale, **expected: Any) -> set[str]:  # noqa: ANN401
    """The promises that a tale breaks."""
    return {violation.invariant for violation in found(tale, **expected)}


def found(tale: Tale, **expected: Any) -> list[Violation]:  # noqa: ANN401
    return check(tale.lines, expectations=Expectations(**{"least": {}, **expected}))


@pytest.mark.parametrize("tale", GOOD.values(), ids=GOOD.keys())
def test_a_good_history_passes(tale: Callable[[], Tale]) -> None:
    assert found(tale()) == []


def test_the_order_of_processes_makes_no_difference() -> None:
    lines = sorted(retried().lines, key=lambda line: line.by)
    assert check(lines) == []


def test_a_history_in_which_nothing_happened_shows_nothing() -> None:
    assert {violation.invariant for violation in check([])} == {"work"}
    tale = plain()
    assert refuted(tale, least={"start": 2}) == {"work"}
    assert refuted(tale, least={"start": 1, "watch event": 4}) == set()


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
        tale.error(tale.submit("p"), "INVALID_ARGUMENT", sure=True)
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
        tale.receipt(tale.submit("w", request="r-2", cache=True), "d", outcome="CACHED")
        hit: dict[str, Any] = {"token": 0, "attempt": 0, "sequence": 1, "cached_from": "j"}
        assert refuted(tale.final(job="d", result={"work": "w", "token": 9}, **hit)) == {"I5"}


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
        assert refuted(tale.end(1).final(attempt=2)) == {"I7"}

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


class TestI8:
    """Watches tell all, once, in order."""

    BEGINNING = (state(1, "QUEUED"), state(2, "RUNNING", 1))
    END = state(3, "SUCCEEDED", 1)

    def watched(self, *events: dict[str, Any], sequence: int = 3, after: int = 0) -> set[str]:
        tale = Tale().submitted().start(1).effect(1, "chunk", "1/1 ").effect(1, "chunk", "1/2 ")
        tale.end(1).watch(*events, after=after)
        return refuted(tale.final(sequence=sequence))

    def test_all_chunks(self) -> None:
        chunks = (chunk(3, "1/1 "), chunk(4, "1/2 "))
        events = (*self.BEGINNING, *chunks, state(5, "SUCCEEDED", 1))
        assert self.watched(*events, sequence=5) == set()
        assert self.watched(*events[2:], sequence=5, after=2) == set()

    @pytest.mark.parametrize(
        "events",
        [
            (state(1, "QUEUED"), state(2, "RUNNING", 1), state(4, "SUCCEEDED", 1)),
            (state(1, "QUEUED"), state(1, "QUEUED"), state(2, "RUNNING"), state(3, "SUCCEEDED")),
            (state(2, "RUNNING", 1), state(3, "SUCCEEDED", 1)),
            (state(1, "QUEUED"), {**state(2, "RUNNING", 1), "last": 3}, state(4, "SUCCEEDED", 1)),
        ],
    )
    def test_not_tiled(self, events: tuple[dict[str, Any], ...]) -> None:
        assert self.watched(*events, sequence=events[-1]["last"]) == {"I8"}

    def test_a_gap_is_told(self) -> None:
        end = state(5, "SUCCEEDED", 1)
        assert self.watched(gap(1, 4), end, sequence=5) == set()

    def test_no_end(self) -> None:
        assert self.watched(*self.BEGINNING) == {"I8"}
        assert self.watched() == {"I8"}

    def test_no_end_but_the_cursor_was_there(self) -> None:
        tale = Tale().submitted().start(1).end(1)
        tale.watch({"snapshot": view(), "first": 3, "last": 3}, after=3)
        assert refuted(tale.final()) == set()

    def test_two_ends(self) -> None:
        assert "I8" in self.watched(*self.BEGINNING, self.END, state(4, "SUCCEEDED", 1))

    def test_another_end_than_it_had(self) -> None:
        assert "I8" in self.watched(*self.BEGINNING, state(3, "CANCELLED", 1))
        assert "I8" in self.watched(*self.BEGINNING, self.END, sequence=4)

    def test_no_arrow(self) -> None:
        events = (state(1, "QUEUED"), state(2, "SCHEDULED"), self.END)
        assert self.watched(*events) == {"I8"}
        assert self.watched(state(1, "RUNNING", 1), state(2, "SUCCEEDED", 1), sequence=2) == {"I8"}

    @pytest.mark.parametrize(
        "chunks",
        [
            ("1/2 ", "1/1 "),
            ("1/1 ", "1/1 "),
            ("1/2 ",),
            ("1/1 ",),
            ("1/1 ", "1/2 ", "1/3 "),
            ("1/1 ", "2/1 "),
        ],
    )
    def test_chunks(self, chunks: tuple[str, ...]) -> None:
        events = [chunk(number, text) for number, text in enumerate(chunks, 3)]
        last = 3 + len(events)
        events.append(state(last, "SUCCEEDED", 1))
        assert self.watched(*self.BEGINNING, *events, sequence=last) == {"I8"}

    def test_a_chunk_of_an_attempt_that_was_over(self) -> None:
        tale = Tale().submitted().start(1).effect(1, "chunk", "1/1 ").start(3, 2).end(3)
        tale.watch(
            *self.BEGINNING,
            state(3, "QUEUED", 1),
            state(4, "RUNNING", 2),
            chunk(5, "1/1 ", 2),
            state(6, "SUCCEEDED", 2),
        )
        end: dict[str, Any] = {"token": 3, "attempt": 2, "crashes": 1, "sequence": 6}
        assert refuted(tale.final(**end)) == {"I8"}

    def test_told_in_two_ways(self) -> None:
        tale = Tale().submitted().start(1).end(1).watch(*self.BEGINNING, self.END)
        tale.watch(state(1, "QUEUED"), state(2, "RUNNING", 2), self.END)
        assert refuted(tale.final()) == {"I8"}


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

    def test_expired_before_its_deadline(self) -> None:
        tale = Tale().submitted(deadline_ms=50).later(20)
        assert refuted(tale.final(state="EXPIRED", token=0, attempt=0)) == {"time"}

    def test_a_retry_that_would_come_too_late_is_not_waited_for(self) -> None:
        tale = Tale().submitted(deadline_ms=50).start(1).end(1, "raise")
        assert refuted(tale.final(state="EXPIRED")) == set()


def test_what_is_wrong_with_the_data_is_a_violation() -> None:
    tale = plain().line("end", "audit", fault="a key of nobody")
    (violation,) = found(tale)
    assert (violation.invariant, violation.text) == ("I10", "a key of nobody")


def test_what_is_left_over_is_a_violation() -> None:
    tale = plain().line("end", "bound", name="connections", value=3, most=3)
    assert refuted(tale) == set()
    assert refuted(tale.line("end", "bound", name="tasks", value=4, most=3)) == {"I11"}


def test_many_violations_are_counted() -> None:
    tale = Tale()
    for number in range(25):
        tale.submitted(f"w-{number}", f"j-{number}")
    violations = found(tale)
    assert len(violations) == 11
    assert violations[-1].text == "and 15 more"
