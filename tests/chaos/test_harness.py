"""The parts of the harness that no scenario would show to be wrong."""

from __future__ import annotations

import io
import signal
import subprocess
import sys
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, ClassVar

import pytest
from rich.console import Console

from tests.chaos import running
from tests.chaos.catalogue import SCENARIOS
from tests.chaos.faults.fault import Fault, InVain
from tests.chaos.faults.nemesis import Nemesis, calm_left_s
from tests.chaos.history.history import History
from tests.chaos.history.journal import Journal, Line, stream_journals
from tests.chaos.history.progress import Progress
from tests.chaos.history.restarts import kills_of, repairs, restarts, told
from tests.chaos.load.plan import FOR_EVER, ends_of
from tests.chaos.result import FaultTally, HastyResult, Result
from tests.chaos.running import commit, run_scenario
from tests.chaos.scenario import Run, Scenario
from tests.chaos.worlds.member import Crew, Member
from tests.support.onlookers import Onlookers
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    import random

#: A process that goes on until it is told to stop.
SERVES = ["http.server", "0", "--bind", "127.0.0.1"]


def member(crew: Crew, folder: Path) -> Member:
    return Member(crew, "worker-2", SERVES, {}, folder=folder, journals=folder)


async def test_who_comes_after_another_has_a_name_of_its_own(tmp_path: Path) -> None:
    crew = Crew()
    one = member(crew, tmp_path)
    assert [one.start().name, one.alive, one.wanted] == ["worker-2", True, True]
    one.kill()
    assert [one.alive, one.wanted, one.status] == [False, False, -signal.SIGKILL]
    assert one.start().name == "worker-2.1"
    one.terminate()
    assert one.ended_well(await one.stopped(30))
    crew.close()


def test_no_process_outlives_its_crew(tmp_path: Path) -> None:
    crew = Crew()
    running, suspended = member(crew, tmp_path).start(), member(crew, tmp_path).start()
    suspended.pause()
    crew.close()
    wait_until(lambda: not (running.alive or suspended.alive), "both have ended", within_s=30)


def test_progress_is_read_as_the_journals_grow(tmp_path: Path) -> None:
    progress = Progress(tmp_path)
    with Journal(tmp_path, "client-1") as client, Journal(tmp_path, "worker-1") as worker:
        client.write("answer", op=1, jobs=[{"outcome": "CREATED"}, {"outcome": "JOINED"}])
        assert progress.read() == "1 jobs acknowledged, 0 returned"
        client.write("answer", op=2, jobs=[{"outcome": "CREATED"}])
        worker.write("end", job="j", token=1, how="return")
        assert progress.read() == "2 jobs acknowledged, 1 returned"
    assert progress.read() == "2 jobs acknowledged, 1 returned"


def test_journals_are_merged_by_time(tmp_path: Path) -> None:
    with Journal(tmp_path, "client-1") as one, Journal(tmp_path, "worker-1") as other:
        for journal in (one, other, one, other):
            journal.write("strike")
    lines = list(stream_journals(tmp_path))
    assert [line.by for line in lines] == ["client-1", "worker-1"] * 2
    assert [line.by for line in stream_journals(tmp_path, "worker-*")] == ["worker-1"] * 2


def test_ends_that_a_plan_permits() -> None:
    assert ends_of({"work": "w", "fail": 2}, {}) == ["SUCCEEDED"]
    assert ends_of({"work": "w", "fail": FOR_EVER}, {}) == ["FAILED:EXHAUSTED"]
    assert ends_of({"work": "w", "hang": True}, {"timeout": 1}) == ["FAILED:TIMED_OUT"]
    assert ends_of({"work": "w", "hang": True}, {"expires_in": 1}) == []


def test_restarts_of_what_a_killed_worker_ran() -> None:
    def start(at: int, by: str, job: str, token: int) -> Line:
        fields = {"job": job, "type": "t", "token": token, "attempt": 1, "payload": {"work": job}}
        return Line(at, by, "start", fields)

    second = 10**9
    lines = [
        start(1, "worker-1", "lost", 1),
        start(2, "worker-1.child-7", "lost too", 2),
        start(3, "worker-1", "done", 3),
        Line(4, "worker-1", "end", {"job": "done", "token": 3, "how": "raise"}),
        start(5, "worker-2", "elsewhere", 4),
        Line(second, "harness", "killed", {"target": "worker-1"}),
        start(2 * second, "worker-1.1", "done", 5),
        start(3 * second, "worker-1.1", "lost", 6),
        start(4 * second, "worker-2", "lost too", 7),
        start(5 * second, "worker-1.1", "elsewhere", 8),
    ]
    waits_s = restarts(History(lines), kills_of(lines))
    assert sorted(waits_s) == [2, 3]
    assert told(waits_s) == "2 jobs, median 2.50 s, worst 3.00 s"
    assert told([]) == "none"


def test_runs_of_jobs_whose_entries_were_taken() -> None:
    def start(at: int, token: int) -> Line:
        fields = {"job": "j", "type": "t", "token": token, "attempt": 1, "payload": {"work": "w"}}
        return Line(at, "worker-1", "start", fields)

    second = 10**9
    taken = [
        Line(2 * second, "harness", "taken", {"job": "j", "how": "XDEL"}),
        Line(9 * second, "harness", "taken", {"job": "j", "how": "XACK"}),
        Line(9 * second, "harness", "taken", {"job": "nobody's", "how": "XACK"}),
    ]
    history = History([start(second, 1), start(5 * second, 2), *taken])
    assert repairs(history, taken) == [3]


def test_recovery_is_kept_to_a_tenth_of_a_millisecond(tmp_path: Path) -> None:
    result = Result("mixed", seed=1, command="")
    result.tally("a worker is killed").recovery_ms.append(260.00000000203727)
    result.save(tmp_path / "mixed.json")
    assert "260.0\n" in (tmp_path / "mixed.json").read_text()
    assert Result.load(tmp_path / "mixed.json") == Result(
        **{**vars(result), "faults": {"a worker is killed": FaultTally([], 0, [260.0])}}
    )


def test_who_looks_on_by_a_pipe_is_told_what_is_new() -> None:
    seen = io.StringIO()
    with Onlookers(Console(file=seen), "mixed") as onlookers:
        for line in ("1 jobs, 0 faults", "2 jobs, 0 faults", "checking the history"):
            onlookers.tell(line)
    assert seen.getvalue().splitlines() == [
        "mixed: 1 jobs, 0 faults",
        "mixed: checking the history",
    ]


class Refuting(Scenario):
    """Finds something wrong, and then something else."""

    name: ClassVar[str] = "refuting"
    rows: ClassVar[tuple[int, ...]] = ()
    expects: ClassVar[str] = "nothing"

    async def run(self, run: Run) -> None:
        run.result.expect(self.name, "I1", "this holds")
        run.result.expect(None, "I2", "this does not")
        run.result.expect(None, "I3", "nor does this")


@pytest.mark.parametrize(
    ("kind", "seen"), [(Result, ["I2", "I3"]), (HastyResult, ["I2"])], ids=["whole", "hasty"]
)
async def test_a_run_in_haste_ends_with_its_first_violation(
    kind: type[Result], seen: list[str], tmp_path: Path
) -> None:
    found = await run_scenario(
        Refuting, kind("refuting", 1, ""), scale=1.0, server=tmp_path, folder=tmp_path / "run"
    )
    assert [violation.invariant for violation in found.violations] == seen


async def test_a_result_says_what_was_tried_and_when(tmp_path: Path) -> None:
    found = await run_scenario(
        Refuting, Result("refuting", 1, ""), scale=1.0, server=tmp_path, folder=tmp_path / "run"
    )
    assert found.version == version("penstock")
    assert datetime.fromisoformat(found.date).date() <= datetime.now(UTC).date()
    found.save(tmp_path / "refuting.json")
    assert Result.load(tmp_path / "refuting.json") == found


def test_a_commit_is_known_where_there_is_git(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(running, "ROOT", tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert not commit()
    git = ("git", "-c", "user.name=a", "-c", "user.email=a@example.com")
    subprocess.run([*git, "init", "--quiet"], cwd=tmp_path, check=True)
    subprocess.run(
        [*git, "commit", "--quiet", "--allow-empty", "--message", "Begin"], cwd=tmp_path, check=True
    )
    head = subprocess.run(
        [*git, "rev-parse", "HEAD"], cwd=tmp_path, check=True, capture_output=True, text=True
    )
    assert head.stdout.startswith(commit())
    assert commit()


class Sometimes(Fault):
    """Finds something to strike every other time."""

    name: ClassVar[str] = "sometimes"
    rows: ClassVar[tuple[int, ...]] = (1,)
    subject: ClassVar[str] = "worker"
    tries = 0

    async def strike(self, world: object, chance: random.Random) -> str:  # noqa: ARG002
        self.tries += 1
        if self.tries % 2:
            raise InVain
        return "worker-1"


async def test_a_strike_that_met_nothing_does_not_count(tmp_path: Path) -> None:
    result = Result("mixed", seed=1, command="")

    async def working(_within_s: float) -> float:
        return 0.01

    with Journal(tmp_path, "harness") as journal:
        run = SimpleNamespace(seed=1, result=result)
        world: Any = SimpleNamespace(run=run, journal=journal, working=working)
        fault = Sometimes()
        nemesis = Nemesis(world, [fault], pause_s=0.001)
        while fault.tries < 10:
            await nemesis.rage(0.05)
    tally = result.tally(fault.name)
    assert tally.strikes == fault.tries // 2
    assert len(tally.recovery_ms) == tally.strikes
    history = History(stream_journals(tmp_path))
    assert all(strike.healed for strike in history.strikes)


def test_nothing_strikes_in_the_calm_that_ends_a_round() -> None:
    assert [calm_left_s(passed_s) for passed_s in (0, 44, 50, 59.5, 60, 110)] == [
        *(0, 0, 10, 0.5, 0, 10)
    ]


def test_a_fault_that_there_is_not_is_refused() -> None:
    asked = [sys.executable, "-m", "tests.chaos", "run", "mixed", "--fault", "nothing"]
    done = subprocess.run(asked, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 2
    assert "no fault nothing" in done.stderr


@pytest.mark.parametrize("names", [[], ["lost_worker"], ["mixed", "lost_worker"]], ids=len)
def test_a_fault_is_for_the_mixed_run_alone(names: list[str], tmp_path: Path) -> None:
    command = ["tests.chaos", "run", *names, "--fault", "a worker is killed"]
    done = subprocess.run(
        [sys.executable, "-m", *command, "--out", str(tmp_path / "out")],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 2
    assert "--fault is for mixed" in done.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("options", "says"),
    [([], "--keep keeps the history of a good run, too"), (["--keep"], "with histories")],
    ids=["results alone", "kept"],
)
def test_the_end_of_a_run_tells_what_is_kept(options: list[str], says: str, tmp_path: Path) -> None:
    run = [sys.executable, "-m", "tests.chaos", "run", "misrouted_jobs", *options]
    # It breaks off at once, and is summed up like any other.
    done = subprocess.run(
        [*run, "--out", str(tmp_path), "--server", str(tmp_path / "nowhere")],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == f"results: {tmp_path} ({says})"
    assert (tmp_path / "misrouted_jobs.json").exists()


def test_each_scenario_has_a_file_of_its_name() -> None:
    files = {path.stem for path in (Path(__file__).parent / "scenarios").glob("*.py")}
    assert files == {scenario.name for scenario in SCENARIOS}
    assert all(each.__module__.endswith(f".{each.name}") for each in SCENARIOS)
