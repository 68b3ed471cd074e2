"""The processes of the run end to end: workers that come and go, and what stands beside them."""

from __future__ import annotations

import asyncio
import os
import signal
from typing import TYPE_CHECKING, Final

from examples.audio_analysis.jobs import QUEUE
from examples.harness.errors import StackError
from penstock.client import JobState

if TYPE_CHECKING:
    from collections.abc import Mapping

    from examples.harness.process import Process
    from examples.harness.stack import Stack
    from penstock.client import AsyncClient

__all__ = ["Fleet"]

_PACKAGE: Final = "examples.audio_analysis"
_POLL_S: Final = 0.05
_START_S: Final = 30.0
_END_S: Final = 90.0
_TRIES: Final = 50


class Fleet:
    """Starts processes of the application on a stack.

    Args:
        stack: Of the run.
        client: Of its gateway.
        settings: Of the application.
    """

    def __init__(self, stack: Stack, client: AsyncClient, settings: Mapping[str, str]) -> None:
        self._stack = stack
        self._client = client
        self._settings = settings
        self._workers: list[Process] = []
        self._started = 0

    def start(self, module: str, *arguments: str, read_output: bool = False) -> Process:
        """Starts a module of the application, to stay."""
        return self._stack.start(
            "-".join([module, *arguments]),
            f"{_PACKAGE}.{module}",
            *arguments,
            settings=self._settings,
            read_output=read_output,
        )

    async def call(self, module: str, *arguments: str) -> tuple[int, str]:
        """Runs a module of the application to its end; returns its exit code, and what it said."""
        process = self.start(module, *arguments)
        code = await asyncio.to_thread(process.exit_code, _END_S)
        return code, process.log.read_text(encoding="utf-8")

    def start_api(self) -> str:
        """Starts the API; returns its URL."""
        return self._stack.start_web("api", f"{_PACKAGE}.api:api", settings=self._settings)[1]

    async def add(self) -> None:
        """Starts a worker; returns when it is at work."""
        self._started += 1
        worker = self._stack.start_worker(
            f"worker-{self._started}", f"{_PACKAGE}.worker:app", settings=self._settings
        )
        self._workers.append(worker)
        try:
            async with asyncio.timeout(_START_S):
                while worker.pid not in (await self._pids()).values():  # noqa: ASYNC110 - elsewhere.
                    await asyncio.sleep(_POLL_S)
        except TimeoutError:
            raise StackError(f"the {worker.name} does not come up: see {worker.log}") from None

    async def remove(self) -> None:
        """Asks the oldest worker to stop, which ends its job first. Returns when it is gone."""
        await asyncio.to_thread(self._workers.pop(0).stop)

    async def restart(self) -> None:
        """Replaces the workers one by one."""
        for _ in range(len(self._workers)):
            await self.add()
            await self.remove()

    async def kill(self) -> None:
        """Ends the oldest worker in the middle of a job.

        Raises:
            StackError: It is never in the middle of one.
        """
        worker = self._workers.pop(0)
        for _ in range(_TRIES):
            # While it is suspended, it cannot end the job that it is seen to have.
            os.kill(worker.pid, signal.SIGSTOP)
            if await self._is_at_work(worker):
                worker.kill()
                return
            os.kill(worker.pid, signal.SIGCONT)
            await asyncio.sleep(_POLL_S)
        raise StackError(f"the {worker.name} has nothing to do")

    async def _is_at_work(self, worker: Process) -> bool:
        pids = await self._pids()
        running = self._client.list(QUEUE, states=[JobState.RUNNING])
        return worker.pid in [pids.get(job.worker_id) async for job in running]

    async def _pids(self) -> dict[str, int]:
        return {worker.worker_id: worker.pid for worker in await self._client.workers(QUEUE)}
