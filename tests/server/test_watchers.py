"""Many watchers, and those who do not keep up."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import grpc
import pytest

from penstock.broker import Chunk, Progress
from penstock.server import calls, streaming
from penstock.v1 import job_service_pb2 as pb
from penstock.v1 import job_service_pb2_grpc
from tests.server.rig import next_of, refusal_of, rest_of, rig_on, states_of
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from penstock.broker import Grant
    from tests.server.rig import Rig

WATCHERS = 200
ROUNDS = 20
CHUNK = 4_096
LIFE = ["JOB_STATE_QUEUED", "JOB_STATE_RUNNING", "JOB_STATE_SUCCEEDED"]


async def emit(rig: Rig, grant: Grant, rounds: int, size: int) -> list[bytes]:
    """Reports rounds of three chunks and a progress; returns the chunks."""
    chunks = []
    for n in range(rounds):
        output = [f"{n}.{part} ".encode().ljust(size, b".") for part in range(3)]
        await rig.report(grant, *[Chunk(data, 1) for data in output], Progress(n, rounds))
        chunks += output
    return chunks


def chunks_of(events: list[pb.StreamProgressResponse]) -> list[bytes]:
    return [event.chunk.data for event in events if event.HasField("chunk")]


def assert_tile(events: list[pb.StreamProgressResponse], after: int = 0) -> None:
    for event in events:
        if not event.HasField("snapshot") and not event.HasField("end"):
            assert event.first_sequence == after + 1
            after = event.last_sequence


def one_who_stalls(rig: Rig) -> grpc.aio.Channel:
    """A client whose transport takes little that it does not read."""
    return grpc.aio.insecure_channel(
        rig.gateway.address,
        options=[("grpc.http2.bdp_probe", 0), ("grpc.use_local_subchannel_pool", 1)],
    )


@pytest.mark.timeout(180)
async def test_many_watch_one_job_and_one_stalls(redis_url: str) -> None:
    async with rig_on(redis_url, stream_stall_s=15.0) as rig, one_who_stalls(rig) as channel:
        job_id = (await rig.submit()).job_id
        streams = [rig.stream(job_id) for _ in range(WATCHERS)]
        stalled = job_service_pb2_grpc.JobServiceStub(channel).StreamProgress(
            pb.StreamProgressRequest(job_id=job_id)
        )
        opening = [await next_of(call) for call in (*streams, stalled)]
        assert all(event.HasField("snapshot") for event in opening)
        assert rig.hub.readers == 1

        grant = await rig.claim()
        readers = asyncio.gather(*(rest_of(call) for call in streams))
        chunks = await emit(rig, grant, ROUNDS, CHUNK)
        await rig.complete(grant)
        for events in await readers:
            assert_tile(events)
            assert chunks_of(events) == chunks
            assert states_of(events) == LIFE

        open_streams = rig.open_streams
        await eventually(
            lambda: all(stream._is_ending() for stream in open_streams),
            "the stalled stream is asked to end",
            within_s=60,
        )
        before = await rest_of(stalled)
        end = before.pop().end
        assert end.reason == pb.EndOfStream.REASON_SLOW_READER
        assert_tile(before)
        assert before[-1].last_sequence == end.cursor
        after = await rest_of(rig.stream(job_id, end.cursor))
        assert_tile(after, end.cursor)
        assert chunks_of(before) + chunks_of(after) == chunks
        assert states_of(before) + states_of(after) == LIFE


async def test_a_reader_that_never_comes_back_is_dropped(
    redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streaming, "COME_BACK_S", 0.2)
    monkeypatch.setattr(calls, "_LAST_WORDS_S", 0.2)
    async with rig_on(redis_url, stream_stall_s=0.4) as rig, one_who_stalls(rig) as channel:
        job_id = (await rig.submit()).job_id
        grant = await rig.claim()
        call = job_service_pb2_grpc.JobServiceStub(channel).StreamProgress(
            pb.StreamProgressRequest(job_id=job_id)
        )
        await next_of(call)
        await emit(rig, grant, 10, 65_536)
        await eventually(lambda: not rig.open_streams, "the stream is given up")
        await eventually(lambda: rig.hub.readers == 0, "its reader has ended")
        # Whoever reads on after all learns where to go on from, in the status.
        refusal = await refusal_of(rest_of(call))
        assert refusal.code is grpc.StatusCode.UNAVAILABLE
        assert refusal.reason == "SLOW_READER"
        events = await rig_events(rig, job_id, int(refusal.facts["cursor"]))
        assert_tile(events, int(refusal.facts["cursor"]))


async def rig_events(rig: Rig, job_id: str, after: int) -> list[pb.StreamProgressResponse]:
    """What is there after a cursor, read until the newest event of the job."""
    newest = (await rig.job(job_id)).last_sequence
    call = rig.stream(job_id, after)
    events = [await next_of(call)]
    while events[-1].last_sequence < newest:
        events.append(await next_of(call))
    call.cancel()
    return events


async def test_progress_is_merged_for_a_slow_reader_and_nothing_else(redis_url: str) -> None:
    async with rig_on(redis_url, stream_backlog=16) as rig, one_who_stalls(rig) as channel:
        job_id = (await rig.submit()).job_id
        grant = await rig.claim()
        call = job_service_pb2_grpc.JobServiceStub(channel).StreamProgress(
            pb.StreamProgressRequest(job_id=job_id)
        )
        await next_of(call)
        chunks = await emit(rig, grant, 4, 65_536)  # Fills what the transport takes.
        [stream] = rig.open_streams
        await eventually(lambda: stream.blocked_since, "a write waits")
        for _ in range(50):
            await rig.report(grant, *[Progress(n, 100) for n in range(100)])
        chunks += await emit(rig, grant, 4, 64)
        await rig.complete(grant)
        events = await rest_of(call)
        assert_tile(events)
        assert chunks_of(events) == chunks
        assert states_of(events) == LIFE
        reports = [event for event in events if event.HasField("progress")]
        assert len(reports) < 100
        assert max(event.last_sequence - event.first_sequence for event in reports) >= 50
