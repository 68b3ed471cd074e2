"""What the page on sizing says that a job takes is what it takes."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Final

import pytest

from bench.scenarios.memory import SHAPES, Shape, bytes_per_job
from tests.support.processes import ROOT

PAGE: Final = (ROOT / "docs/sizing.md").read_text()
SAID: Final = {
    name: int(figure.replace(",", ""))
    for name, figure in re.findall(
        r"^\| ((?:queued|scheduled|finished) job.*) \| ([\d,]+) \|$", PAGE, re.MULTILINE
    )
}
#: Enough that what a server takes anyhow is little beside it.
JOBS: Final = 2_000
#: By how much the allocator, the version of the server and the number of jobs move it.
TOLERANCE: Final = 0.25


def test_every_kind_is_listed() -> None:
    assert [*SAID] == [shape.name for shape in SHAPES]


@pytest.mark.timeout(180)
@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.name)
async def test_a_job_takes_what_is_said(shape: Shape) -> None:
    taken = await bytes_per_job(replace(shape, jobs=JOBS))
    assert taken == pytest.approx(SAID[shape.name], rel=TOLERANCE)
