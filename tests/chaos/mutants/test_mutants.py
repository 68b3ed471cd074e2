"""What can be held of the mutants at no cost: each is a patch that still applies."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.chaos.catalogue import SCENARIOS
from tests.chaos.mutants.mutant import Mutant, Tree, mutants

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
    runs = {"simulation", *(scenario.name for scenario in SCENARIOS)}
    assert {mutant.run for mutant in mutants()} <= runs
    assert len(mutants()) >= AT_LEAST


def test_processes_import_the_copy(tree: Tree) -> None:
    tree.check_imports()
