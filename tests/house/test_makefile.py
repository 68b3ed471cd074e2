"""`make help` is the list of what one can do here."""

import re
import subprocess
import sys
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


def test_what_make_says_has_no_escapes_off_a_terminal(root: Path) -> None:
    told = subprocess.run(
        ["make", "--no-print-directory", "-f", "Makefile", "-f", "-", "probe"],  # noqa: S607 - make is a prerequisite.
        cwd=root,
        input="probe: ; $(call say,Installing (once, here))\n",
        capture_output=True,
        text=True,
        check=True,
    )
    assert told.stdout == "Installing (once, here)\n"


#: Imports all of the chaos harness, as if nothing were installed that the examples alone need.
_WITHOUT_EXAMPLES = """
import importlib, importlib.metadata, re, sys
from pathlib import Path

def pinned(name):
    lines = Path("requirements", name + ".txt").read_text()
    return set(re.findall(r"^([a-z0-9._-]+)==", lines, re.MULTILINE))

only = pinned("examples") - pinned("dev")
assert only
modules = {
    name
    for name, dists in importlib.metadata.packages_distributions().items()
    if all(re.sub("[._]", "-", dist).lower() in only for dist in dists)
}

class Missing:
    @staticmethod
    def find_spec(name, path=None, target=None):
        if name.partition(".")[0] in modules:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Missing)
for folder in ("tests/chaos", "tests/simulation"):
    for path in sorted(Path(folder).rglob("*.py")):
        if not path.name.startswith("test_") and path.name != "conftest.py":
            importlib.import_module(".".join(path.with_suffix("").parts))
"""


@pytest.mark.parametrize("target", ["chaos", "scenarios", "mutants"])
def test_trying_promises_installs_nothing_of_the_examples(target: str, makefile: str) -> None:
    needs = re.search(rf"^{target}: (.+?) ##", makefile, re.MULTILINE)
    assert needs
    assert needs[1] == "$(STAMP)"


def test_the_harness_needs_nothing_of_the_examples(root: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _WITHOUT_EXAMPLES],
        cwd=root,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
