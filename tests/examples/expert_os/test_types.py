"""Data of a wrong type: the type checker finds it. So does the gateway: see test_web.py."""

from __future__ import annotations

import re
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from examples.expert_os.tasks import (
    DocumentReport,
    GenerateContent,
    GeneratedContent,
    ProcessDocument,
)
from examples.harness.stack import REPOSITORY

if TYPE_CHECKING:
    from pathlib import Path

    from pydantic import BaseModel


PROGRAM = """\
from examples.expert_os.producer import TaskQueue
from examples.expert_os.tasks import (
    GENERATE_CONTENT,
    PROCESS_DOCUMENT,
    GenerateContent,
    ProcessDocument,
)


async def main(queue: TaskQueue) -> None:
    text = GenerateContent(prompt="Hello.")
    document = ProcessDocument(document_id="0" * 64, format="pdf")
    await queue.add_job_to_queue(GENERATE_CONTENT, text)
    await queue.add_job_to_queue(PROCESS_DOCUMENT, document)
    await queue.add_job_to_queue(PROCESS_DOCUMENT, text)  # wrong
    await queue.add_job_to_queue(GENERATE_CONTENT, document)  # wrong
    await queue.add_job_to_queue(GENERATE_CONTENT, {"prompt": "Hello."})  # wrong
    await queue.add_job_to_queue("GENERATE_CONTENT", text)  # wrong
    await queue.add_job_to_queue(GENERATE_CONTENT)  # wrong
    GenerateContent(prompt=7)  # wrong
    GenerateContent(prompt="Hello.", tokens=7)  # wrong
    ProcessDocument(document_id="0" * 64, format="docx")  # wrong
"""


def test_what_is_wrong_does_not_type_check(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    checked = subprocess.run(
        [sys.executable, "-m", "mypy", "--no-error-summary", program],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    found = {int(line) for line in re.findall(r"program\.py:(\d+): error", checked.stdout)}
    lines = enumerate(PROGRAM.splitlines(), 1)
    assert found == {number for number, line in lines if line.endswith("# wrong")}, checked


@pytest.mark.parametrize(
    "model", [ProcessDocument, DocumentReport, GenerateContent, GeneratedContent]
)
def test_the_types_of_the_typescript_producer_are_the_same(model: type[BaseModel]) -> None:
    source = (REPOSITORY / "clients/typescript/examples/expert-os/queue.ts").read_text()
    interface = re.search(rf"export interface {model.__name__} {{\n(.*?)\n}}", source, re.DOTALL)
    assert interface
    fields = re.findall(r"^  (\w+)(\??): ", interface[1], re.MULTILINE)
    assert {name: mark == "" for name, mark in fields} == {
        name: field.is_required() for name, field in model.model_fields.items()
    }
