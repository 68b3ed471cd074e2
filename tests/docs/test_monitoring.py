"""Every field that the page on alerts has one watch is told by a real gateway and a real server."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from typing import TYPE_CHECKING, Any, Final

import pytest
from redis import Redis

from tests.support.processes import ROOT, Fleet, free_port
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

PAGE: Final = (ROOT / "docs/monitoring.md").read_text()
WATCHED: Final = re.findall(r"^\| `([^`]+)` \| `(\w+)` \| ", PAGE, re.MULTILINE)
SCHEDULE: Final = ("schedule", "create", "hourly", "greet", "--every", "1h")
PAYLOAD: Final = ("--payload", '{"name": "world"}')


@pytest.fixture
def penstock(redis_url: str, tmp_path: Path) -> Iterator[Callable[..., str]]:
    """Runs a command beside a gateway and a worker; what it prints."""
    port = free_port()

    def run(*arguments: str) -> str:
        return subprocess.run(
            [sys.executable, "-m", "penstock.cli", *arguments, "--json"],
            env={**os.environ, "PENSTOCK_ADDRESS": f"127.0.0.1:{port}"},
            capture_output=True,
            text=True,
            timeout=120,
            check=True,
        ).stdout

    with Fleet(redis_url, tmp_path) as fleet:
        fleet.gateway(port)
        worker = fleet.worker("examples.quickstart.app:app")
        wait_until(
            lambda: "worker started" in fleet.log_of(worker), "the worker starts", within_s=60
        )
        yield run


def test_the_page_watches_something() -> None:
    assert len(WATCHED) == len(re.findall(r"^\| `(?:INFO|penstock) ", PAGE, re.MULTILINE)) > 20


@pytest.mark.timeout(300)
def test_commands_tell_what_is_watched(penstock: Callable[..., str]) -> None:
    penstock(*SCHEDULE, *PAYLOAD)
    penstock("submit", "greet", *PAYLOAD, "--wait")
    told: dict[str, dict[str, Any]] = {}
    for command, field in WATCHED:
        if command.startswith("penstock "):
            if command not in told:
                lines = penstock(*command.split()[1:]).splitlines()
                told[command] = json.loads(lines[0])
            assert field in told[command], command


def test_the_server_tells_what_is_watched(redis_url: str) -> None:
    with Redis.from_url(redis_url) as redis:
        redis.evalsha(redis.script_load("return 1"), 0)
        for command, field in WATCHED:
            name, _, section = command.partition(" ")
            if name == "INFO":
                assert field in redis.info(section), command
        assert {"maxmemory"} <= redis.info("memory").keys()
        assert {"maxclients"} <= redis.info("clients").keys()
