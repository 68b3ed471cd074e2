"""``python -m tests.chaos check`` judges a history that was kept as its run did."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from tests.chaos.catalogue import SCENARIOS
from tests.chaos.checker.checker import check
from tests.chaos.checker.judging.tales import plain
from tests.chaos.checker.scene import Expectations, Loss
from tests.chaos.history.journal import Journal, read_journals
from tests.chaos.report import PAGE
from tests.support.processes import ROOT

if TYPE_CHECKING:
    from pathlib import Path

    from tests.chaos.checker.judging.told import Tale

EXPECTED = Expectations(
    max_attempts=7,
    max_crashes=50,
    losses=(Loss(1, 2), Loss(3, 4)),
    durability="ALWAYS",
    least={"start": 1, "watch event": 3},
    recovery_s=5.0,
)


def keep(tale: Tale, folder: Path, expected: Expectations = EXPECTED) -> None:
    """As a run does at its end."""
    journals: dict[str, Journal] = {}
    for line in tale.lines:
        if line.by not in journals:
            journals[line.by] = Journal(folder / "journals", line.by)
        journals[line.by].write(line.kind, **line.fields)
    for journal in journals.values():
        journal.close()
    expected.save(folder)


def checked(folder: Path | str) -> tuple[int, str]:
    """The exit status, and what was told."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.chaos", "check", str(folder)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    return done.returncode, done.stdout + done.stderr


def test_expectations_are_read_as_they_were_kept(tmp_path: Path) -> None:
    EXPECTED.save(tmp_path)
    assert Expectations.load(tmp_path) == EXPECTED


def test_a_history_is_judged_as_in_its_run(tmp_path: Path) -> None:
    keep(plain(), tmp_path)
    assert check(read_journals(tmp_path / "journals"), expectations=EXPECTED) == []
    assert checked(tmp_path) == (0, "1 jobs, 0 violations\n")


@pytest.mark.parametrize(
    ("expected", "invariant"),
    [
        (replace(EXPECTED, durability="REPLICATED"), "I1"),
        (replace(EXPECTED, least={"strike": 1}), "work"),
    ],
    ids=["durability", "least"],
)
def test_what_the_run_expected_is_expected_again(
    expected: Expectations, invariant: str, tmp_path: Path
) -> None:
    keep(plain(), tmp_path, expected)
    status, told = checked(tmp_path)
    assert status == 1
    assert told.startswith(f"{invariant}\n")


def test_a_history_that_was_tampered_with_is_refuted(tmp_path: Path) -> None:
    keep(plain(), tmp_path)
    worker = tmp_path / "journals" / "worker-1.jsonl"
    lines = worker.read_text().splitlines(keepends=True)
    worker.write_text("".join(line for line in lines if '"kind": "end"' not in line))
    status, told = checked(tmp_path)
    assert status == 1
    assert "has a result of token 1, which returned none" in told


@pytest.mark.parametrize(
    ("kept", "named", "why"),
    [
        ("", "", "there is no history in"),
        ("", "nowhere", "there is no history in"),
        ("lost_worker/lease-10/journals", "lost_worker", "history of lost_worker, which `check`"),
        ("lost_worker/lease-1/journals", "lost_worker/lease-1", "history of lost_worker, which"),
        ("mixed/journals", "", "is no run of"),
        ("mixed/journals", "mixed", "this run of mixed broke off"),
    ],
    ids=["empty", "missing", "other scenario", "part of it", "folder above", "broken off"],
)
def test_a_folder_that_cannot_be_judged(kept: str, named: str, why: str, tmp_path: Path) -> None:
    (tmp_path / "kept" / kept).mkdir(parents=True)
    status, told = checked(tmp_path / "kept" / named)
    assert status == 2
    assert why in " ".join(told.replace("│", " ").split()), told
    assert "Errno" not in told


def test_its_help_names_the_scenarios_that_it_judges() -> None:
    status, told = checked("--help")
    assert status == 0
    judged = {scenario.name for scenario in SCENARIOS if scenario.has_history}
    assert judged == {"mixed", "crash_points"}
    assert all(name in told for name in judged)
    assert all(f"`{name}`" in PAGE.read_text() for name in judged)
