"""Processes that are forked behave as those that are started."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import pytest

from tests.chaos.worlds.forkserver import ForkServer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def forks() -> Iterator[ForkServer]:
    forks = ForkServer()
    yield forks
    forks.close()


def test_it_runs_a_module_and_tells_its_status(forks: ForkServer, tmp_path: Path) -> None:
    well = forks.spawn(["penstock.cli", "--version"], {}, tmp_path / "well.log")
    ill = forks.spawn(["penstock.cli", "--no-such-option"], {}, tmp_path / "ill.log")
    assert (well.wait(), ill.wait()) == (0, 2)
    assert (tmp_path / "well.log").read_text().startswith("penstock ")
    assert "no-such-option" in (tmp_path / "ill.log").read_text()


def test_one_that_is_killed_says_so(forks: ForkServer, tmp_path: Path) -> None:
    log = tmp_path / "log"
    # Nobody is there, so it tries for some seconds.
    env = {"PENSTOCK_REDIS_URL": "redis://127.0.0.1:1", "PENSTOCK_LISTEN": "127.0.0.1:0"}
    child = forks.spawn(["penstock.server"], env, log)
    assert child.poll() is None
    child.send_signal(signal.SIGKILL)
    assert child.wait() == -signal.SIGKILL
