"""The page on reliability is what the record says, and the record is of runs that exist."""

from __future__ import annotations

import re
import shutil
import tomllib
from typing import TYPE_CHECKING

import pytest

from tests.chaos.catalogue import FAULTS, SCENARIOS
from tests.chaos.checker.checker import PROMISES
from tests.chaos.matrix import NOT_TRIED, ROWS
from tests.chaos.report import PAGE, POWER_CUT, RECORD, page, runs_of
from tests.chaos.result import Result
from tests.support.processes import ROOT

if TYPE_CHECKING:
    from pathlib import Path


def test_the_page_is_current() -> None:
    assert PAGE.read_text() == page(), "run python -m tests.chaos record"


@pytest.mark.parametrize("path", runs_of(RECORD), ids=lambda path: path.stem)
def test_a_recorded_run_is_one_of_the_catalogue(path: Path) -> None:
    result = Result.load(path)
    assert result.scenario in {scenario.name for scenario in SCENARIOS}
    assert str(ROOT) not in path.read_text()


def test_every_fault_has_its_place_in_the_matrix() -> None:
    rows = {row for scenario in SCENARIOS for row in scenario.rows}
    rows |= {row for fault in FAULTS for row in fault.rows}
    assert rows | NOT_TRIED.keys() <= ROWS.keys()
    assert [*ROWS] == list(range(1, 37))
    assert POWER_CUT in {fault.name for fault in FAULTS}


def test_every_promise_is_named() -> None:
    names = [name for name, _ in PROMISES]
    assert {f"I{number}" for number in range(1, 12)} <= set(names)
    assert all(text.endswith(".") for _, text in PROMISES), PROMISES


def test_each_bug_has_a_test() -> None:
    for bug in tomllib.loads((RECORD / "bugs.toml").read_text())["bug"]:
        assert set(bug) == {"symptom", "cause", "test"}
        paths = re.findall(r"\btests/[\w/]+\.py", bug["test"])
        named = re.findall(r"`(\w+)`", bug["test"])
        assert paths or {scenario.name for scenario in SCENARIOS} & set(named), bug["test"]
        assert all((ROOT / path).is_file() for path in paths), bug["test"]


def test_a_record_is_rendered(tmp_path: Path) -> None:
    result = Result("mixed", 7, "python -m tests.chaos run mixed --seed 7", "Valkey", 1800, 100_000)
    result.operations = {"submit": 90_000, "status": 10_000, "start": 7}
    result.tally("a worker is killed", (1,)).strikes = 40
    result.faults["a worker is killed"].recovery_ms = [900.0, 2100.0, 300.0]
    result.figures["jobs | seen"] = "all"
    result.figures["everysec: outcomes lost"] = "3 of 40"
    result.figures["everysec: jobs lost"] = "7 of 90, the oldest 0.9 s before the cut"
    result.figures["always: jobs lost with the primary"] = "5"
    result.save(tmp_path / "mixed-1.json")
    result.expect(None, "I4", "job j has two outcomes")
    result.aim(None, "a job ran late")
    result.remark = "It is mended."
    result.version, result.commit, result.date = "0.1.0", "c31adaa", "2026-11-22"
    result.save(tmp_path / "mixed-2.json")
    skipped = Result("lost_worker", 1, "...", skipped="needs root")
    skipped.save(tmp_path / "lost_worker.json")
    (tmp_path / "bugs.toml").write_text("bug = []\n")
    shutil.copy(RECORD / "page.md", tmp_path)
    text = page(tmp_path)
    assert "| a worker is killed | 1 | 2 | 80 | 200,000 | 900 ms | 2.1 s |" in text
    command = f"`{result.command}`"
    alone = f'`{result.command} --minutes 2 --fault "a worker is killed"`'
    assert f" 900 ms | 2.1 s | 6 | {alone} |" in text
    lost = "7 of 90, the oldest 0.9 s before the cut | 3 of 40"
    weakest, stronger = f"| everysec | {lost} |", "| always | 5 with the primary |  |"
    assert 0 < text.index(weakest) < text.index(stronger)
    assert f"| 1 | {ROWS[1]} | `mixed` (a worker is killed) | {command} |  |" in text
    assert "2 runs of 1 scenarios, 60 min in all: 200,000 jobs, 200,000 calls" in text
    assert "**Violations of a promise: 1**" in text
    assert "skipped: it needs root" in text
    assert f"| {command} | I4 | job j has two outcomes | It is mended. |" in text
    assert "| `mixed` | a job ran late |" in text
    assert "| 1 | **1** | Valkey | 0.1.0 (c31adaa), 2026-11-22 |" in text
    assert "| 0 |  | Valkey |  |" in text, "who ran before these were noted has none"
    assert "| `mixed` | jobs \\| seen | all |" in text


def test_what_is_not_recorded_is_named(tmp_path: Path) -> None:
    Result("mixed", 7, "...").save(tmp_path / "mixed.json")
    (tmp_path / "bugs.toml").write_text("bug = []\n")
    shutil.copy(RECORD / "page.md", tmp_path)
    text = page(tmp_path)
    left = [f"`{scenario.name}`" for scenario in SCENARIOS if scenario.name != "mixed"]
    assert f"Scenarios without a recorded run: {', '.join(left)}." in text
    again = "`python -m tests.chaos run consumers --seed 1 --scale 1`"
    reason = "No run of `consumers` is recorded yet."
    assert f"| 28 | {ROWS[28]} | no recorded run | {again} | {reason} |" in text


def test_each_row_of_the_matrix_is_tried_or_says_why_not() -> None:
    rows = [line for line in page().splitlines() if "| no recorded run |" in line]
    assert all(not line.endswith("|  |") for line in rows), rows
