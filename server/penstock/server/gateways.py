"""A gateway in one process, or in several on one port."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final, Self

import structlog

from penstock.runtime import (
    ConfigurationError,
    ProcessDied,
    SupervisedProcess,
    Supervisor,
    environment_of,
    stop_signals,
)
from penstock.server.gateway import Gateway
from penstock.server.listening import SharedPort

if TYPE_CHECKING:
    from types import TracebackType

    from penstock.server.settings import ServerSettings

__all__ = ["Gateways", "gateway_of", "serve"]

#: What calls and watchers are given beyond the grace, and gRPC to close what is left (s).
_LAST_WORDS_S: Final = 3.0

_log = structlog.get_logger(__name__)


def gateway_of(settings: ServerSettings) -> Gateway | Gateways:
    """What is to run: an async context manager with an `address`. Raises as these do."""
    return Gateway(settings) if settings.processes == 1 else Gateways(settings)


async def serve(settings: ServerSettings) -> None:
    """Runs a gateway until SIGTERM or SIGINT, then stops it gracefully. Raises as `Gateway`."""
    async with stop_signals() as stopping, gateway_of(settings):
        await stopping.wait()


class Gateways:
    """As many processes as the settings say; an async context manager.

    The kernel gives each connection to one of them. Each has its own limits, and answers for itself
    when it is asked for its health.
    """

    def __init__(self, settings: ServerSettings) -> None:
        """Raises ConfigurationError where the address cannot be listened on, or not be shared."""
        self._port = SharedPort(settings.listen)
        self._count = settings.processes
        shared = {"PENSTOCK_PROCESSES": "1", "PENSTOCK_LISTEN": self._port.address}
        self._processes = [
            SupervisedProcess(
                f"gateway process {number}",
                "penstock.server.supervised",
                environment=environment_of(settings) | shared,
                grace_s=settings.shutdown_delay_s + settings.shutdown_grace_s + _LAST_WORDS_S,
                must_start=True,
            )
            for number in range(1, self._count + 1)
        ]
        self._supervisor = Supervisor(self._processes)

    @property
    def address(self) -> str:
        """Where clients find it: host:port."""
        return self._port.address

    async def start(self) -> None:
        """Returns when all serve, with or without Redis.

        Raises:
            ConfigurationError: one of them cannot, and said why.
            ProcessDied: one of them ended without a word.
        """
        try:
            # The first one alone, so that what is wrong with all of them is told once.
            await self._processes[0].start()
            await self._processes[0].up()
            await self._supervisor.start()
            await asyncio.gather(*(process.up() for process in self._processes))
        except ProcessDied as died:
            await self.stop()
            if died.fault:
                raise ConfigurationError(died.fault) from None
            raise
        except BaseException:
            await self.stop()
            raise
        _log.info("all serve", address=self.address, processes=self._count)

    async def stop(self) -> None:
        """Has each end its streams with a cursor, and let calls finish. Idempotent."""
        await self._supervisor.stop()
        self._port.close()

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
