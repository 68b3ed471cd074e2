"""Audio analysis: a worker, its files, and the old table, of each test's own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from examples.audio_analysis import tones
from examples.audio_analysis.jobs import QUEUE
from examples.audio_analysis.table import Table
from penstock.client import Client
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from examples.audio_analysis.tones import Truth
    from examples.harness.stack import Stack


@pytest.fixture(scope="module")
def audio_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("audio")


@pytest.fixture(scope="module")
def settings(audio_root: Path) -> dict[str, str]:
    return {
        "AUDIO_ROOT": str(audio_root),
        "AUDIO_DATABASE_URL": f"sqlite:///{audio_root}/old.sqlite3",
        "PENSTOCK_LEASE_S": "1",
        "PENSTOCK_SLOTS": "1",
        "OPENBLAS_NUM_THREADS": "1",
    }


@pytest.fixture(scope="module")
def truths(audio_root: Path) -> list[Truth]:
    """One file of each kind."""
    return tones.make_files(audio_root, "made", 4)


@pytest.fixture(scope="module")
def broken(audio_root: Path) -> str:
    return tones.make_broken(audio_root, "made")


@pytest.fixture(scope="module")
def worker(stack: Stack) -> None:
    stack.start_worker("worker", "examples.audio_analysis.worker:app")
    with Client(stack.address) as client:
        wait_until(lambda: client.workers(QUEUE), "the worker is up", within_s=30)


@pytest.fixture
def client(stack: Stack) -> Iterator[Client]:
    with Client(stack.address) as client:
        yield client


@pytest.fixture
def table(tmp_path: Path) -> Iterator[Table]:
    """An old table in a database of its own."""
    table = Table(f"sqlite:///{tmp_path}/old.sqlite3")
    table.create()
    yield table
    table.close()
