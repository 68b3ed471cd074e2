"""A gateway in a process of its own, which tells from outside what it holds.

``python -m tests.chaos.worlds.observed_gateway`` is ``python -m penstock.server`` with a second
port, where each connection is told the vitals of the process, as JSON.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Final, Self

from penstock.runtime import configure_logging, run, stop_signals
from penstock.server import Gateway, ServerSettings
from tests.chaos.waiting import PATIENCE_S, when
from tests.chaos.worlds.vitals import Vitals, heap_reader, tell_on, vitals_of
from tests.support.processes import free_port

if TYPE_CHECKING:
    from tests.support.processes import Fleet

__all__ = ["PORT", "ObservedGateway"]

#: The environment variable that names the second port.
PORT: Final = "PENSTOCK_TEST_VITALS_PORT"
_HOST: Final = "127.0.0.1"


class ObservedGateway:
    """Such a process, seen from outside; `Stage.start_observed_gateway` starts it.

    Attributes:
        process: as it runs.
        port: of loopback, for clients.
    """

    def __init__(
        self, fleet: Fleet, process: subprocess.Popen[bytes], port: int, vitals_port: int
    ) -> None:
        self._fleet = fleet
        self._vitals_port = vitals_port
        self.process = process
        self.port = port

    @classmethod
    async def start(
        cls, fleet: Fleet, port: int, *, module: str = __name__, **settings: object
    ) -> Self:
        """Starts it; returns once it listens.

        Args:
            fleet: that it is to be one of.
            port: of loopback, for clients.
            module: which runs it.
            settings: by the names of `ServerSettings`.
        """
        vitals_port = free_port()
        env = {PORT: str(vitals_port)}
        process = await asyncio.to_thread(fleet.gateway, port, module=module, env=env, **settings)
        return cls(fleet, process, port, vitals_port)

    @property
    def address(self) -> str:
        """For clients."""
        return f"{_HOST}:{self.port}"

    @property
    def log(self) -> str:
        """What it has logged so far."""
        return self._fleet.log_of(self.process)

    async def stop(self) -> float:
        """SIGTERM, and how long it took to end (s). Killed if it does not."""
        began = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        try:
            await asyncio.to_thread(self.process.wait, PATIENCE_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            await asyncio.to_thread(self.process.wait)
        return time.monotonic() - began

    async def look(self) -> Vitals:
        """What it holds now."""
        reader, writer = await asyncio.open_connection(_HOST, self._vitals_port)
        try:
            return Vitals(**json.loads(await reader.read()))
        finally:
            writer.close()
            await writer.wait_closed()

    async def settled(self, at_most: int = 0, within_s: float = PATIENCE_S) -> Vitals:
        """What it holds once nothing of any call is left, or after so long.

        Args:
            at_most: what may be left of each kind: of calls that go on.
            within_s: how long that may take (s).
        """

        async def is_empty() -> bool:
            return all(count <= at_most for count in (await self.look()).counts.values())

        with suppress(AssertionError):
            await when(is_empty, "nothing is left of any call", within_s=within_s)
        return await self.look()


async def _serve(settings: ServerSettings, port: int) -> None:
    heap = heap_reader()
    gateway = Gateway(settings)
    async with stop_signals() as stopping:
        # Before the gateway listens: whoever waits for that may ask at once.
        server = await tell_on(port, lambda: vitals_of(gateway, heap))
        async with gateway:
            await stopping.wait()
            server.close()


def main() -> None:
    """Runs one until it is told to stop."""
    settings = ServerSettings.load()
    configure_logging(settings.log_level, settings.log_format)
    run(lambda: _serve(settings, int(os.environ[PORT])), event_loop=settings.event_loop)


if __name__ == "__main__":
    main()
