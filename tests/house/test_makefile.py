"""`make help` is the list of what one can do here."""

import re
import subprocess
from pathlib import Path

import pytest

TARGET = re.compile(r"^([a-z][a-z0-9-]*):(?!=)", re.MULTILINE)


@pytest.fixture(scope="module")
def makefile(root: Path) -> str:
    return (root / "Makefile").read_text()


def test_help_lists_every_target(root: Path, makefile: str) -> None:
    shown = subprocess.run(
        ["make", "--no-print-directory"],  # noqa: S607 - make is a prerequisite.
        cwd=root,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    listed = re.findall(r"^  ([a-z][a-z0-9-]*) {2,}\S", shown, re.MULTILINE)
    targets = TARGET.findall(makefile)
    assert len(targets) > 15
    assert sorted(listed) == sorted(targets)


def test_every_target_is_phony(makefile: str) -> None:
    phony = re.findall(r"^\.PHONY: (\S+)$", makefile, re.MULTILINE)
    assert sorted(phony) == sorted(TARGET.findall(makefile))


def test_ci_calls_targets_that_exist(root: Path, makefile: str) -> None:
    called = re.findall(r"^make (\S+)", (root / ".ci" / "run").read_text(), re.MULTILINE)
    assert called
    assert set(called) <= set(TARGET.findall(makefile))


def test_scripts_are_executable_and_stop_at_the_first_error(root: Path) -> None:
    for path in [root / ".ci" / "run", *sorted((root / "tools").glob("*.sh"))]:
        assert path.stat().st_mode & 0o111, f"{path.name} is not executable"
        assert "\nset -euo pipefail\n" in path.read_text(), path.name
