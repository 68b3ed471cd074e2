"""How long after a kill a job began elsewhere is counted from the kill that it was lost by."""

from __future__ import annotations

from tests.chaos.history.journal import Line
from tests.chaos.scenarios.lost_worker import TakeOvers, take_overs

SECOND = 10**9


def start(at_s: float, by: str, job: str, attempt: int) -> Line:
    return Line(int(at_s * SECOND), by, "start", {"job": job, "attempt": attempt})


def test_each_take_over_counts_from_its_own_kill() -> None:
    lines = [
        start(1, "worker-1", "j", 1),
        Line(2 * SECOND, "worker-9", "end", {"job": "other"}),
        start(12, "worker-2", "j", 2),
        start(30, "worker-3", "j", 3),
    ]
    killed = {"worker-1": 2 * SECOND, "worker-2": 19 * SECOND}
    assert take_overs(lines, killed) == TakeOvers([10.0, 11.0], 0)


def test_a_job_whose_next_worker_was_killed_before_it_began_is_not_measured() -> None:
    lines = [
        start(1, "worker-1", "j", 1),
        start(1, "worker-1", "k", 1),
        start(12, "worker-2", "k", 2),
        # The second attempt of j was granted at 12 s, too, and its worker killed before it began.
        start(22.1, "worker-3", "j", 3),
        start(40, "worker-4", "j", 4),
    ]
    killed = {"worker-1": 2 * SECOND, "worker-2": 12 * SECOND, "worker-3": 29 * SECOND}
    assert take_overs(lines, killed) == TakeOvers([10.0, 11.0], 1)


def test_what_is_counted_is_take_overs() -> None:
    told = "30 take-overs of jobs of 5 workers"
    assert TakeOvers([1.0] * 30, 0).count_of(5) == told
    assert TakeOvers([1.0] * 30, 2).count_of(5) == f"{told}, 2 more not measured"
