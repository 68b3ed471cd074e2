"""``penstock server`` and ``penstock worker``: what scripts that start them can rely on."""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from tests.cli.running import ROOT, clean_environment, penstock
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

APP = "penstock.cli.playground:app"
STOP_S = 30


def test_a_gateway_tells_its_address_once_it_serves(redis_url: str) -> None:
    with _started("server", "--json", "--listen", "127.0.0.1:0", url=redis_url) as (gateway, told):
        assert told["pid"] == gateway.pid
        assert penstock("health", address=told["address"]).code == 0
        gateway.terminate()
        assert gateway.wait(STOP_S) == 0


def test_a_gateway_of_several_processes_chooses_one_port_for_all(redis_url: str) -> None:
    arguments = ["--json", "--listen", "127.0.0.1:0", "--processes", "2"]
    with _started("server", *arguments, url=redis_url) as (gateway, told):
        assert told["pid"] == gateway.pid
        assert told["processes"] == 2
        for _ in range(4):
            assert penstock("health", address=told["address"]).code == 0
        gateway.terminate()
        assert gateway.wait(STOP_S) == 0


def test_a_worker_tells_what_it_runs(redis_url: str) -> None:
    arguments = ["--json", "--queue", "one", "--queue", "two", "--slots", "3"]
    with _started("worker", APP, *arguments, url=redis_url) as (worker, told):
        assert told == {
            "app": APP,
            "pid": worker.pid,
            "processes": 1,
            "queues": ["one", "two"],
            "slots": 3,
            "types": ["countdown", "echo", "flaky"],
        }


def test_several_processes_serve_one_queue(redis_url: str) -> None:
    gateway = _started("server", "--json", "--listen", "127.0.0.1:0", url=redis_url)
    workers = _started("worker", APP, "--json", "--processes", "2", url=redis_url)
    with gateway as (_, served), workers:
        wait_until(
            lambda: len(_workers(served["address"])) == 2, "two processes are known", within_s=30
        )
        answer = penstock("submit", "echo", "-p", "1", "--wait", address=served["address"])
        assert answer.json == 1


def test_it_stops_with_whoever_started_it(redis_url: str) -> None:
    options = ("--json", "--listen", "127.0.0.1:0", "--stop-with-parent")
    with _started("server", *options, url=redis_url) as (gateway, _):
        assert gateway.stdin is not None
        gateway.stdin.close()  # As the system does when a process is gone.
        assert gateway.wait(STOP_S) == 0


@contextmanager
def _started(*arguments: str, url: str) -> Iterator[tuple[subprocess.Popen[str], Any]]:
    """A command that goes on, and the line of JSON that it prints when it is up."""
    with subprocess.Popen(
        [sys.executable, "-m", "penstock.cli", *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=clean_environment(PENSTOCK_REDIS_URL=url),
        cwd=ROOT,
    ) as process:
        try:
            assert process.stdout is not None
            yield process, json.loads(process.stdout.readline())
        finally:
            process.terminate()
            process.wait(STOP_S)


def _workers(address: str) -> list[Any]:
    return penstock("queues", "workers", "--json", address=address).lines
