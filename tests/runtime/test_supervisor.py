"""Supervised processes: real ones, of a module that does as the test says."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING

import pytest

from penstock.runtime import Backoff, ProcessDied, SupervisedProcess, Supervisor
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

CHILD = """
import asyncio
import sys
from pathlib import Path

from penstock.runtime import stop_with_supervisor, tell_fault, tell_up

folder, *words = sys.argv[1:]


async def main():
    stopping = asyncio.Event()
    stop_with_supervisor(stopping)
    if "fails" in words:
        tell_fault("no luck: ünd zwar")
        sys.exit(3)
    if "crashes" in words:
        sys.exit(4)
    tell_up()
    with open(folder + "/starts", "a") as starts:
        starts.write("x")
    if "once" in words and Path(folder, "starts").stat().st_size > 1:
        tell_fault("not again")
        sys.exit(5)
    if "dies" not in words and "once" not in words:
        await stopping.wait()
    Path(folder, "ended").touch()


asyncio.run(main())
"""


@pytest.fixture
def make(tmp_path: Path) -> Callable[..., SupervisedProcess]:
    """Makes a process of the child above, which does as the words say."""
    (tmp_path / "supervised_child.py").write_text(CHILD)
    paths = [str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])]

    def process(*words: str, must_start: bool = False) -> SupervisedProcess:
        return SupervisedProcess(
            "child",
            "supervised_child",
            [str(tmp_path), *words],
            environment={"PYTHONPATH": os.pathsep.join(paths)},
            grace_s=5.0,
            must_start=must_start,
            restarts=Backoff(initial_s=0.01, max_s=0.1),
        )

    return process


async def test_it_is_up_when_it_says_so_and_ends_when_it_is_told(
    make: Callable[..., SupervisedProcess], tmp_path: Path
) -> None:
    children = [make(must_start=True), make(must_start=True)]
    async with Supervisor(children):
        await asyncio.gather(*(child.up() for child in children))
        assert all(child.running for child in children)
        assert not (tmp_path / "ended").exists()
    assert (tmp_path / "ended").exists()
    assert (tmp_path / "starts").read_text() == "xx"


@pytest.mark.parametrize(
    ("words", "told", "fault"),
    [
        ("fails", "no luck: ünd zwar", "no luck: ünd zwar"),
        ("crashes", "child ended with status 4", ""),
    ],
)
async def test_one_that_must_start_is_not_tried_again(
    make: Callable[..., SupervisedProcess], words: str, told: str, fault: str
) -> None:
    async with make(words, must_start=True) as child:
        with pytest.raises(ProcessDied, match=told) as caught:
            await child.up()
    assert caught.value.fault == fault
    assert child.crashes == 0


@pytest.mark.parametrize("words", ["dies", "once"])
async def test_one_that_was_up_is_started_again_whatever_it_says(
    make: Callable[..., SupervisedProcess], words: str, tmp_path: Path
) -> None:
    async with make(words, must_start=True) as child:
        await child.up()
        await eventually(lambda: child.crashes > 1, "it was started again", within_s=20)
    assert len((tmp_path / "starts").read_text()) > 1


async def test_one_that_may_fail_is_tried_again_from_the_start(
    make: Callable[..., SupervisedProcess],
) -> None:
    async with make("fails") as child:
        await eventually(lambda: child.crashes > 1, "it is tried again", within_s=20)
