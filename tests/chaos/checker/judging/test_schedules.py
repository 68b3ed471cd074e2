"""What the checker says of occurrences that are missing, made up, or fire when they must not."""

from __future__ import annotations

from typing import Any

import pytest

from tests.chaos.checker.judging.tales import scheduled
from tests.chaos.checker.judging.told import Tale, found, refuted, shown, spec


def created(**others: Any) -> Tale:  # noqa: ANN401 - of a definition.
    """A schedule that fires each second."""
    told = shown(1000, 0)
    return Tale().asked("create", schedule="s", spec=spec(**others), told=told)


def looked(tale: Tale, next_ms: int | None, fired: int, **others: Any) -> Tale:  # noqa: ANN401
    return tale.asked("get", schedule="s", told=shown(next_ms, fired, **others))


class TestFiring:
    """What fires is named by the schedule as it stands."""

    def test_an_occurrence_that_is_two_jobs(self) -> None:
        tale = created().at(1001).fired(1000).at(1100).fired(1000, job="again")
        (violation,) = found(tale)
        assert violation.invariant == "schedules"
        assert "is two jobs" in violation.text
        assert len(violation.witness) == 2

    def test_an_occurrence_that_nobody_named(self) -> None:
        assert "I2" in refuted(created().at(1501).fired(1500))

    @pytest.mark.parametrize("others", [{"start_ms": 2000}, {"end_ms": 500}])
    def test_before_the_start_or_after_the_end(self, others: dict[str, Any]) -> None:
        assert "I2" in refuted(created(**others).at(1001).fired(1000))

    def test_a_schedule_that_nobody_made(self) -> None:
        assert refuted(Tale().at(1001).fired(1000)) == {"I2"}

    def test_other_work(self) -> None:
        assert "I2" in refuted(created().at(1001).fired(1000, work="other"))

    def test_too_early(self) -> None:
        assert refuted(created().at(900).fired(1000)) == {"schedules"}

    def test_after_it_was_deleted(self) -> None:
        tale = created().asked("delete", schedule="s", told={"deleted": True})
        (violation,) = found(tale.at(1001).fired(1000))
        assert violation.invariant == "schedules"
        assert [line.split()[5] for line in violation.witness[:1]] == ["delete"]
        assert len(violation.witness) == 2

    def test_a_job_that_was_made_before_runs_on(self) -> None:
        tale = created().at(1001)
        op = tale.call("delete", schedule="s")
        tale.fired(1000, takes_ms=500)
        assert refuted(tale.answer(op, deleted=True)) == set()

    def test_a_delete_that_was_not_answered_may_have_been_done(self) -> None:
        tale = created()
        tale.error(tale.call("delete", schedule="s"), "UNAVAILABLE")
        assert refuted(tale) == set()
        assert refuted(tale.at(1001).fired(1000)) == set()

    def test_as_it_was_before(self) -> None:
        tale = created().asked("update", schedule="s", spec=spec("v"), told=shown(1000, 0))
        assert refuted(tale.at(1001).fired(1000)) == {"schedules"}

    def test_while_it_is_paused(self) -> None:
        tale = created().asked("pause", schedule="s", told=shown(None, 0))
        assert refuted(tale.at(1001).fired(1000)) == {"schedules"}

    def test_what_came_due_during_a_pause(self) -> None:
        tale = created().asked("pause", schedule="s", told=shown(None, 0))
        tale.at(1500).asked("resume", schedule="s", told=shown(2000, 0))
        (violation,) = found(tale.at(1600).fired(1000))
        assert violation.invariant == "schedules"
        assert "paused" in violation.text
        assert len(violation.witness) == 2

    def test_a_pause_that_was_not_answered(self) -> None:
        tale = created()
        tale.error(tale.call("pause", schedule="s"), "DEADLINE_EXCEEDED")
        assert refuted(tale) == set()
        assert refuted(tale.at(2001).fired(2000)) == set()

    def test_a_job_that_is_lost(self) -> None:
        tale = created().at(1001).fired(1000)
        tale.lines = [line for line in tale.lines if line.kind != "final"]
        assert "I1" in refuted(tale)


class TestByHand:
    """Runs by hand are submits."""

    def triggered(self, tale: Tale, job: str, outcome: str = "CREATED") -> Tale:
        state = "QUEUED" if outcome == "CREATED" else "SUCCEEDED"
        op = tale.call("trigger", schedule="s", request="r")
        return tale.answer(op, job=job, state=state, outcome=outcome, durability="ALWAYS")

    def test_lost(self) -> None:
        assert refuted(self.triggered(created(), "h")) == {"I1"}

    def test_twice(self) -> None:
        tale = self.triggered(created(), "h").fired(None, job="h")
        assert refuted(self.triggered(tale, "h", "REPEATED")) == set()
        tale = self.triggered(created(), "h").fired(None, job="h")
        assert refuted(self.triggered(tale, "i").fired(None, job="i")) == {"I3"}

    def test_never_asked_for(self) -> None:
        assert refuted(created().fired(None, job="h")) == {"I2"}

    def test_not_answered(self) -> None:
        tale = created()
        tale.error(tale.call("trigger", schedule="s", request="r"), "UNAVAILABLE")
        assert refuted(tale) == set()
        assert refuted(tale.fired(None, job="h")) == set()

    def test_of_the_definition_before(self) -> None:
        tale = created().asked("update", schedule="s", spec=spec("v"), told=shown(1000, 0))
        assert "I2" in refuted(self.triggered(tale, "h").fired(None, job="h"))

    def test_of_one_that_was_updated_since(self) -> None:
        tale = self.triggered(created(), "h").fired(None, job="h")
        tale.asked("update", schedule="s", spec=spec("v"), told=shown(1000, 0, triggered=1))
        assert refuted(self.triggered(tale, "h", "REPEATED")) == set()


class TestLeftOut:
    """What does not fire has a reason."""

    @pytest.mark.parametrize("overlap", ["ALLOW", "QUEUE", "CANCEL_RUNNING", "SKIP"])
    def test_between_two(self, overlap: str) -> None:
        tale = created(overlap=overlap).at(1001).fired(1000).at(3001).fired(3000)
        (violation,) = found(tale)
        assert violation.invariant == "schedules"
        assert "left 1 occurrences out, 2000 first" in violation.text
        assert len(violation.witness) == 2

    def test_the_first(self) -> None:
        assert refuted(created().at(2001).fired(2000)) == {"schedules"}

    def test_the_first_after_a_pause(self) -> None:
        tale = created().asked("pause", schedule="s", told=shown(None, 0))
        tale.at(1500).asked("resume", schedule="s", told=shown(2000, 0))
        assert refuted(tale.at(3001).fired(3000)) == {"schedules"}

    def test_the_last(self) -> None:
        tale = created().at(1001).fired(1000)
        assert refuted(looked(tale.at(2100), 3000, 1)) == {"schedules"}

    def test_in_order_and_late_is_well(self) -> None:
        tale = created().at(9000)
        for occurrence in (1000, 2000, 3000):
            tale.fired(occurrence)
        assert refuted(looked(tale, 4000, 3)) == set()

    def test_skipped_for_a_job_that_lived(self) -> None:
        tale = created(overlap="SKIP").at(1001).fired(1000, takes_ms=1500).at(3001).fired(3000)
        assert refuted(looked(tale, 4000, 2, skipped=1)) == set()
        assert refuted(looked(tale, 4000, 2)) == {"schedules"}

    def test_skipped_at_a_date_that_comes_round_once_more(self) -> None:
        tale = created(overlap="SKIP").at(1001).fired(1000, takes_ms=1500).at(3001).fired(3000)
        assert refuted(looked(tale, 4000, 2, skipped=1).turned(-2500).at(8000)) == set()

    def test_skipped_with_another_policy(self) -> None:
        tale = created().at(1001).fired(1000, takes_ms=1500).at(3001).fired(3000)
        assert refuted(tale) == {"schedules"}

    @pytest.mark.parametrize("catch_up", ["LAST", "NONE"])
    def test_missed(self, catch_up: str) -> None:
        policy = {"catch_up": catch_up, "tolerance_ms": 1000}
        tale = created(**policy).at(1001).fired(1000).at(4500).fired(4000)
        assert refuted(looked(tale, 5000, 2, missed=2)) == set()
        tale = created(**policy).at(1001).fired(1000).at(3001).fired(3000)
        assert refuted(tale) == set()  # It was 1001 ms late, by a clock that is a little askew.
        tale = created(**{**policy, "tolerance_ms": 5000}).at(1001).fired(1000)
        assert refuted(tale.at(4500).fired(4000)) == {"schedules"}

    @pytest.mark.parametrize(("limit", "well"), [(1, True), (2, False)])
    def test_more_missed_than_is_caught_up_on(self, limit: int, well: bool) -> None:  # noqa: FBT001
        tale = created(limit=limit, tolerance_ms=1000).at(1001).fired(1000).at(4500).fired(4000)
        assert refuted(tale) == (set() if well else {"schedules"})

    def test_whoever_changed_it_meanwhile_may_be_the_reason(self) -> None:
        for rpc in ("pause", "resume"):
            tale = created().at(1001).fired(1000)
            tale.error(tale.call("pause", schedule="s"), "UNAVAILABLE")
            assert refuted(tale.at(3001).fired(3000)) == set(), rpc


class TestTurnedDate:
    """The server's date jumps: what is due and what is late goes by it."""

    def test_ahead(self) -> None:
        tale = created().at(1001).fired(1000).turned(2000).fired(2000).fired(3000)
        assert refuted(looked(tale.at(2001).fired(4000), 5000, 4)) == set()
        tale = created().at(1001).fired(1000).turned(2000).fired(3000)
        assert refuted(tale) == {"schedules"}

    def test_what_it_jumped_over_is_missed(self) -> None:
        policy = {"catch_up": "LAST", "tolerance_ms": 1000}
        tale = created(**policy).at(1001).fired(1000).turned(5000).fired(6000)
        assert refuted(looked(tale, 7000, 2, missed=4)) == set()

    def test_back(self) -> None:
        tale = created().at(1001).fired(1000).at(2001).fired(2000).turned(-1500)
        tale = looked(tale.at(3000), 3000, 2)
        assert refuted(looked(tale.at(4501).fired(3000), 4000, 3)) == set()
        tale = created().at(1001).fired(1000).turned(-1500).at(3501).fired(3000)
        assert "schedules" in refuted(tale)

    def test_back_while_it_is_paused(self) -> None:
        tale = created().at(1001).fired(1000).at(1600)
        tale.asked("pause", schedule="s", told=shown(None, 1)).turned(-700)
        tale.asked("resume", schedule="s", told=shown(1000, 1))
        assert refuted(looked(tale.at(2701).fired(2000), 3000, 2)) == set()

    def test_after_it_was_deleted(self) -> None:
        tale = created().turned(5000).asked("delete", schedule="s", told={"deleted": True})
        assert refuted(tale.later(50).fired(1000)) == {"schedules"}

    def test_two_at_once(self) -> None:
        tale = created(overlap="QUEUE").at(1001).fired(1000, takes_ms=1500).turned(-2000)
        tale.at(4001).fired(2000)
        assert refuted(tale) == set()


class TestOverlap:
    """Who is alone is alone."""

    @pytest.mark.parametrize(
        ("overlap", "well"),
        [("ALLOW", True), ("CANCEL_RUNNING", True), ("SKIP", False), ("QUEUE", False)],
    )
    def test_two_at_once(self, overlap: str, well: bool) -> None:  # noqa: FBT001 - of the table.
        tale = created(overlap=overlap).at(1001).fired(1000, takes_ms=1500)
        tale.fired(2000, made_ms=2001)
        assert refuted(tale) == (set() if well else {"schedules"})

    def test_one_that_ends_as_the_next_fires(self) -> None:
        tale = created(overlap="QUEUE").at(1001).fired(1000, takes_ms=999)
        tale.fired(2000, made_ms=tale.now_ms - 1)
        assert refuted(tale) == set()

    def test_one_that_was_made_by_hand_meanwhile(self) -> None:
        tale = created(overlap="QUEUE").at(1001).fired(1000, takes_ms=2000)
        tale.at(1500)
        op = tale.call("trigger", schedule="s", request="r")
        tale.answer(op, job="h", state="QUEUED", outcome="CREATED", durability="ALWAYS")
        tale.fired(None, job="h")
        assert refuted(tale) == set()
        assert refuted(tale.at(2001).fired(2000)) == {"schedules"}

    @pytest.mark.parametrize(("overlap", "well"), [("CANCEL_RUNNING", True), ("ALLOW", False)])
    def test_who_is_cancelled(self, overlap: str, well: bool) -> None:  # noqa: FBT001
        tale = created(overlap=overlap).at(1001)
        told: dict[str, Any] = {"job": "j", "origin": {"schedule": "s", "occurrence": 1000}}
        tale.start(1, **told).end(1, "stopped", why="CANCELLED")
        tale.final(state="CANCELLED", made_ms=1001, ended_ms=1004, **told)
        assert refuted(tale) == (set() if well else {"I1"})


class TestWhatIsShown:
    """A schedule is shown as it stands."""

    def test_counts(self) -> None:
        for told in (shown(2000, 0), shown(2000, 2), shown(2000, 1, triggered=1)):
            tale = created().at(1001).fired(1000)
            assert refuted(tale.asked("get", schedule="s", told=told)) == {"schedules"}, told

    def test_what_fires_meanwhile_is_counted_or_not(self) -> None:
        for told in (shown(1000, 0), shown(2000, 1)):
            tale = created().at(999)
            op = tale.call("get", schedule="s")
            assert refuted(tale.fired(1000, made_ms=1001).answer(op, **told)) == set(), told

    def test_a_pause(self) -> None:
        tale = looked(created(), None, 0)
        (violation,) = found(tale)
        assert violation.text == "s is shown paused"
        assert len(violation.witness) == 2
        tale = created().asked("pause", schedule="s", told=shown(None, 0))
        assert refuted(looked(tale, 1000, 0)) == {"schedules"}

    def test_not_found(self) -> None:
        tale = created()
        tale.error(tale.call("get", schedule="s"), "NOT_FOUND", sure=True)
        (violation,) = found(tale)
        assert violation.text == "s was created, and then not found"
        assert len(violation.witness) == 2

    def test_found_after_it_was_deleted(self) -> None:
        assert refuted(looked(scheduled(), 6000, 3, triggered=1)) == {"schedules"}

    def test_a_create_that_was_not_answered_may_have_been_done_or_not(self) -> None:
        tale = Tale()
        tale.error(tale.call("create", schedule="s", spec=spec()), "UNAVAILABLE")
        tale.error(tale.call("get", schedule="s"), "NOT_FOUND", sure=True)
        assert refuted(looked(tale, 1000, 0)) == set()
        assert refuted(tale.at(1001).fired(1000)) == set()
