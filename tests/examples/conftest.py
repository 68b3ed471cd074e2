"""Fixtures of the applications: the processes of a run, shared by the tests of a module."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any, Protocol

import pytest

from examples.harness.stack import REPOSITORY, Stack

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class EndToEnd(Protocol):
    """Runs an application as ``make examples`` does."""

    def __call__(self, name: str) -> dict[str, Any]:
        """Returns its report; fails the test if it did not come out as planned."""


@pytest.fixture(scope="module")
def settings() -> dict[str, str]:
    """Variables for all processes of the module's stack; a module may have its own."""
    return {}


@pytest.fixture(scope="module")
def stack(settings: dict[str, str]) -> Iterator[Stack]:
    """A Valkey and a gateway; workers and web applications are started on it."""
    with Stack("test", settings) as stack:
        yield stack


@pytest.fixture
def end_to_end(tmp_path: Path) -> EndToEnd:
    """The whole run, from its start to its report, in a folder of its own."""

    def play(name: str) -> dict[str, Any]:
        ended = subprocess.run(
            [sys.executable, "-m", f"examples.{name}", "--json"],
            cwd=REPOSITORY,
            env={**os.environ, "TMPDIR": str(tmp_path)},
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert ended.returncode == 0, ended.stderr
        report: dict[str, Any] = json.loads(ended.stdout.splitlines()[-1])
        assert report["as_planned"], report["wrong"]
        assert list(tmp_path.glob("penstock-*")) == [], "it leaves no file behind"
        return report

    return play
