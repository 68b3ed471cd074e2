"""What a gateway holds: calls, streams, tasks, files and memory; and what tells it from outside."""

from __future__ import annotations

import asyncio
import ctypes
import gc
import json
import os
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from penstock.server import Gateway

__all__ = ["Vitals", "heap_reader", "tell_on", "vitals_of", "vitals_of_process"]


@dataclass(frozen=True)
class Vitals:
    """What a gateway holds.

    Attributes:
        tasks: of asyncio.
        descriptors: open files and sockets.
        rss_kb: resident memory.
        heap_bytes: what the process has got from the C library's heap and not given back.
        unary: calls with one answer, as admission counts them.
        streams: streams and waits, likewise.
        peers: client addresses that have streams, likewise.
        watches: of the health service.
        followed: streams on their way to readers.
        waiters: of WaitJob.
        readers: jobs that are watched.
        open_calls: calls that a shutdown would wait for.
        pending: commands that wait for the server's reply.
    """

    tasks: int
    descriptors: int
    rss_kb: int
    heap_bytes: int
    unary: int = 0
    streams: int = 0
    peers: int = 0
    watches: int = 0
    followed: int = 0
    waiters: int = 0
    readers: int = 0
    open_calls: int = 0
    pending: int = 0

    @property
    def counts(self) -> dict[str, int]:
        """All that must be gone once nobody calls any more."""
        told = asdict(self)
        for name in ("pending", "tasks", "descriptors", "rss_kb", "heap_bytes"):
            del told[name]
        return told


def vitals_of(gateway: Gateway, heap: Callable[[], int]) -> Vitals:
    """What it holds now.

    Args:
        gateway: of this process.
        heap: a reader of its heap.
    """
    admission, streams = gateway._admission, gateway._streams
    return replace(
        vitals_of_process(heap),
        unary=admission.unary,
        streams=admission.streams,
        peers=len(admission.stream_lane._by_caller) + len(admission.unary_lane._by_caller),
        watches=gateway._health.watches,
        followed=len(streams._streams),
        waiters=len(streams._waiters),
        readers=gateway._hub.readers,
        open_calls=len(gateway._front._calls._open) + len(gateway._health._open),
        pending=_pending(gateway),
    )


def vitals_of_process(heap: Callable[[], int]) -> Vitals:
    """What this process holds that any process does."""
    gc.collect()
    status = Path("/proc/self/status").read_text()
    (rss_line,) = [line for line in status.splitlines() if line.startswith("VmRSS")]
    return Vitals(
        tasks=len(asyncio.all_tasks()),
        descriptors=len(os.listdir("/proc/self/fd")),  # noqa: PTH208 - numbers, no paths.
        rss_kb=int(rss_line.split()[1]),
        heap_bytes=heap(),
    )


async def tell_on(port: int, vitals: Callable[[], Vitals]) -> asyncio.Server:
    """Tells each connection to a port of loopback what there is at that moment, as JSON."""

    async def tell(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(json.dumps(asdict(vitals())).encode())
        writer.close()

    return await asyncio.start_server(tell, "127.0.0.1", port)


def _pending(gateway: Gateway) -> int:
    pipeline = gateway._storage.broker.link._pipeline
    return 0 if pipeline is None else pipeline.pending


class _Heap(ctypes.Structure):
    """mallinfo2 of glibc."""

    _fields_ = [
        (name, ctypes.c_size_t)
        for name in (
            *("arena", "ordblks", "smblks", "hblks", "hblkhd"),
            *("usmblks", "fsmblks", "uordblks", "fordblks", "keepcost"),
        )
    ]


def heap_reader() -> Callable[[], int]:
    """Tells how many bytes are in use; always 0 where the C library does not tell."""
    try:
        mallinfo2 = ctypes.CDLL(None).mallinfo2
    except AttributeError:
        return lambda: 0
    mallinfo2.restype = _Heap
    return lambda: int(mallinfo2().uordblks + mallinfo2().hblkhd)
