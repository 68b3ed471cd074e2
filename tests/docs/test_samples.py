"""Every sample in a document is part of a file that is tested, or is run here."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from penstock.broker import TRANSITIONS
from tests.support.markdown import Block, blocks_of, relative_links_of
from tests.support.processes import ROOT, Fleet, free_port
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

DOCUMENTS: Final = sorted(
    [
        *ROOT.glob("*.md"),
        *ROOT.glob("docs/**/*.md"),
        *ROOT.glob("examples/*/*.md"),
        *ROOT.glob("clients/*/README.md"),
    ]
)
NOT_RUN: Final = "not run here: "
APP: Final = "examples.quickstart.app:app"


def _id(document: Path) -> str:
    return str(document.relative_to(ROOT))


def _blocks(language: str) -> list[object]:
    return [
        pytest.param(block, id=f"{_id(document)}-{number}")
        for document in DOCUMENTS
        for number, block in enumerate(blocks_of(document), 1)
        if block.language == language
    ]


@pytest.fixture
def environment(redis_url: str, tmp_path: Path) -> Iterator[dict[str, str]]:
    """That of somebody in whose other terminal `penstock dev` runs."""
    port = free_port()
    with Fleet(redis_url, tmp_path) as fleet:
        fleet.gateway(port)
        worker = fleet.worker(APP)
        wait_until(
            lambda: "worker started" in fleet.log_of(worker), "the worker starts", within_s=30
        )
        yield {
            **os.environ,
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "PENSTOCK_ADDRESS": f"127.0.0.1:{port}",
        }


@pytest.mark.parametrize("document", DOCUMENTS, ids=_id)
def test_blocks_are_of_a_kind_that_is_checked(document: Path) -> None:
    kinds = {"python", "typescript", "console", "mermaid"}
    assert {block.language for block in blocks_of(document)} <= kinds


@pytest.mark.parametrize("document", DOCUMENTS, ids=_id)
def test_links_lead_to_files(document: Path) -> None:
    gone = [link for link in relative_links_of(document) if not (document.parent / link).exists()]
    assert not gone


@pytest.mark.parametrize("block", [*_blocks("python"), *_blocks("typescript")])
def test_code_stands_in_a_file_that_is_tested(block: Block) -> None:
    assert block.note.startswith("from "), "say above the block which file it is from"
    source = ROOT / block.note.removeprefix("from ")
    assert block.text in source.read_text()


@pytest.mark.parametrize("block", _blocks("console"))
def test_commands_run(block: Block, request: pytest.FixtureRequest) -> None:
    if block.note.startswith(NOT_RUN):
        assert len(block.note) > len(NOT_RUN) + 10, "say why it is not run"
        return
    commands = re.findall(r"^\$ (.+)$", block.text, re.MULTILINE)
    assert commands
    environment = request.getfixturevalue("environment")
    for command in commands:
        done = subprocess.run(
            ["/bin/bash", "-c", command],
            cwd=ROOT,
            env=environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"


def test_the_first_job_prints_its_output_and_its_result(environment: dict[str, str]) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "examples.quickstart.submit"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    greeting = "Hello, world! " * 3
    assert done.stdout == f"{greeting}\ngreeted world 3 times\n"


def test_the_state_machine_is_drawn_as_it_is() -> None:
    text = (ROOT / "docs/state-machine.md").read_text()
    rows = set(re.findall(r"^\| ([A-Z]+) \| ([A-Z]+) \| (.+) \|$", text, re.MULTILINE))
    assert rows == {(a.name, b.name, why) for (a, b), why in TRANSITIONS.items()}
    arrows = set(re.findall(r"^    ([A-Z]+) --> ([A-Z]+)", text, re.MULTILINE))
    assert arrows == {(a.name, b.name) for a, b in TRANSITIONS}
