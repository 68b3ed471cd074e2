"""A server, and a few processes around it, for scenarios that look at single processes closely."""

from __future__ import annotations

import asyncio
import signal
import time
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any, Final, Self

from penstock.client import AsyncClient
from tests.chaos.history.journal import Journal, read_journals
from tests.chaos.server.server import ChaosServer
from tests.chaos.waiting import PATIENCE_S, when
from tests.chaos.worlds.observed_gateway import ObservedGateway
from tests.support.processes import Fleet, free_port

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Mapping, Sequence
    from pathlib import Path
    from typing import Literal

    from tests.chaos.history.journal import Line
    from tests.chaos.scenario import Run

__all__ = ["APP", "Stage", "name_of"]

APP: Final = "tests.chaos.handlers.behaviours:app"


def name_of(worker: subprocess.Popen[bytes]) -> str:
    """Of its journal."""
    return f"worker-{worker.pid}"


class Stage:
    """Processes on a server of their own. An async context manager, which ends them all.

    Args:
        run: of the scenario.
        name: of its folder, where a run has several.
        appendfsync: of the server.
        shims: of the server; see `ChaosServer`.
        options: further directives of its configuration.
        data_dir: where it persists, if not in the folder.
        settings: of every process that is started.

    Attributes:
        run: as given.
        folder: of all that it leaves, within that of the run.
        journals: the folder of what handlers write down.
        server: what all share.
        journal: of the scenario itself.
        ports: of the gateways, in the order in which they were started.
    """

    def __init__(
        self,
        run: Run,
        *,
        name: str = "stage",
        appendfsync: Literal["always", "everysec", "no"] = "always",
        shims: Sequence[str] = (),
        options: Mapping[str, str] | None = None,
        data_dir: Path | None = None,
        **settings: object,
    ) -> None:
        self.run = run
        self.folder = run.folder / name
        self.journals = self.folder / "journals"
        self.server = ChaosServer(
            self.folder / "server",
            run.server_binary,
            appendfsync=appendfsync,
            options=options,
            data_dir=data_dir,
            shims=shims,
        )
        self.ports: list[int] = []
        self._settings = {"chaos_journals": self.journals, **settings}
        self._exits = AsyncExitStack()
        self._fleet: Fleet
        self.journal: Journal

    async def __aenter__(self) -> Self:
        async with self._exits:
            await self._start()
            self._exits = self._exits.pop_all()
        return self

    async def __aexit__(self, *_error: object) -> None:
        await self._exits.aclose()

    async def _start(self) -> None:
        await self._exits.enter_async_context(self.server)
        self.run.result.server = self.server.title
        self.journal = self._exits.enter_context(Journal(self.journals, "scenario"))
        self._fleet = Fleet(self.server.url, self.folder)
        self._exits.push_async_callback(asyncio.to_thread, self._fleet.__exit__, None, None, None)

    async def start_gateway(
        self,
        port: int = 0,
        *,
        env: Mapping[str, str] | None = None,
        **settings: Any,  # noqa: ANN401 - by name.
    ) -> subprocess.Popen[bytes]:
        """Starts a gateway; returns once it listens.

        Args:
            port: a new one unless it is given.
            env: further variables of its environment.
            settings: by the names of `ServerSettings`.
        """
        if not port:
            port = free_port()
            self.ports.append(port)
        settings = {**self._settings, **settings}
        return await asyncio.to_thread(self._fleet.gateway, port, env=env, **settings)

    async def start_observed_gateway(
        self,
        **settings: Any,  # noqa: ANN401 - by name.
    ) -> ObservedGateway:
        """Starts a gateway that tells what it holds; returns once it listens."""
        port = free_port()
        self.ports.append(port)
        return await ObservedGateway.start(self._fleet, port, **{**self._settings, **settings})

    async def start_bare_server(self) -> ObservedGateway:
        """Starts a gRPC server that tells what it holds, and has nothing of Penstock behind it."""
        module = "tests.chaos.worlds.bare_server"
        return await ObservedGateway.start(self._fleet, free_port(), module=module)

    def start_worker(
        self,
        app: str = APP,
        *,
        env: Mapping[str, str] | None = None,
        **settings: Any,  # noqa: ANN401 - by name.
    ) -> subprocess.Popen[bytes]:
        """Starts a worker; returns at once.

        Args:
            app: that it runs.
            env: further variables of its environment.
            settings: by the names of `WorkerSettings`.
        """
        settings = {"drain_grace_s": 0, **self._settings, **settings}
        return self._fleet.worker(app, env=env, **settings)

    def connect(self, *ports: int, **options: Any) -> AsyncClient:  # noqa: ANN401 - as it says.
        """A client of these gateways, or of all; options are arguments of `AsyncClient`."""
        addresses = ",".join(f"127.0.0.1:{port}" for port in ports or self.ports)
        return AsyncClient(f"ipv4:{addresses}", **{"timeout": PATIENCE_S, **options})

    def lines(self) -> list[Line]:
        """What the handlers have written so far, by time."""
        return read_journals(self.journals)

    def log_of(self, process: subprocess.Popen[bytes]) -> str:
        """What a process has logged."""
        return self._fleet.log_of(process)

    def logs(self) -> str:
        """What all processes but the server have logged."""
        paths = sorted(self.folder.glob("process-*.log"))
        return "\n".join(path.read_text(errors="replace") for path in paths)

    async def registered(self, client: AsyncClient, workers: int = 1) -> None:
        """Returns once so many workers have said what they can run."""

        async def have() -> bool:
            return len(await client.workers()) >= workers

        await when(have, f"{workers} workers have registered")

    @staticmethod
    async def kill(process: subprocess.Popen[bytes]) -> int:
        """Ends it as a crash would. Returns when, in ns of the monotonic clock."""
        at = time.monotonic_ns()
        process.send_signal(signal.SIGKILL)
        await asyncio.to_thread(process.wait)
        return at
