"""The processes of a run: Valkey, gateways, workers and whatever else it needs, all real."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

from examples.harness.errors import StackError
from examples.harness.process import Process
from penstock.client import AsyncClient
from penstock.runtime.embedded import EmbeddedServer

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

__all__ = ["REPOSITORY", "Stack"]

REPOSITORY: Final = Path(__file__).resolve().parents[2]

_START_S: Final = 30.0
_POLL_S: Final = 0.05


class Stack:
    """Valkey and a gateway, and what is started beside them; leaves no process behind.

    Args:
        name: Of the application; the folder is named after it.
        settings: ``PENSTOCK_*`` and other variables for all processes.
        keep_data: Whether to leave the folder with all that is in it.

    Attributes:
        folder: The logs, the data of Valkey in ``data``, and what the application puts there.
        keep_logs: Set to leave the folder with the logs alone.
        gateway: The first one, until something else is put here.
        address: Of the gateway.
        redis_url: Of the Valkey.
        server: The Valkey itself, to be killed and started again.
    """

    def __init__(
        self, name: str, settings: Mapping[str, str] | None = None, *, keep_data: bool = False
    ) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix=f"penstock-{name}-"))
        self.keep_data = keep_data
        self.keep_logs = False
        self.gateway: Process
        self.address = ""
        self.redis_url = ""
        self.server = EmbeddedServer(self.folder / "data")
        self._settings = dict(settings or {})
        self._cleanup = contextlib.ExitStack()

    def __enter__(self) -> Self:
        self.keep_logs = True  # Should it not come up, they say why.
        self._cleanup.callback(self._remove_folder)
        try:
            self.redis_url = self._cleanup.enter_context(self.server).url
            self.gateway, self.address = self.start_gateway()
        except BaseException:
            self._cleanup.close()
            raise
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

    def start_gateway(self, listen: str = "127.0.0.1:0") -> tuple[Process, str]:
        """Starts a gateway; returns it, and its address once it serves.

        Raises:
            StackError: It does not come up.
        """
        gateway = self.start(
            "gateway",
            "penstock.cli",
            *("server", "--json", "--stop-with-parent"),
            settings={"PENSTOCK_LISTEN": listen},
            read_output=True,
        )
        return gateway, str(json.loads(gateway.first_line(_START_S))["address"])

    def start_worker(
        self,
        name: str,
        app: str,
        *arguments: str,
        settings: Mapping[str, str] | None = None,
    ) -> Process:
        """Starts ``penstock worker APP ARGUMENTS``; see `workers_are_up`."""
        return self.start(
            name,
            "penstock.cli",
            *("worker", app, *arguments, "--stop-with-parent"),
            settings=settings,
        )

    def start_web(
        self, name: str, app: str, *, port: int = 0, settings: Mapping[str, str] | None = None
    ) -> tuple[Process, str]:
        """Starts a web application (``module:app``); returns it, and its URL once it serves.

        Raises:
            StackError: It does not come up.
        """
        web = self.start(
            name,
            "examples.harness.web",
            *(app, "--port", str(port)),
            settings=settings,
            read_output=True,
        )
        return web, web.first_line(_START_S).strip()

    def run(
        self,
        name: str,
        module: str,
        *arguments: str,
        settings: Mapping[str, str] | None = None,
        within_s: float = 120,
    ) -> str:
        """Runs ``python -m MODULE ARGUMENTS`` to its end; returns what it printed.

        Raises:
            StackError: It fails, or takes longer.
        """
        log = self.folder / f"{name}.log"
        with log.open("ab") as errors:
            try:
                done = subprocess.run(
                    [sys.executable, "-m", module, *arguments],
                    cwd=REPOSITORY,
                    env=self.environment() | dict(settings or {}),
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=errors,
                    timeout=within_s,
                    check=True,
                )
            except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
                raise StackError(f"the {name} does not come to its end: see {log}") from error
        return done.stdout.decode()

    def start(
        self,
        name: str,
        module: str,
        *arguments: str,
        settings: Mapping[str, str] | None = None,
        read_output: bool = False,
    ) -> Process:
        """Starts ``python -m MODULE ARGUMENTS``, to be stopped in the reverse order of starting."""
        process = Process(
            name,
            [module, *arguments],
            environment=self.environment() | dict(settings or {}),
            folder=REPOSITORY,
            log=self.folder / f"{name}.log",
            read_output=read_output,
        )
        self._cleanup.callback(process.stop)
        return process

    def environment(self) -> dict[str, str]:
        """That of the processes, in which no setting of the user's is left."""
        mine = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("PENSTOCK_", "REDIS_"))
        }
        found = mine | {
            "PENSTOCK_REDIS_URL": self.redis_url,
            "PENSTOCK_ADDRESS": self.address,
            "PENSTOCK_DRAIN_GRACE_S": "1",
            "PENSTOCK_STOP_GRACE_S": "1",
            "PENSTOCK_LOG_FORMAT": "console",
        }
        return found | self._settings

    async def workers_are_up(self, queue: str, count: int) -> None:
        """Waits until so many workers serve a queue.

        Raises:
            StackError: They do not come up.
        """
        try:
            async with asyncio.timeout(_START_S), AsyncClient(self.address) as client:
                while len(await client.workers(queue)) < count:  # noqa: ASYNC110 - elsewhere.
                    await asyncio.sleep(_POLL_S)
        except TimeoutError:
            raise StackError(
                f"the workers do not come up within {_START_S:g} s: see {self.folder}"
            ) from None

    def _remove_folder(self) -> None:
        if self.keep_data:
            return
        shutil.rmtree(self.folder / "data" if self.keep_logs else self.folder, ignore_errors=True)
