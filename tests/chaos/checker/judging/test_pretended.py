"""The checker on whole histories of a pretended service, sound and with a defect each."""

from __future__ import annotations

import pytest

from tests.chaos.checker.checker import check
from tests.chaos.checker.judging.pretended import DEFECTS, pretend
from tests.chaos.checker.scene import Expectations

#: As many crashes as may be.
LENIENT = Expectations(max_attempts=99, max_crashes=10_000)
SEEDS = range(15)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_sound_service_is_found_sound(seed: int) -> None:
    assert check(pretend(seed), expectations=LENIENT) == []


@pytest.mark.parametrize("defect", DEFECTS)
def test_each_defect_is_found(defect: str) -> None:
    found = {seed for seed in SEEDS if check(pretend(seed, defect), expectations=LENIENT)}
    assert len(found) > 1, defect  # Some need a coincidence.
