"""Several processes under one: started, restarted when they die, stopped together."""

import asyncio
import os
import sys
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Final, Self

from pydantic import SecretStr

from penstock.runtime.backoff import Backoff
from penstock.runtime.component import Component
from penstock.runtime.errors import ProcessDied
from penstock.runtime.lifeline import SupervisorEnd
from penstock.runtime.settings import Settings

__all__ = ["SupervisedProcess", "Supervisor", "environment_of"]

#: What a process needs beyond its graces to end: connections, threads, the interpreter (s).
EXIT_GRACE_S: Final = 5.0
RESTARTS: Final = Backoff(initial_s=0.1, max_s=15.0)


class SupervisedProcess(Component):
    """One process of several; `Component` starts it again, with backoff, whenever it dies.

    It is told to stop by the end of its stdin, which comes just as well when this process is
    killed. A signal would not do: one sent to the whole group reaches it besides ours, and a second
    one means that there is to be no grace.

    Args:
        name: For the logs.
        module: What it runs, as ``python -m`` does; see `lifeline` for what it has to do.
        arguments: Of the module.
        environment: Variables beside those of this process.
        grace_s: How long it takes to stop at most, in seconds, apart from `EXIT_GRACE_S`.
        must_start: It is not tried again before it was up for the first time.
        restarts: As for Component.
    """

    def __init__(
        self,
        name: str,
        module: str,
        arguments: Sequence[str] = (),
        *,
        environment: Mapping[str, str],
        grace_s: float,
        must_start: bool = False,
        restarts: Backoff = RESTARTS,
    ) -> None:
        self._grace_s = grace_s + EXIT_GRACE_S
        super().__init__(name=name, stop_grace_s=self._grace_s + 1, restarts=restarts)
        self._command = [sys.executable, "-m", module, *arguments]
        self._environment = {**os.environ, **environment}
        self._must_start = must_start
        self._up = asyncio.Event()
        self._died: ProcessDied | None = None

    async def up(self) -> None:
        """Waits until it was up for the first time.

        Raises:
            ProcessDied: It ended before that, and had to start.
        """
        up = asyncio.create_task(self._up.wait())
        try:
            while not self._up.is_set() and self.running:
                waits = {up} if self._task is None else {up, self._task}
                await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            up.cancel()
        if not self._up.is_set() and self._died is not None:
            raise self._died

    async def run(self) -> None:
        """Runs the process once, to its end. Raises ProcessDied if it was not to end."""
        line = SupervisorEnd(self._up)
        try:
            status = await self._run(line)
            line.hear_out()
        finally:
            line.close()
        if self.stopping.is_set():
            return
        died = ProcessDied(line.fault or f"{self.name} ended with status {status}", line.fault)
        if self._must_start and not self._up.is_set():
            self._died = died
            return
        raise died

    async def _run(self, line: SupervisorEnd) -> int | None:
        process = await asyncio.create_subprocess_exec(
            *self._command,
            stdin=line.stdin,
            env=self._environment,
            start_new_session=True,  # Ctrl-C in a terminal is for the supervisor.
        )
        line.started()
        listens = asyncio.create_task(line.listen())
        ended = asyncio.create_task(process.wait())
        told = asyncio.create_task(self.stopping.wait())
        try:
            await asyncio.wait({ended, told}, return_when=asyncio.FIRST_COMPLETED)
            line.stop()
            await asyncio.wait({ended}, timeout=self._grace_s)
        finally:
            told.cancel()
            listens.cancel()
            if not ended.done():
                process.kill()
            await asyncio.wait({ended, listens})
        return process.returncode


class Supervisor:
    """Processes that live together; an async context manager.

    Args:
        processes: All of them.
    """

    def __init__(self, processes: Sequence[SupervisedProcess]) -> None:
        self._processes = processes

    async def start(self) -> None:
        """Starts all at once; returns before they are up."""
        await asyncio.gather(*(process.start() for process in self._processes))

    async def stop(self) -> None:
        """Stops all at once, since each may take its whole grace."""
        await asyncio.gather(*(process.stop() for process in self._processes))

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.stop()


def environment_of(settings: Settings) -> dict[str, str]:
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
