"""A watch goes on over whatever breaks: no event is missed, none is given twice."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import grpc
import pytest

from penstock.client import (
    AsyncClient,
    ChunkEvent,
    CursorOutOfRange,
    Event,
    Internal,
    NotFound,
    ProgressEvent,
    SnapshotEvent,
    StateEvent,
    Unavailable,
)
from penstock.v1 import job_pb2
from penstock.v1.job_service_pb2 import EndOfStream
from tests.client.scripted import (
    chunk,
    end,
    fails,
    hangs,
    progress,
    retry_info,
    snapshot,
    terminal,
    writes,
)
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from penstock.client.async_client import AsyncCalls
    from tests.client.conftest import Connect
    from tests.client.scripted import Context, ScriptedGateway, Step

BREAK = fails(grpc.StatusCode.UNAVAILABLE)


async def watched(calls: AsyncCalls) -> list[Event]:
    return [event async for event in calls.watch("job", reconnect_for=20)]


def ranges(events: list[Event]) -> list[tuple[int, int]]:
    return [(event.first_sequence, event.last_sequence) for event in events]


BREAKS: dict[str, Step] = {
    "unavailable": BREAK,
    "cancelled by a proxy": fails(grpc.StatusCode.CANCELLED),
    "a proxy's time limit": fails(grpc.StatusCode.DEADLINE_EXCEEDED),
    "reset": fails(grpc.StatusCode.INTERNAL, "Received RST_STREAM with error code 2"),
    "shed": fails(grpc.StatusCode.RESOURCE_EXHAUSTED, "full", retry_info(0.01)),
    "max age": writes(end(EndOfStream.REASON_MAX_AGE, 3)),
    "shutdown": writes(end(EndOfStream.REASON_SHUTDOWN, 3)),
    "slow reader": writes(end(EndOfStream.REASON_SLOW_READER, 3)),
    "ended without a word": writes(),
}


@pytest.mark.parametrize("way", BREAKS)
async def test_a_stream_that_ends_early_is_gone_on_with(
    connect: Connect, script: ScriptedGateway, way: str
) -> None:
    script.on(
        "StreamProgress",
        writes(snapshot(), chunk(1), chunk(2), chunk(3), then=BREAKS[way]),
        writes(snapshot(last=3), chunk(4), terminal(5)),
    )
    async with connect(script.address) as client:
        events = await client(watched)
    assert [type(event) for event in events] == [SnapshotEvent, *[ChunkEvent] * 4, StateEvent]
    assert ranges(events[1:]) == [(n, n) for n in range(1, 6)]
    assert [request.after_sequence for request in script.requests["StreamProgress"]] == [0, 3]


async def test_a_watch_without_its_stream_says_why(script: ScriptedGateway) -> None:
    back = asyncio.Event()

    async def comes_back(request: object, context: Context) -> object:
        await back.wait()
        return await writes(snapshot(last=1), terminal(2))(request, context)

    script.on("StreamProgress", writes(snapshot(), chunk(1), then=BREAK), comes_back)
    async with AsyncClient(script.address) as client, client.watch_many(["job"]) as watch:
        assert watch.interruption is None
        await anext(watch)
        await anext(watch)
        ending = asyncio.ensure_future(anext(watch))
        status = await eventually(lambda: watch.interruption, "the watch knows", within_s=20)
        assert status is not None
        assert status.code == "UNAVAILABLE"
        assert "scripted" in status.message
        back.set()
        assert isinstance(await ending, StateEvent)
        assert watch.interruption is None


async def test_what_was_seen_before_is_dropped(connect: Connect, script: ScriptedGateway) -> None:
    script.on(
        "StreamProgress",
        writes(snapshot(), chunk(1), progress(2, 3), then=BREAK),
        writes(snapshot(), chunk(1), progress(2, 5), progress(6, 6), terminal(7)),
    )
    async with connect(script.address) as client:
        events = await client(watched)
    assert ranges(events[1:]) == [(1, 1), (2, 3), (4, 5), (6, 6), (7, 7)]
    assert isinstance(events[3], ProgressEvent)


async def test_a_hole_in_a_stream_is_filled_by_another(
    connect: Connect, script: ScriptedGateway
) -> None:
    script.on(
        "StreamProgress",
        writes(snapshot(), chunk(1), chunk(3), terminal(4)),
        writes(snapshot(), chunk(2), chunk(3), terminal(4)),
    )
    async with connect(script.address) as client:
        events = await client(watched)
    assert ranges(events[1:]) == [(n, n) for n in range(1, 5)]


async def test_a_watch_from_the_last_event_ends_at_once(
    connect: Connect, script: ScriptedGateway
) -> None:
    script.on("StreamProgress", writes(snapshot(job_pb2.JOB_STATE_FAILED, last=6)))

    async def scenario(calls: AsyncCalls) -> list[Event]:
        return [event async for event in calls.watch("job", after=6)]

    async with connect(script.address) as client:
        (event,) = await client(scenario)
    assert isinstance(event, SnapshotEvent)
    assert (event.first_sequence, event.last_sequence) == (7, 6), "it covers nothing"


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (grpc.StatusCode.NOT_FOUND, NotFound),
        (grpc.StatusCode.OUT_OF_RANGE, CursorOutOfRange),
        (grpc.StatusCode.INTERNAL, Internal),
        (grpc.StatusCode.UNKNOWN, Internal),
    ],
)
async def test_a_refusal_ends_the_watch(
    connect: Connect, script: ScriptedGateway, code: grpc.StatusCode, kind: type[Exception]
) -> None:
    script.on("StreamProgress", writes(snapshot(), chunk(1), then=BREAK), fails(code))
    async with connect(script.address) as client:
        with pytest.raises(kind) as refusal:
            await client(watched)
    assert refusal.value.__notes__ == ["watch('job', after=1) goes on from here"]


async def test_a_gateway_that_stays_away_ends_the_watch(
    connect: Connect, script: ScriptedGateway
) -> None:
    script.on("StreamProgress", writes(snapshot(), chunk(1), then=BREAK), BREAK)

    async def scenario(calls: AsyncCalls) -> None:
        async for _ in calls.watch("job", reconnect_for=0.5):
            pass

    async with connect(script.address) as client:
        with pytest.raises(Unavailable):
            await client(scenario)


async def test_leaving_a_watch_cancels_its_call(connect: Connect, script: ScriptedGateway) -> None:
    gone = asyncio.Event()

    async def until_the_caller_goes(request: object, context: Context) -> None:
        try:
            await hangs(request, context)
        finally:
            gone.set()

    script.on("StreamProgress", writes(snapshot(), then=until_the_caller_goes))

    async def scenario(calls: AsyncCalls) -> Event | None:
        async with calls.watch("job") as watch:
            async for event in watch:
                return event
        return None

    async with connect(script.address) as client:
        assert isinstance(await client(scenario), SnapshotEvent)
        await eventually(gone.is_set, "the gateway sees that the caller is gone")


async def test_dropping_a_watch_cancels_its_call(connect: Connect, script: ScriptedGateway) -> None:
    gone = asyncio.Event()

    async def until_the_caller_goes(request: object, context: Context) -> None:
        try:
            await hangs(request, context)
        finally:
            gone.set()

    script.on("StreamProgress", writes(snapshot(), then=until_the_caller_goes))

    async def scenario(calls: AsyncCalls) -> Event:
        return await anext(calls.watch("job"))

    async with connect(script.address) as client:
        assert isinstance(await client(scenario), SnapshotEvent)
        await eventually(gone.is_set, "the gateway sees that the caller is gone")


async def test_a_time_limit_around_an_event_loses_nothing(script: ScriptedGateway) -> None:
    script.on(
        "StreamProgress",
        writes(snapshot(), chunk(1), then=hangs),
        writes(snapshot(), chunk(2), terminal(3)),
    )
    async with AsyncClient(script.address) as client, client.watch("job") as watch:
        events = [await anext(watch), await anext(watch)]
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(anext(watch), 0.1)
        events += [event async for event in watch]
    assert ranges(events[1:]) == [(1, 1), (2, 2), (3, 3)]


async def test_another_task_may_close_a_watch(connect: Connect, script: ScriptedGateway) -> None:
    script.on("StreamProgress", writes(snapshot(), chunk(1), then=hangs))
    seen: list[Event] = []
    watches = []

    async def scenario(calls: AsyncCalls) -> None:
        watch = calls.watch("job")
        watches.append(watch)
        async for event in watch:
            seen.append(event)  # noqa: PERF401 - looked at while it grows.

    async with connect(script.address) as client:
        watching = asyncio.create_task(client(scenario))
        await eventually(lambda: len(seen) == 2, "the watch has seen what there is")
        watches[0].abort()
        await asyncio.wait_for(watching, 5)
    assert watches[0].cursor == 1


async def test_closing_ends_a_pause(connect: Connect, script: ScriptedGateway) -> None:
    script.on("StreamProgress", fails(grpc.StatusCode.UNAVAILABLE, "later", retry_info(30)))
    watches = []

    async def scenario(calls: AsyncCalls) -> list[Event]:
        watches.append(calls.watch("job"))
        return [event async for event in watches[0]]

    async with connect(script.address) as client:
        watching = asyncio.create_task(client(scenario))
        await eventually(lambda: script.calls("StreamProgress"), "the first try has failed")
        watches[0].abort()
        assert await asyncio.wait_for(watching, 5) == []
