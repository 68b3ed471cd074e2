"""A small world: one server that loses disk, power or clock, and a load in this process.

Where every acknowledged job must survive, the large one (`world.World`) and its checker see more.
This one is for what is lost by agreement, and must be counted.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

from penstock.client import PenstockError
from tests.chaos.waiting import PATIENCE_S
from tests.chaos.worlds.stage import Stage

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Mapping

    from penstock.client import AsyncClient
    from tests.chaos.scenario import Run

__all__ = ["SmallWorld"]

LEASE_S: Final = 2.0


class SmallWorld(Stage):
    """A stage on which one gateway, workers and a client are there from the start.

    Args:
        run: gives folder, binary and seed.
        name: of its folder, where a run has several.
        workers: how many processes.
        settings: of gateway and workers alike: min_durability, ...
        worker_settings: of workers alone.
        gateway_env: further variables of the gateway's environment.
        worker_env: further variables of the workers' environment.
        server: further arguments of `Stage`: appendfsync, shims, options, data_dir.

    Attributes:
        gateway: the process.
        workers: likewise.
        client: of the gateway.
    """

    def __init__(
        self,
        run: Run,
        *,
        name: str = "world",
        workers: int = 1,
        settings: Mapping[str, object] | None = None,
        worker_settings: Mapping[str, object] | None = None,
        gateway_env: Mapping[str, str] | None = None,
        worker_env: Mapping[str, str] | None = None,
        **server: Any,  # noqa: ANN401 - as it says.
    ) -> None:
        super().__init__(run, name=name, **{**server, **(settings or {})})
        self._number = workers
        self._worker_settings: dict[str, Any] = {"lease_s": LEASE_S, **(worker_settings or {})}
        self._gateway_env = gateway_env
        self._worker_env = worker_env
        self.gateway: subprocess.Popen[bytes]
        self.workers: list[subprocess.Popen[bytes]] = []
        self.client: AsyncClient

    async def _start(self) -> None:
        await super()._start()
        self.gateway = await self.start_gateway(env=self._gateway_env)
        self.workers = [
            self.start_worker(env=self._worker_env, **self._worker_settings)
            for _ in range(self._number)
        ]
        self.client = await self._exits.enter_async_context(self.connect())
        await self.working()

    async def working(self, within_s: float = PATIENCE_S) -> None:
        """Returns once a job that is submitted now has run."""
        async with asyncio.timeout(within_s):
            handle = await self.client.submit(
                "tally", -1, rpc_timeout=within_s, allow_unregistered=True
            )
            await handle.result(timeout=within_s)

    async def trouble(self, within_s: float = 20.0) -> str:
        """What a client that does not repeat its call is told of a submit; "" if it is accepted."""
        async with self.connect(retry_for=0.0) as client:
            try:
                await client.submit("tally", -1, rpc_timeout=within_s)
            except PenstockError as error:
                return type(error).__name__
        return ""
