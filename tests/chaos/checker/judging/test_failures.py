"""What the checker says of calls that fail."""

from __future__ import annotations

import pytest

from tests.chaos.checker.judging.tales import plain
from tests.chaos.checker.judging.told import Tale, found, refuted
from tests.chaos.checker.scene import OUTSIDE


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


def test_what_names_nothing_cannot_be_missing() -> None:
    tale = plain()
    assert refuted(tale.error(tale.submit("x"), "NOT_FOUND", sure=True)) == {"errors"}


def test_a_conflict_is_for_submits_alone() -> None:
    tale = plain()
    assert refuted(tale.error(tale.call("status", job="j"), "ALREADY_EXISTS")) == {"errors"}


def test_a_job_of_a_batch_that_was_refused() -> None:
    tale = plain()
    refusal = {"code": "INTERNAL", "sure": False}
    assert refuted(tale.answer(tale.submit("x"), jobs=[refusal])) == {"errors"}


class TestOutages:
    """Calls fail by an outage while there is one, or soon after."""

    def failed(self, tale: Tale, after_ms: int = 0, by: str = "client-1") -> Tale:
        tale.later(after_ms)
        return tale.error(tale.call("status", by=by, job="j"), "UNAVAILABLE", by=by)

    def outages(self, tale: Tale, **expected: object) -> set[str]:
        return refuted(tale, **{"recovery_s": 1.0, **expected})

    def test_without_a_strike(self) -> None:
        assert self.outages(self.failed(plain())) == {"outages"}
        assert refuted(self.failed(plain())) == set()  # Nobody says when it may be.

    def test_while_a_fault_strikes(self) -> None:
        assert self.outages(self.failed(plain().struck(), 5_000)) == set()

    def test_soon_after_it(self) -> None:
        assert self.outages(self.failed(plain().struck().healed(), 900)) == set()
        (violation,) = found(self.failed(plain().struck().healed(), 1_100), recovery_s=1.0)
        assert violation.invariant == "outages"
        assert [line.split()[3] for line in violation.witness] == ["strike", "call"]

    def test_soon_after_it_was_seen_to_be_over(self) -> None:
        tale = plain().struck().healed().later(800)
        tale.line("harness", "recovered", fault="it", strike=1)
        assert self.outages(self.failed(tale, 900)) == set()
        assert self.outages(self.failed(tale, 200)) == {"outages"}

    def test_long_after_it_although_nothing_was_seen_to_work(self) -> None:
        tale = plain().struck().healed().later(54_000)
        tale.line("harness", "recovered", fault="it", strike=1)
        early = plain().struck().healed()
        early = self.failed(early, 30_000).later(24_000)
        early.line("harness", "recovered", fault="it", strike=1)
        assert self.outages(early) == {"outages"}
        assert self.outages(self.failed(tale)) == {"outages"}

    @pytest.mark.parametrize("rpc", ["wait", "watch"])
    def test_what_lasts_fails_by_what_strikes_at_its_end(self, rpc: str) -> None:
        for first_ms, last_ms, expected in ((20_000, 12_000, set[str]()), (0, 20_000, {"outages"})):
            tale = plain()
            op = tale.call(rpc, job="j")
            tale.later(first_ms).struck()
            tale = tale.healed() if expected else tale
            assert self.outages(tale.later(last_ms).error(op, "UNAVAILABLE")) == expected

    def test_before_it(self) -> None:
        assert self.outages(self.failed(plain()).struck()) == {"outages"}

    def test_a_call_that_it_met_on_its_way(self) -> None:
        tale = plain()
        op = tale.call("status", job="j")
        tale.later(3_000).struck().healed().later(4_000)
        assert self.outages(tale.error(op, "DEADLINE_EXCEEDED")) == set()

    @pytest.mark.parametrize(("before_ms", "after_ms"), [(4_100, 0), (0, 5_100)])
    def test_a_call_that_had_time_to_be_answered_all_the_same(
        self, before_ms: int, after_ms: int
    ) -> None:
        tale = plain()
        op = tale.call("status", job="j")
        tale.later(before_ms).struck().healed().later(after_ms)
        assert self.outages(tale.error(op, "DEADLINE_EXCEEDED")) == {"outages"}

    def test_a_call_that_had_time_between_two(self) -> None:
        for between_ms, expected in ((4_900, set[str]()), (5_100, {"outages"})):
            tale = plain()
            op = tale.call("status", job="j")
            tale.struck(1).healed(1).later(between_ms).struck(2)
            assert self.outages(tale.error(op, "DEADLINE_EXCEEDED")) == expected

    def test_a_fault_by_which_no_call_may_fail(self) -> None:
        assert self.outages(self.failed(plain().struck(outage=False))) == {"outages"}
        tale = plain().struck(1).struck(2, outage=False)
        assert self.outages(self.failed(tale)) == set()

    def test_between_two(self) -> None:
        tale = plain().struck(1).healed(1).later(5_000)
        assert self.outages(self.failed(tale).later(5_000).struck(2).healed(2)) == {"outages"}

    def test_a_job_of_a_batch(self) -> None:
        tale = plain()
        tale.answer(tale.submit("x"), jobs=[{"code": "UNAVAILABLE", "sure": False}])
        assert self.outages(tale) == {"outages"}

    def test_the_probes_of_the_harness(self) -> None:
        assert self.outages(self.failed(plain(), by="harness")) == set()

    def test_some_may_be_late_on_a_busy_machine(self) -> None:
        tale = plain()
        for _ in range(98):
            tale.seen()
        self.failed(tale)
        calls = sum(line.kind == "call" for line in self.failed(tale, 1).lines)
        assert self.outages(tale, strays=20_000 / calls) == set()
        assert self.outages(tale, strays=19_999 / calls) == {"outages"}

    def test_a_short_run_may_meet_one_stall(self) -> None:
        tale = self.failed(plain())
        assert self.outages(tale, strays=1.0) == set()
        assert self.outages(tale, strays=0.0) == {"outages"}
        assert self.outages(self.failed(tale, 1), strays=1.0) == {"outages"}

    def test_one_stall_that_fails_many_calls_counts_once(self) -> None:
        tale = plain()
        for _ in range(90):
            tale.seen()
        ops = [tale.call("status", job="j") for _ in range(10)]
        for op in ops:
            tale.error(op, "UNAVAILABLE")
        calls = sum(line.kind == "call" for line in tale.lines)
        assert self.outages(tale, strays=10_000 / calls) == set()
        assert self.outages(self.failed(tale), strays=10_000 / (calls + 1)) == {"outages"}

    def test_a_run_without_a_calm_shows_nothing(self) -> None:
        least = {OUTSIDE: 1}
        assert self.outages(plain(), least=least) == set()
        assert self.outages(Tale().struck().submitted().start(1).end(1).final(), least=least) == {
            "work"
        }


class TestWaits:
    """Who waits for long sees the end."""

    def waited(self, seconds: int, tale: Tale | None = None, by: str = "client-1") -> set[str]:
        tale = Tale().submitted() if tale is None else tale
        op = tale.call("wait", by=by, job="j")
        tale.later(seconds * 1000).error(op, "WaitTimeout", sure=True, by=by)
        tale.start(1).end(1).final()
        return refuted(tale, patience_s=60.0, recovery_s=1.0)

    def test_in_vain(self) -> None:
        assert self.waited(90) == {"liveness"}
        assert self.waited(90, Tale().submitted().struck()) == {"liveness"}

    def test_not_for_long(self) -> None:
        assert self.waited(50) == set()

    def test_a_date_that_went_back_puts_off_what_waits_for_one(self) -> None:
        def delayed() -> Tale:
            return Tale().submitted(delay_ms=1_000)

        assert self.waited(90, delayed().turned(-40_000)) == set()
        assert self.waited(90, delayed().turned(-2_000)) == {"liveness"}
        assert self.waited(90, delayed().turned(40_000)) == {"liveness"}
        assert self.waited(90, Tale().submitted().turned(-40_000)) == {"liveness"}
        earlier = Tale().turned(-40_000).submitted(delay_ms=1_000)
        assert self.waited(90, earlier) == {"liveness"}

    def test_what_a_strike_took_from_its_place_is_put_back_in_time(self) -> None:
        assert self.waited(90, Tale().submitted().struck(displaces=True).healed()) == set()
        before = Tale().struck(displaces=True).healed().later(1).submitted()
        assert self.waited(90, before) == {"liveness"}
