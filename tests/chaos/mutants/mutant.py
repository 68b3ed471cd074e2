"""Mutants: small deliberate defects of the product, and copies of the tree to plant them in.

A patch begins with lines that say what it breaks, and which run has to see it. Where the simulation
saw it late, one says so, and no trial lives the lives before that again::

    What: A result is taken under any token.
    Run: simulation
    Life: 24
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = ["ROOT", "Mutant", "Tree", "mutants"]

ROOT: Final = Path(__file__).resolve().parents[3]
FOLDER: Final = Path(__file__).resolve().parent
#: Where the product's packages are, as pyproject.toml has them.
ROOTS: Final = ("gen", "runtime", "broker", "server", "worker", "clients/python", "cli")


@dataclass(frozen=True)
class Mutant:
    """One defect.

    Attributes:
        path: of its patch.
        what: it breaks, in a sentence.
        run: that has to see it: ``simulation``, or a scenario of the fault harness.
        life: the first that is simulated.
    """

    path: Path
    what: str
    run: str
    life: int = 0

    @property
    def name(self) -> str:
        """Its number and a few words."""
        return self.path.stem

    @classmethod
    def read(cls, path: Path) -> Self:
        """Reads the lines before the patch. Raises KeyError where one is missing."""
        lines = path.read_text().partition("\n---")[0].splitlines()
        fields = dict(line.split(": ", 1) for line in lines if line)
        return cls(path, fields["What"], fields["Run"], int(fields.get("Life", "0")))


def mutants(names: Sequence[str] = ()) -> list[Mutant]:
    """All of them, or those whose name holds one of the given words."""
    found = [Mutant.read(path) for path in sorted(FOLDER.glob("*.patch"))]
    return [each for each in found if not names or any(name in each.name for name in names)]


class Tree:
    """A copy of all files of this checkout that git knows of.

    Args:
        folder: takes it; it must not be within a checkout.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        listed = subprocess.run(
            ["git", "ls-files", "-z"],  # noqa: S607 - from PATH, as everywhere.
            cwd=ROOT,
            check=True,
            capture_output=True,
            text=True,
        )
        for name in filter(None, listed.stdout.split("\0")):
            if (ROOT / name).is_file():  # Not one that is being deleted.
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / name, folder / name)

    @property
    def environment(self) -> dict[str, str]:
        """Of processes that are to run this tree's code."""
        path = os.pathsep.join(str(self.folder / root) for root in (*ROOTS, "."))
        # No leftovers of the mutant before.
        return {**os.environ, "PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"}

    def check_imports(self) -> None:
        """Makes sure that processes import this tree's packages, and not the installed ones.

        Raises:
            RuntimeError: they do not.
        """
        packages = ("broker", "client", "runtime", "server", "worker")
        script = "\n".join(
            f"import penstock.{name}; print(penstock.{name}.__file__)" for name in packages
        )
        found = subprocess.run(
            [sys.executable, "-c", script],
            cwd=self.folder,
            env=self.environment,
            check=True,
            capture_output=True,
            text=True,
        ).stdout.split()
        strangers = [path for path in found if not path.startswith(str(self.folder))]
        if strangers or len(found) != len(packages):
            raise RuntimeError(f"not of the copy: {strangers}")

    def plant(self, mutant: Mutant) -> None:
        """Puts a defect in. Raises CalledProcessError where the patch does not apply any more."""
        self._apply(mutant)

    def pull(self, mutant: Mutant) -> None:
        """Takes it out again."""
        self._apply(mutant, "--reverse")

    def _apply(self, mutant: Mutant, *options: str) -> None:
        subprocess.run(
            ["git", "apply", "--whitespace=nowarn", *options, str(mutant.path)],  # noqa: S607
            cwd=self.folder,
            # Even if the folder is within a checkout after all.
            env={**os.environ, "GIT_CEILING_DIRECTORIES": str(self.folder.parent)},
            check=True,
            capture_output=True,
            text=True,
        )

    def files(self) -> Iterator[Path]:
        """All that is in it."""
        return (path for path in self.folder.rglob("*") if path.is_file())
