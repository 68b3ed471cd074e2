"""The page about setting up Redis: its settings are enough, and it knows what is said without."""

from __future__ import annotations

import asyncio
import os
import re
import shlex
import subprocess
import sys
from typing import TYPE_CHECKING, Final

import pytest
from redis import Redis

from penstock.broker import Broker, Durability
from tests.support.processes import ROOT, free_port
from tests.support.waiting import eventually, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PAGE: Final = (ROOT / "docs/redis-setup.md").read_text()
SAID: Final = re.findall(r"^\| `(.+?)` \| ", PAGE, re.MULTILINE)
FLAGS: Final = shlex.split(PAGE[PAGE.index("valkey-server --") :].partition("\n")[0])[1:]
COMMANDS: Final = re.findall(r"^\$ redis-cli CONFIG SET (.+)$", PAGE, re.MULTILINE)


@pytest.fixture
def flags() -> list[str]:
    """Of the server; those of the page, unless a test has its own."""
    return FLAGS


@pytest.fixture
def server(server_binary: Path, flags: list[str], tmp_path: Path) -> Iterator[Redis]:
    """A server with no other settings than its flags."""
    socket = tmp_path / "s"
    here = ["--dir", str(tmp_path), "--port", "0", "--unixsocket", str(socket)]
    process = subprocess.Popen([server_binary, *flags, *here], stdout=subprocess.DEVNULL)
    try:
        wait_until(socket.exists, "the server listens")
        with Redis(unix_socket_path=str(socket)) as client:
            yield client
    finally:
        process.kill()
        process.wait()


async def is_said(url: str, expected: str, caplog: pytest.LogCaptureFixture) -> None:
    """Waits until a process that starts says this, in its log or by its error."""
    starting = asyncio.ensure_future(Broker(url).__aenter__())

    def heard() -> str:
        error = starting.exception() if starting.done() else None
        return f"{caplog.text}{error}"

    try:
        await eventually(lambda: expected in heard(), f"{expected} is said")
    finally:
        starting.cancel()
        await asyncio.wait([starting])


@pytest.mark.usefixtures("server")
async def test_the_flags_of_the_container_are_enough(tmp_path: Path) -> None:
    async with Broker(f"unix://{tmp_path}/s") as broker:
        assert broker.durability is Durability.EVERYSEC


@pytest.mark.parametrize("flags", [[]], ids=["as installed"])
async def test_the_commands_after_an_installation_are_enough(server: Redis, tmp_path: Path) -> None:
    assert len(COMMANDS) == 3
    for command in COMMANDS:
        name, value = command.split()
        server.config_set(name, value)
    async with Broker(f"unix://{tmp_path}/s") as broker:
        assert broker.durability is Durability.EVERYSEC


@pytest.mark.usefixtures("server")
@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ([], "the server's durability is NONE"),
        ([*FLAGS, "--maxmemory-policy", "allkeys-lru"], "it would evict jobs"),
        ([*FLAGS, "--requirepass", "secret"], "Authentication required"),
    ],
)
async def test_the_page_knows_what_is_said_without_them(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, expected: str
) -> None:
    assert expected in SAID
    await is_said(f"unix://{tmp_path}/s", expected, caplog)


async def test_the_page_knows_what_is_said_without_a_server(
    caplog: pytest.LogCaptureFixture,
) -> None:
    assert "Error 111 connecting" in SAID
    await is_said(f"redis://127.0.0.1:{free_port()}/0", "Error 111 connecting", caplog)


def test_the_page_knows_what_is_said_without_an_address() -> None:
    assert "no Redis address is configured" in SAID
    started = subprocess.run(
        [sys.executable, "-m", "penstock.cli", "server"],
        env={name: value for name, value in os.environ.items() if "REDIS" not in name},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert started.returncode == 2
    assert "no Redis address is configured" in started.stderr
