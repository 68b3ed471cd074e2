"""What the reader still owes the cache, with a gateway that fails when it is told to."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc

from examples.watchparty.caching import Reader
from penstock.client import AsyncClient
from penstock.v1 import cache_service_pb2
from tests.client.scripted import ScriptedGateway, answers, fails
from tests.support.waiting import eventually

FORGOTTEN = cache_service_pb2.InvalidateCacheResponse()


async def test_a_tag_stays_owed_if_it_was_written_again_meanwhile() -> None:
    both_are_under_way = asyncio.Event()

    async def first(_: object, __: object) -> Any:  # noqa: ANN401 - a message.
        await both_are_under_way.wait()
        return FORGOTTEN

    first_is_done = asyncio.Event()

    async def second(request: object, context: grpc.aio.ServicerContext[Any, Any]) -> None:
        both_are_under_way.set()
        await first_is_done.wait()
        await fails(grpc.StatusCode.INTERNAL)(request, context)

    async with ScriptedGateway() as gateway, AsyncClient(gateway.address) as client:
        gateway.on("InvalidateCache", first, second, answers(FORGOTTEN))
        reader = Reader(client)
        async with asyncio.TaskGroup() as writes:
            one = writes.create_task(reader.forget("rooms"))
            await eventually(lambda: gateway.calls("InvalidateCache") == 1, "it is being forgotten")
            writes.create_task(reader.forget("rooms"))
            await one
            first_is_done.set()
        await reader.forget("movies")
        asked = [
            sorted(target.tag for target in request.targets)
            for request in gateway.requests["InvalidateCache"]
        ]
        assert asked == [["rooms"], ["rooms"], ["movies", "rooms"]]
        await reader.forget("movies")
        assert len(gateway.requests["InvalidateCache"][-1].targets) == 1, "nothing else is owed"
