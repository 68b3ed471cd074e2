"""A gRPC server with nothing of Penstock behind it: what a gateway is compared with.

``python -m tests.chaos.worlds.bare_server`` answers submits, holds streams and waits until their
callers leave, and tells what it holds as an observed gateway does.
"""

from __future__ import annotations

import asyncio
import os
import time
from typing import TYPE_CHECKING, Final, NoReturn

import grpc
import grpc.aio

from penstock.runtime import run, stop_signals
from penstock.server import ServerSettings
from penstock.server.front import _options
from tests.chaos.worlds.observed_gateway import PORT
from tests.chaos.worlds.vitals import heap_reader, tell_on, vitals_of_process

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

#: How long a call keeps the process busy (s), about as a gateway's does. For what gRPC keeps of a
#: call depends on whether it was cancelled before its turn had come.
WORK_S: Final = 0.001


async def _answer(_request: bytes, _context: object) -> bytes:
    time.sleep(WORK_S)  # noqa: ASYNC251 - it is work.
    return b""


async def _hold(_request: bytes, _context: object) -> NoReturn:
    await _for_ever()


async def _stream(_request: bytes, _context: object) -> AsyncIterator[bytes]:
    time.sleep(WORK_S)  # noqa: ASYNC251 - it is work.
    yield b""
    await _for_ever()


async def _for_ever() -> NoReturn:
    while True:
        await asyncio.Event().wait()


async def _serve(settings: ServerSettings, port: int) -> None:
    heap = heap_reader()
    server = grpc.aio.server(options=_options(settings, share_port=False))
    methods: dict[str, grpc.RpcMethodHandler[bytes, bytes]] = {
        "SubmitJob": grpc.unary_unary_rpc_method_handler(_answer),
        "WaitJob": grpc.unary_unary_rpc_method_handler(_hold),
        "StreamProgress": grpc.unary_stream_rpc_method_handler(_stream),
        "SubmitAndWatch": grpc.unary_stream_rpc_method_handler(_stream),
    }
    service = grpc.method_handlers_generic_handler("penstock.v1.JobService", methods)
    server.add_generic_rpc_handlers((service,))
    server.add_insecure_port(settings.listen)
    async with stop_signals() as stopping:
        vitals = await tell_on(port, lambda: vitals_of_process(heap))
        await server.start()
        await stopping.wait()
        await server.stop(None)
        vitals.close()


def main() -> None:
    """Runs one until it is told to stop."""
    settings = ServerSettings.load()
    run(lambda: _serve(settings, int(os.environ[PORT])), event_loop=settings.event_loop)


if __name__ == "__main__":
    main()
