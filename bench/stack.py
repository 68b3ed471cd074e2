"""The processes that are measured: a server with AOF, a gateway, a bare grpc.aio server, workers.

Each is a process of its own, started as a user would start it, on loopback or a unix socket.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import tempfile
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import grpc

from penstock.broker import Broker
from penstock.runtime.embedded import EmbeddedServer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

ROOT = Path(__file__).resolve().parent.parent
START_TIMEOUT_S = 30.0
STOP_TIMEOUT_S = 30.0
POLL_S = 0.02


@dataclass(frozen=True)
class Stack:
    """What the scenarios drive.

    Attributes:
        redis_url: of the server.
        gateway: address of the gateway.
        bare: address of a grpc.aio server with one empty method, on the same event loop.
        log_path: where the processes log to.
    """

    redis_url: str
    gateway: str
    bare: str
    log_path: Path

    @asynccontextmanager
    async def worker(self, slots: int = 200) -> AsyncIterator[subprocess.Popen[bytes]]:
        """One worker process with the handlers of the benchmarks."""
        async with _process(
            ["-m", "penstock.worker", "bench.handlers:app"],
            {"PENSTOCK_REDIS_URL": self.redis_url, "PENSTOCK_SLOTS": str(slots)},
            self.log_path,
        ) as process:
            yield process


@asynccontextmanager
async def running_stack() -> AsyncIterator[Stack]:
    """A server, a gateway and a bare server, in a temporary folder."""
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="penstock-bench-")))
        server = await stack.enter_async_context(EmbeddedServer(folder / "data"))
        log_path = folder / "log"
        gateway, bare = f"127.0.0.1:{_free_port()}", f"127.0.0.1:{_free_port()}"
        await stack.enter_async_context(
            _process(
                ["-m", "penstock.server"],
                {"PENSTOCK_REDIS_URL": server.url, "PENSTOCK_LISTEN": gateway},
                log_path,
            )
        )
        await stack.enter_async_context(_process(["-m", "bench.bare_server", bare], {}, log_path))
        for address in (gateway, bare):
            async with grpc.aio.insecure_channel(address) as channel:
                await asyncio.wait_for(channel.channel_ready(), START_TIMEOUT_S)
        running = Stack(server.url, gateway, bare, log_path)
        await _register_types(running)
        yield running


async def _register_types(stack: Stack) -> None:
    """Returns once a worker has published its types, as any fleet did before it is submitted to."""
    async with stack.worker(), Broker(stack.redis_url) as broker, asyncio.timeout(START_TIMEOUT_S):
        while not await broker.registry.types():  # noqa: ASYNC110 - another process ends the wait.
            await asyncio.sleep(POLL_S)


@asynccontextmanager
async def _process(
    args: list[str], settings: Mapping[str, str], log_path: Path
) -> AsyncIterator[subprocess.Popen[bytes]]:
    with log_path.open("ab") as log:
        process = subprocess.Popen(  # noqa: ASYNC220 - our own modules; it returns at once.
            [sys.executable, *args],
            cwd=ROOT,
            env={**os.environ, "PENSTOCK_LOG_FORMAT": "json", **settings},
            stdout=log,
            stderr=log,
        )
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            await asyncio.to_thread(process.wait, STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            await asyncio.to_thread(process.wait)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
