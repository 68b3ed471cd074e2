"""Gateways and workers as processes of their own, to be killed."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

__all__ = ["Fleet", "free_port"]

ROOT: Final = Path(__file__).resolve().parents[2]
_START_S: Final = 60.0
_STOP_S: Final = 30.0


class Fleet:
    """Starts processes on one server; ends them all, however the test ends.

    Args:
        redis_url: Of the server.
        folder: Takes their logs.
        env: Further variables of their environment.
    """

    def __init__(
        self, redis_url: str, folder: Path, *, env: Mapping[str, str] | None = None
    ) -> None:
        self._redis_url = redis_url
        self._env = dict(env or {})
        self._folder = folder
        self._processes: list[subprocess.Popen[bytes]] = []

    def gateway(
        self,
        port: int,
        *,
        module: str = "penstock.server",
        env: Mapping[str, str] | None = None,
        **settings: object,
    ) -> subprocess.Popen[bytes]:
        """Start a gateway on a loopback port; returns once it accepts connections.

        Args:
            port: Of loopback.
            module: Which runs it.
            env: Further variables of its environment.
            settings: By the names of `ServerSettings`.
        """
        process = self._start([module], {"listen": f"127.0.0.1:{port}", **settings}, env)
        wait_until(
            lambda: process.poll() is not None or _accepts(port),
            "the gateway accepts connections",
            within_s=_START_S,
        )
        assert process.poll() is None, self.log_of(process)
        return process

    def worker(
        self, app: str, *, env: Mapping[str, str] | None = None, **settings: object
    ) -> subprocess.Popen[bytes]:
        """Start a worker of an app, ``module:variable``; returns at once.

        Args:
            app: That it runs.
            env: Further variables of its environment.
            settings: By the names of `WorkerSettings`.
        """
        return self._start(["penstock.worker", app], settings, env)

    def log_of(self, process: subprocess.Popen[bytes]) -> str:
        """What a process has logged so far."""
        return self._log_path(self._processes.index(process)).read_text(errors="replace")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for process in self._processes:
            # One that a test has suspended could not hear anything else.
            process.send_signal(signal.SIGCONT)
            process.terminate()
        for process in self._processes:
            try:
                process.wait(_STOP_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def _start(
        self, command: list[str], settings: dict[str, object], env: Mapping[str, str] | None
    ) -> subprocess.Popen[bytes]:
        names = {f"PENSTOCK_{name.upper()}": str(value) for name, value in settings.items()}
        own = {"PENSTOCK_REDIS_URL": self._redis_url, **self._env, **names, **(env or {})}
        with self._log_path(len(self._processes)).open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", *command],
                cwd=ROOT,
                env={**os.environ, **own},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        self._processes.append(process)
        return process

    def _log_path(self, number: int) -> Path:
        return self._folder / f"process-{number}.log"


def free_port() -> int:
    """A loopback port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _accepts(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
