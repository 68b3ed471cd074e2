"""The processes of the demonstration: Valkey, a gateway and two workers, all of them real."""

from __future__ import annotations

import contextlib
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

from examples.demo.documents import REPOSITORY
from penstock.runtime.embedded import EmbeddedServer

if TYPE_CHECKING:
    from types import TracebackType

__all__ = ["LEASE_S", "QUEUE", "WORKERS", "DemoError", "Stack"]

LEASE_S: Final = 3.0
"""Short, so that the wait for the job of a killed worker can be sat through."""

QUEUE: Final = "demo"
WORKERS: Final = 2

_SLOTS: Final = 6
_START_S: Final = 20.0
_STOP_S: Final = 15.0


class DemoError(Exception):
    """The demonstration cannot go on; the message says why, and where to look."""


class Stack:
    """Everything that the demonstration runs; leaves no process behind, however it ends.

    Attributes:
        folder: The logs, and the data of Valkey in ``data``.
        keep_data: Set to leave the folder with all that is in it.
        keep_logs: Set to leave the folder with the logs alone.
        address: Of the gateway.
        worker_pids: Of the workers that were started.
    """

    def __init__(self, *, keep_data: bool = False) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="penstock-demo-"))
        self.keep_data = keep_data
        self.keep_logs = False
        self.address = ""
        self.worker_pids: list[int] = []
        self._cleanup = contextlib.ExitStack()

    def __enter__(self) -> Self:
        self.keep_logs = True  # Should it not come up, they say why.
        with self._cleanup as unwinding:
            unwinding.callback(self._remove_folder)
            server = unwinding.enter_context(EmbeddedServer(self.folder / "data"))
            environment = _environment(server.url)
            gateway = self._start("gateway", "server", "--json", environment=environment)
            self.address = self._address_of(gateway)
            handlers = ["examples.demo.handlers:app", "--queue", QUEUE, "--slots", str(_SLOTS)]
            for number in range(1, WORKERS + 1):
                name = f"worker-{number}"
                worker = self._start(name, "worker", *handlers, environment=environment)
                self.worker_pids.append(worker.pid)
            self._cleanup = unwinding.pop_all()
        self.keep_logs = False
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.keep_logs = self.keep_logs or (
            error is not None and not isinstance(error, KeyboardInterrupt)
        )
        self._cleanup.close()

    def _start(
        self, name: str, *arguments: str, environment: dict[str, str]
    ) -> subprocess.Popen[bytes]:
        """Start a command of ``penstock``, to be stopped in the reverse order of starting."""
        with (self.folder / f"{name}.log").open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "penstock.cli", *arguments, "--stop-with-parent"],
                cwd=REPOSITORY,
                env=environment,
                stdin=subprocess.PIPE,  # Open as long as this process lives: it stops with it.
                stdout=subprocess.PIPE if name == "gateway" else log,
                stderr=log,
                start_new_session=True,  # Ctrl-C is for this process, which then stops them.
            )
        self._cleanup.callback(_stop, process)
        return process

    def _address_of(self, gateway: subprocess.Popen[bytes]) -> str:
        """Return what the gateway prints once it serves."""
        assert gateway.stdout is not None  # noqa: S101 - it was started with a pipe.
        ready, _, _ = select.select([gateway.stdout], [], [], _START_S)
        line = gateway.stdout.readline() if ready else b""
        if not line:
            raise DemoError(f"the gateway does not come up: see {self.folder / 'gateway.log'}")
        return str(json.loads(line)["address"])

    def _remove_folder(self) -> None:
        if self.keep_data:
            return
        shutil.rmtree(self.folder / "data" if self.keep_logs else self.folder, ignore_errors=True)


def _environment(redis_url: str) -> dict[str, str]:
    """Return the environment of the processes, in which no setting of the user's is left."""
    mine = {name: value for name, value in os.environ.items() if not name.startswith("PENSTOCK_")}
    return mine | {
        "PENSTOCK_REDIS_URL": redis_url,
        "PENSTOCK_LISTEN": "127.0.0.1:0",
        "PENSTOCK_LEASE_S": str(LEASE_S),
        "PENSTOCK_DRAIN_GRACE_S": "1",
        "PENSTOCK_STOP_GRACE_S": "1",
        "PENSTOCK_LOG_FORMAT": "console",
    }


def _stop(process: subprocess.Popen[bytes]) -> None:
    """Ask a process to stop, and see to it that neither it nor a child of its lives on."""
    process.terminate()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(_STOP_S)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)  # Its session is a group of its own.
    process.wait()
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            pipe.close()
