"""Several worker processes under one: started, restarted when they die, stopped together."""

from __future__ import annotations

import asyncio
import os
import sys
from typing import TYPE_CHECKING, Final, Self

from pydantic import SecretStr

from penstock.runtime import Component
from penstock.worker.drainer import WRITE_GRACE_S

if TYPE_CHECKING:
    from types import TracebackType

    from penstock.worker.settings import WorkerSettings

__all__ = ["Supervisor"]

#: What a process needs beyond its graces to end: connections, threads, the interpreter (s).
EXIT_GRACE_S: Final = 5.0


class ProcessDied(Exception):  # noqa: N818 - says what happened.
    """A worker process ended although nobody had asked it to."""


class WorkerProcess(Component):
    """One worker process; `Component` starts it again, with backoff, whenever it dies.

    It is told to stop by the end of its stdin, which comes just as well when this process is
    killed. A signal would not do: one sent to the whole group reaches it besides ours, and a second
    one means that there is to be no grace.

    Args:
        number: For the logs, from 1.
        app: Where to import the handlers from.
        settings: Of the process.
    """

    def __init__(self, number: int, app: str, settings: WorkerSettings) -> None:
        self._grace_s = (
            settings.drain_grace_s + settings.stop_grace_s + WRITE_GRACE_S + EXIT_GRACE_S
        )
        super().__init__(name=f"worker process {number}", stop_grace_s=self._grace_s + 1)
        self._app = app
        self._environment = {**os.environ, **environment_of(settings), "PENSTOCK_PROCESSES": "1"}

    async def run(self) -> None:
        """Runs the process once, to its end. Raises ProcessDied if it was not to end."""
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "penstock.worker.supervised",
            self._app,
            stdin=asyncio.subprocess.PIPE,
            env=self._environment,
            start_new_session=True,  # Ctrl-C in a terminal is for the supervisor.
        )
        ended = asyncio.create_task(process.wait())
        told = asyncio.create_task(self.stopping.wait())
        try:
            await asyncio.wait({ended, told}, return_when=asyncio.FIRST_COMPLETED)
            if process.stdin is not None:
                process.stdin.close()
            await asyncio.wait({ended}, timeout=self._grace_s)
        finally:
            told.cancel()
            if not ended.done():
                process.kill()
            await asyncio.wait({ended})
        if not self.stopping.is_set():
            raise ProcessDied(f"it ended with status {process.returncode}")


class Supervisor:
    """As many worker processes as the settings say.

    Args:
        app: Where to import the handlers from.
        settings: Of the processes.
    """

    def __init__(self, app: str, settings: WorkerSettings) -> None:
        self._processes = [
            WorkerProcess(number, app, settings) for number in range(1, settings.processes + 1)
        ]

    async def __aenter__(self) -> Self:
        await asyncio.gather(*(process.start() for process in self._processes))
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        # All at once, since each may take its whole grace.
        await asyncio.gather(*(process.stop() for process in self._processes))


def environment_of(settings: WorkerSettings) -> dict[str, str]:
    """The variables that give another process the same settings."""
    variables = {}
    for name in type(settings).model_fields:
        value = getattr(settings, name)
        if isinstance(value, SecretStr):
            value = value.get_secret_value()
        elif isinstance(value, tuple):
            value = ",".join(value)
        if value is not None:
            variables[f"PENSTOCK_{name.upper()}"] = str(value)
    return variables
