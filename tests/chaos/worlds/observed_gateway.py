"""A gateway in a process of its own, which tells from outside what it holds.

``python -m tests.chaos.worlds.observed_gateway`` is ``python -m penstock.server`` with a socket
beside it, where each connection is told the vitals of the process, as JSON.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import gc
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

from penstock.runtime import configure_logging, run, stop_signals
from penstock.server import Gateway, ServerSettings
from tests.support.processes import ROOT, free_port
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["ObservedGateway", "Vitals"]

#: The environment variable that names the socket.
SOCKET: Final = "PENSTOCK_TEST_VITALS"
_PATIENCE_S: Final = 60.0


@dataclass(frozen=True)
class Vitals:
    """What a gateway holds.

    Attributes:
        unary: calls with one answer, as admission counts them.
        streams: streams and waits, likewise.
        peers: client addresses that have streams, likewise.
        watches: of the health service.
        followed: streams on their way to readers.
        waiters: of WaitJob.
        readers: jobs that are watched.
        open_calls: calls that a shutdown would wait for.
        pending: commands that wait for the server's reply.
        tasks: of asyncio.
        descriptors: open files and sockets.
        rss_kb: resident memory.
        heap_bytes: what the process has got from the C library's heap and not given back.
    """

    unary: int
    streams: int
    peers: int
    watches: int
    followed: int
    waiters: int
    readers: int
    open_calls: int
    pending: int
    tasks: int
    descriptors: int
    rss_kb: int
    heap_bytes: int

    @property
    def counts(self) -> dict[str, int]:
        """All that must be gone once nobody calls any more."""
        told = asdict(self)
        for name in ("pending", "tasks", "descriptors", "rss_kb", "heap_bytes"):
            del told[name]
        return told


class ObservedGateway:
    """A gateway in a process of its own. An async context manager, which ends it.

    Args:
        folder: takes its log and its socket.
        redis_url: of its server.
        settings: of the gateway.

    Attributes:
        port: of loopback.
    """

    def __init__(self, folder: Path, redis_url: str, **settings: object) -> None:
        self.port = free_port()
        self._log = folder / "observed-gateway.log"
        self._socket = Path(f"/tmp/vitals-{os.getpid()}-{self.port}")  # noqa: S108 - paths of sockets are short.
        names = {f"PENSTOCK_{name.upper()}": str(value) for name, value in settings.items()}
        self._env = {
            **os.environ,
            "PENSTOCK_REDIS_URL": redis_url,
            "PENSTOCK_LISTEN": f"127.0.0.1:{self.port}",
            SOCKET: str(self._socket),
            **names,
        }
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def process(self) -> subprocess.Popen[bytes]:
        """The running process."""
        assert self._process is not None, "the gateway was not started"
        return self._process

    @property
    def log(self) -> str:
        """What it has logged so far."""
        return self._log.read_text(errors="replace")

    @property
    def address(self) -> str:
        """For clients."""
        return f"127.0.0.1:{self.port}"

    async def __aenter__(self) -> Self:
        self._process = self._start()
        await eventually(
            lambda: self._socket.exists() or self.process.poll() is not None,
            "the gateway serves",
            within_s=_PATIENCE_S,
        )
        if self.process.poll() is not None:
            raise RuntimeError(f"the gateway did not start: {self.log}")
        return self

    async def __aexit__(self, *_error: object) -> None:
        await self.stop()

    def _start(self) -> subprocess.Popen[bytes]:
        self._log.parent.mkdir(parents=True, exist_ok=True)
        with self._log.open("wb") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "tests.chaos.worlds.observed_gateway"],
                cwd=ROOT,
                env=self._env,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    async def stop(self) -> float:
        """SIGTERM, and how long it took to end (s). Killed if it does not."""
        began = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        try:
            await asyncio.to_thread(self.process.wait, _PATIENCE_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            await asyncio.to_thread(self.process.wait)
        self._socket.unlink(missing_ok=True)
        return time.monotonic() - began

    async def look(self) -> Vitals:
        """What it holds now."""
        reader, writer = await asyncio.open_unix_connection(self._socket)
        try:
            return Vitals(**json.loads(await reader.read()))
        finally:
            writer.close()
            await writer.wait_closed()

    async def settled(self, within_s: float = _PATIENCE_S) -> Vitals:
        """What it holds once nothing of any call is left, or after so long (s)."""
        with contextlib.suppress(AssertionError):

            async def is_empty() -> bool:
                return not any((await self.look()).counts.values())

            await eventually(is_empty, "nothing is left of any call", within_s=within_s)
        return await self.look()


class _Heap(ctypes.Structure):
    """mallinfo2 of glibc."""

    _fields_ = [
        (name, ctypes.c_size_t)
        for name in (
            *("arena", "ordblks", "smblks", "hblks", "hblkhd"),
            *("usmblks", "fsmblks", "uordblks", "fordblks", "keepcost"),
        )
    ]


def _heap_reader() -> Callable[[], int]:
    """Tells how many bytes are in use; always 0 where the C library does not tell."""
    try:
        mallinfo2 = ctypes.CDLL(None).mallinfo2
    except AttributeError:
        return lambda: 0
    mallinfo2.restype = _Heap
    return lambda: int(mallinfo2().uordblks + mallinfo2().hblkhd)


def _vitals(gateway: Gateway, heap: Callable[[], int]) -> Vitals:
    gc.collect()
    admission, streams = gateway._admission, gateway._streams
    status = Path("/proc/self/status").read_text()
    (rss_line,) = [line for line in status.splitlines() if line.startswith("VmRSS")]
    return Vitals(
        unary=admission.unary,
        streams=admission.streams,
        peers=len(admission.stream_lane._by_caller) + len(admission.unary_lane._by_caller),
        watches=gateway._health.watches,
        followed=len(streams._streams),
        waiters=len(streams._waiters),
        readers=gateway._hub.readers,
        open_calls=len(gateway._front._calls._open) + len(gateway._health._open),
        pending=_pending(gateway),
        tasks=len(asyncio.all_tasks()),
        descriptors=len(os.listdir("/proc/self/fd")),  # noqa: PTH208 - numbers, no paths.
        rss_kb=int(rss_line.split()[1]),
        heap_bytes=heap(),
    )


def _pending(gateway: Gateway) -> int:
    pipeline = gateway._storage.broker.link._pipeline
    return 0 if pipeline is None else pipeline.pending


async def _serve(settings: ServerSettings, path: str) -> None:
    heap = _heap_reader()

    async def tell(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(json.dumps(asdict(_vitals(gateway, heap))).encode())
        writer.close()

    async with stop_signals() as stopping, Gateway(settings) as gateway:
        server = await asyncio.start_unix_server(tell, path)
        await stopping.wait()
        server.close()


def main() -> None:
    """Runs one until it is told to stop."""
    settings = ServerSettings.load()
    configure_logging(settings.log_level, settings.log_format)
    run(lambda: _serve(settings, os.environ[SOCKET]), event_loop=settings.event_loop)


if __name__ == "__main__":
    main()
