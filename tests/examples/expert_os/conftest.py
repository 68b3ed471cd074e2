"""The processes of the tasks: the web application, and a worker that is quick at writing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx
import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from examples.harness.stack import Stack


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    documents = tmp_path_factory.mktemp("documents")
    return {"EXPERT_OS_DOCUMENTS": str(documents), "EXPERT_OS_TOKEN_S": "0.002"}


@pytest.fixture(scope="module")
def web_url(stack: Stack) -> str:
    stack.start_worker("worker", "examples.expert_os.worker:app")
    return stack.start_web("web", "examples.expert_os.web:web")[1]


@pytest.fixture
def web(web_url: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=web_url, timeout=30) as web:
        yield web
