"""A grpc.aio server with one empty method: the limit that SubmitJob is measured against.

``python -m bench.bare_server HOST:PORT`` serves until it is terminated.
"""

from __future__ import annotations

import asyncio
import signal
import sys

import grpc
import uvloop
from google.protobuf.empty_pb2 import Empty

METHOD = "/bench.Bare/Call"


async def _call(request: Empty, context: grpc.aio.ServicerContext[Empty, Empty]) -> Empty:  # noqa: ARG001
    return request


async def serve(address: str) -> None:
    """Serves the empty method on the address."""
    server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
    handler = grpc.unary_unary_rpc_method_handler(
        _call,
        request_deserializer=Empty.FromString,
        response_serializer=Empty.SerializeToString,
    )
    _, service, method = METHOD.split("/")
    server.add_generic_rpc_handlers(
        [grpc.method_handlers_generic_handler(service, {method: handler})]
    )
    server.add_insecure_port(address)
    await server.start()
    stopping = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopping.set)
    await stopping.wait()
    await server.stop(0)


if __name__ == "__main__":
    uvloop.run(serve(sys.argv[1]))
