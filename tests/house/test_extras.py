"""What one is told who installed other extras than a command needs."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from penstock.cli import extras

#: Runs the command line as if some modules were not installed.
WITHOUT = """
import sys
absent = set(sys.argv.pop(1).split(","))
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in absent:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Absent())
from penstock.cli.entry import main
main()
"""
#: What the extra `cli` alone does not bring.
OF_SERVERS = "hiredis,jsonschema_rs,redis,uvloop"


def run_without(modules: str, *command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", WITHOUT, modules, *command],
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )


@pytest.mark.parametrize(
    ("modules", "command", "extra"),
    [
        ("typer,rich", [], "cli"),
        ("typer,rich", ["--help"], "cli"),
        ("typer,rich", ["submit", "a.job"], "cli"),
        ("typer,rich", ["server"], "cli,server"),
        ("typer,rich", ["worker", "jobs:app"], "cli,worker"),
        (OF_SERVERS, ["server"], "cli,server"),
        (OF_SERVERS, ["worker", "penstock.cli.playground:app"], "cli,worker"),
        ("typer,rich", ["dev"], "all"),
    ],
)
def test_a_command_names_the_extra_it_lacks(modules: str, command: list[str], extra: str) -> None:
    answer = run_without(modules, *command)
    assert answer.returncode == 2, answer
    assert f"pip install 'penstock[{extra}]'" in " ".join(answer.stderr.split())
    assert "Traceback" not in answer.stderr


def test_what_the_cli_alone_brings_is_enough_for_a_client() -> None:
    answer = run_without(OF_SERVERS, "health", "--address", "127.0.0.1:1", "--timeout", "0.1")
    assert "connection refused" in answer.stderr, answer


def test_each_extra_that_is_named_exists(root: Path) -> None:
    project = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    named = {name for names in extras._BY_COMMAND.values() for name in names.split(",")}
    assert named <= set(project["optional-dependencies"])
    table = re.findall(r"^\| `(\w+)` \|", (root / "docs/operations.md").read_text(), re.MULTILINE)
    assert {"all", *table} >= set(project["optional-dependencies"])
