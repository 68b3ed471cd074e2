"""Lives of a whole service in virtual time, each in a process of its own: they replace the time."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Final

import hypothesis
import pytest

ROOT: Final = Path(__file__).resolve().parents[2]
#: Seeds that once showed a fault of the simulation, or of the service.
KNOWN: Final = (111, 136, 161)


def lives(binary: Path, count: int, seed: int) -> str:
    """So many lives, from a seed on, without a violation. Returns the account of them."""
    command = [sys.executable, "-m", "tests.simulation"]
    options = ["--lives", str(count), "--seed", str(seed), "--server", str(binary)]
    done = subprocess.run(
        [*command, *options], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert not done.stderr
    return done.stdout


@pytest.mark.timeout(240)  # A tenth of it, where the cores are not shared.
def test_nothing_is_lost_in_any_of_a_few_lives(server_binary: Path) -> None:
    """Of each kind: calm and troubled, revived, crowded, with schedules, with topics."""
    lives(server_binary, 8, seed=0)


@pytest.mark.timeout(240)
@pytest.mark.parametrize("seed", KNOWN)
def test_a_life_that_once_went_wrong(server_binary: Path, seed: int) -> None:
    lives(server_binary, 1, seed)


@pytest.mark.timeout(240)
def test_a_seed_repeats_a_life(server_binary: Path) -> None:
    """All of it: were it not so, nobody could find out why a life went wrong."""
    first, second = (lives(server_binary, 1, seed=7).split(" commands")[0] for _ in range(2))
    assert first == second


@pytest.mark.slow
@pytest.mark.hypothesis  # As the plugin marks tests of @given: `make test-properties` runs it.
@pytest.mark.timeout(3_600)
@pytest.mark.parametrize("part", [1, 2])
def test_nothing_is_lost_in_any_of_many_lives(server_binary: Path, part: int) -> None:
    lives(server_binary, hypothesis.settings().max_examples // 4, seed=10_000 * part)
