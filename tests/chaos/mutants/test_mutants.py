"""What can be held of the mutants at no cost: each is a patch that still applies."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.chaos.catalogue import SCENARIOS
from tests.chaos.mutants.account import SOUND, Row, load, save
from tests.chaos.mutants.mutant import Mutant, Tree, mutants
from tests.chaos.mutants.trial import SIMULATION
from tests.chaos.report import MUTANTS

if TYPE_CHECKING:
    from pathlib import Path

#: As asked for by those who rely on the harness.
AT_LEAST = 18


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Tree:
    return Tree(tmp_path_factory.mktemp("tree"))


def contents(tree: Tree) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in tree.files()}


@pytest.mark.parametrize("mutant", mutants(), ids=lambda mutant: mutant.name)
def test_a_mutant_can_be_planted_and_pulled(mutant: Mutant, tree: Tree) -> None:
    before = contents(tree)
    tree.plant(mutant)
    changed = [path for path, data in contents(tree).items() if before.get(path) != data]
    tree.pull(mutant)
    assert changed
    assert not any("tests" in path.relative_to(tree.folder).parts for path in changed)
    assert contents(tree) == before


def test_every_mutant_has_a_run_that_has_to_see_it() -> None:
    runs = {SIMULATION, *(scenario.name for scenario in SCENARIOS)}
    assert {mutant.run for mutant in mutants()} <= runs
    assert len(mutants()) >= AT_LEAST


def test_every_mutant_was_caught() -> None:
    rows = load(MUTANTS)
    told = "make mutants ARGS='--out tests/chaos/record/mutants.json'"
    assert {row.mutant for row in rows} == {SOUND, *(mutant.name for mutant in mutants())}, told
    assert all(row.good for row in rows)


def test_an_account_takes_in_the_trials_of_a_part(tmp_path: Path) -> None:
    def row(mutant: str, invariant: str) -> Row:
        return Row(mutant, "It breaks.", "mixed", invariant, "", 1.0, good=True)

    path = tmp_path / "mutants.json"
    save([row("02-two", "I2"), row("01-one", "I1")], path)
    save([row("02-two", "I3"), row(SOUND, "")], path)
    assert load(path) == [row(SOUND, ""), row("01-one", "I1"), row("02-two", "I3")]


def test_processes_import_the_copy(tree: Tree) -> None:
    tree.check_imports()
