"""The demonstration: it comes out as planned, and leaves nothing behind, however it ends."""

from __future__ import annotations

import json
import os
import secrets
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.cli.running import ROOT, clean_environment
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

MARK = "PYTEST_DEMO_MARK"


@pytest.fixture
def environment(tmp_path: Path) -> Iterator[dict[str, str]]:
    """Of the demonstration; afterwards, neither a process nor a file of it may be left."""
    mark = secrets.token_hex(8)
    yield clean_environment(TMPDIR=str(tmp_path), **{MARK: mark})
    wait_until(lambda: not _processes_with(mark), "no process of the demo is left", within_s=20)
    assert list(tmp_path.glob("penstock-*")) == []


@pytest.mark.timeout(180)
def test_all_comes_out_as_planned(environment: dict[str, str]) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "examples.demo", "--json"],
        capture_output=True,
        text=True,
        env=environment,
        cwd=ROOT,
        timeout=150,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert [check for check in report["checks"] if not check["ok"]] == []
    assert report["jobs"].keys() == report["planned"].keys()
    assert "SIGKILL" in done.stderr
    for text in ("queue wait", "run time", "expectations, as planned"):
        assert text in done.stderr


@pytest.mark.parametrize(
    "sent", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)]
)
def test_interrupted_it_cleans_up(environment: dict[str, str], sent: signal.Signals) -> None:
    demo = subprocess.Popen(
        [sys.executable, "-u", "-m", "examples.demo"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=environment,
        cwd=ROOT,
    )
    with demo:
        assert demo.stdout is not None
        assert any("running" in line for line in demo.stdout), "it ended before a job ran"
        demo.send_signal(sent)
        rest = demo.stdout.read()
    assert demo.returncode == 130, rest
    assert "everything that was started is stopped" in rest
    assert "Traceback" not in rest


def _processes_with(mark: str) -> list[int]:
    """The processes whose environment holds the mark; none where there is no /proc to tell."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            environment = (folder / "environ").read_bytes()
        except OSError:
            continue  # It is gone, or another user's.
        if f"{MARK}={mark}".encode() in environment and int(folder.name) != os.getpid():
            found.append(int(folder.name))
    return found
