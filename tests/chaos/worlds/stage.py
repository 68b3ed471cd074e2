"""A server, and a few processes around it, for scenarios that look at single processes closely."""

from __future__ import annotations

import asyncio
import signal
import time
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Final, Self

from penstock.client import AsyncClient
from tests.chaos.history.journal import Journal, read_journals
from tests.chaos.server.server import ChaosServer
from tests.support.processes import Fleet, free_port

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable
    from types import TracebackType

    from tests.chaos.history.journal import Line
    from tests.chaos.scenario import Run

__all__ = ["APP", "PATIENCE_S", "Pulse", "Stage", "TookTooLong", "name_of", "when"]

APP: Final = "tests.chaos.handlers.behaviours:app"
#: Whatever a scenario waits for comes within it, or something is wrong (s).
PATIENCE_S: Final = 60.0
_LOOK_EVERY_S: Final = 0.02
_BEAT_S: Final = 0.005


class TookTooLong(Exception):  # noqa: N818 - it says what happened.
    """What a scenario waited for did not come; it cannot go on."""


async def when(holds: Callable[[], bool], what: str, within_s: float = PATIENCE_S) -> None:
    """Returns once it holds. Raises TookTooLong."""
    give_up_s = time.monotonic() + within_s
    while not holds():
        if time.monotonic() > give_up_s:
            raise TookTooLong(f"not within {within_s:g} s: {what}")
        await asyncio.sleep(_LOOK_EVERY_S)


def name_of(worker: subprocess.Popen[bytes]) -> str:
    """Of its journal."""
    return f"worker-{worker.pid}"


class Pulse:
    """Tells how late this process's own timers were: what a busy machine adds to every figure."""

    def __init__(self) -> None:
        self._worst_s = 0.0
        self._task: asyncio.Task[None] | None = None

    @property
    def worst_s(self) -> float:
        """The most that a timer was late since it began (s)."""
        return self._worst_s

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._beat())
        return self

    async def __aexit__(self, *_error: object) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})

    async def _beat(self) -> None:
        while True:
            due_s = time.monotonic() + _BEAT_S
            await asyncio.sleep(_BEAT_S)
            self._worst_s = max(self._worst_s, time.monotonic() - due_s)


class Stage:
    """Processes on a server of their own. An async context manager, which ends them all.

    Args:
        run: of the scenario.
        folder: of its journals and logs, within that of the run.
        settings: of every process that is started.

    Attributes:
        server: what they share.
        journal: of the scenario itself.
        ports: of the gateways, in the order in which they were started.
    """

    def __init__(self, run: Run, *, folder: str = "stage", **settings: object) -> None:
        self._run = run
        self._folder = run.folder / folder
        self.server = ChaosServer(self._folder / "server", run.server_binary)
        self.ports: list[int] = []
        self._journals = self._folder / "journals"
        self._settings = {"chaos_journals": self._journals, **settings}
        self.journal: Journal
        self._fleet: Fleet
        self._exits: AsyncExitStack

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as exits:
            await asyncio.to_thread(self.server.start)
            exits.push_async_callback(asyncio.to_thread, self.server.stop)
            self._journals.mkdir(parents=True, exist_ok=True)
            self.journal = exits.enter_context(Journal(self._journals, "scenario"))
            self._fleet = Fleet(self.server.url, self._folder)
            self._fleet.__enter__()
            exits.push_async_callback(asyncio.to_thread, self._fleet.__exit__, None, None, None)
            self._run.result.server = self.server.title
            self._exits = exits.pop_all()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._exits.__aexit__(kind, error, trace)

    async def gateway(self, port: int = 0, **settings: object) -> subprocess.Popen[bytes]:
        """Starts a gateway, on a new port unless one is given; returns once it listens."""
        if not port:
            port = free_port()
            self.ports.append(port)
        return await asyncio.to_thread(self._fleet.gateway, port, **{**self._settings, **settings})

    def worker(self, app: str = APP, **settings: object) -> subprocess.Popen[bytes]:
        """Starts a worker; returns at once."""
        return self._fleet.worker(app, **{"drain_grace_s": 0, **self._settings, **settings})

    def client(self, *, timeout_s: float = 30.0) -> AsyncClient:
        """A client of all gateways."""
        addresses = ",".join(f"127.0.0.1:{port}" for port in self.ports)
        return AsyncClient(f"ipv4:{addresses}", timeout=timeout_s)

    def lines(self) -> list[Line]:
        """What the handlers have written so far, by time."""
        return read_journals(self._journals)

    def log_of(self, process: subprocess.Popen[bytes]) -> str:
        """What a process has logged."""
        return self._fleet.log_of(process)

    async def registered(self, client: AsyncClient) -> None:
        """Returns once a worker has said what it can run."""
        give_up_s = time.monotonic() + PATIENCE_S
        while not await client.workers():
            if time.monotonic() > give_up_s:
                raise TookTooLong("no worker has registered")
            await asyncio.sleep(_LOOK_EVERY_S)

    @staticmethod
    async def kill(process: subprocess.Popen[bytes]) -> int:
        """Ends it as a crash would. Returns when, in ns of the monotonic clock."""
        at = time.monotonic_ns()
        process.send_signal(signal.SIGKILL)
        await asyncio.to_thread(process.wait)
        return at
