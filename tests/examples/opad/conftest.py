"""OPAD's processes: an API, a web server and a worker, quick at writing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx
import pytest

from tests.support.processes import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator

    from examples.harness.stack import Stack


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    database = tmp_path_factory.mktemp("opad") / "opad.sqlite3"
    return {"OPAD_DATABASE_URL": f"sqlite:///{database}", "OPAD_STEP_S": "0.05"}


@pytest.fixture(scope="module")
def web_port() -> int:
    return free_port()


@pytest.fixture(scope="module")
def api_url(stack: Stack, web_port: int) -> str:
    origin = {"OPAD_WEB_ORIGINS": f"http://127.0.0.1:{web_port}"}
    stack.start_worker("worker", "examples.opad.worker:app")
    return stack.start_web("api", "examples.opad.api:api", settings=origin)[1]


@pytest.fixture
def api(api_url: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=api_url, timeout=30) as api:
        yield api
