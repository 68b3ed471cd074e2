"""Readers that take nothing at all: what they may cost, and how they are got rid of."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from penstock.broker import Chunk
from penstock.server import calls, open_calls, streaming
from penstock.v1 import job_service_pb2 as pb
from tests.server.rig import refusal_of, rest_of, rig_on
from tests.support.http2 import Peer, framed
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from penstock.broker import Grant
    from tests.server.rig import Rig

WATCH = "/penstock.v1.JobService/StreamProgress"
GET = "/penstock.v1.JobService/GetStatus"
PATIENCE_S = 30.0
#: Takes the snapshot, and not the first large chunk.
SMALL = 2_000


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Gives up soon."""
    monkeypatch.setattr(streaming, "COME_BACK_S", 0.1)
    monkeypatch.setattr(calls, "_LAST_WORDS_S", 0.1)
    monkeypatch.setattr(open_calls, "SWEEP_S", 0.05)


async def running(rig: Rig, chunks: int = 0) -> tuple[str, Grant]:
    """A running job with so many large chunks."""
    job_id = (await rig.submit()).job_id
    grant = await rig.claim()
    for number in range(chunks):
        await rig.report(grant, Chunk(b"%d" % (number % 10) * 65_536, 1))
    return job_id, grant


def watch(peer: Peer, job_id: str) -> int:
    return peer.call(WATCH, framed(pb.StreamProgressRequest(job_id=job_id).SerializeToString()))


@pytest.mark.usefixtures("hurried")
@pytest.mark.parametrize("window", [0, SMALL])
async def test_the_connection_of_one_who_takes_nothing_is_ended(
    redis_url: str, window: int, caplog: pytest.LogCaptureFixture
) -> None:
    async with (
        rig_on(redis_url, stream_stall_s=0.4) as rig,
        Peer(rig.gateway.port, window=window, greedy=False) as peer,
    ):
        job_id, _ = await running(rig, chunks=1)
        stream = watch(peer, job_id)
        await eventually(lambda: rig.open_streams, "it is followed", within_s=PATIENCE_S)
        await eventually(peer.closed.is_set, "the connection is over", within_s=PATIENCE_S)
        assert peer.streams[stream].data <= window
        await eventually(lambda: not rig.admission.streams, "it is not counted any more")
        assert not rig.hub.readers
    assert not caplog.records


@pytest.mark.usefixtures("hurried")
async def test_what_a_stalled_stream_holds_is_counted_while_its_connection_is_needed(
    redis_url: str,
) -> None:
    async with (
        rig_on(redis_url, stream_stall_s=0.4) as rig,
        Peer(rig.gateway.port, window=SMALL, greedy=False) as peer,
    ):
        job_id, _ = await running(rig, chunks=1)
        silent = (await rig.submit()).job_id
        needed = watch(peer, silent)
        watch(peer, job_id)
        abandoned = rig.gateway._front._calls._open._abandoned
        await eventually(lambda: abandoned, "one is abandoned", within_s=PATIENCE_S)
        for _ in range(3):  # The other one is served while it lasts.
            assert rig.admission.streams == 2
            assert not peer.closed.is_set()
            await rig.job(silent)
        peer.reset(needed)
        await eventually(peer.closed.is_set, "the connection is over", within_s=PATIENCE_S)
        await eventually(lambda: not rig.admission.streams, "nothing is counted any more")


@pytest.mark.usefixtures("hurried")
async def test_a_shutdown_does_not_wait_for_the_abandoned(redis_url: str) -> None:
    async with rig_on(redis_url, stream_stall_s=0.4, shutdown_grace_s=60.0) as rig:
        async with Peer(rig.gateway.port, window=SMALL, greedy=False) as peer:
            job_id, _ = await running(rig, chunks=1)
            silent = (await rig.submit()).job_id
            watch(peer, silent)
            watch(peer, job_id)
            calls_open = rig.gateway._front._calls._open
            await eventually(lambda: calls_open._abandoned, "one is", within_s=PATIENCE_S)
            await rig.gateway.stop()
        assert not len(calls_open)


async def test_a_stalled_reader_has_one_message_held_for_it(redis_url: str) -> None:
    async with rig_on(redis_url, stream_stall_s=60.0) as rig:
        job_id, grant = await running(rig, chunks=12)
        async with (
            Peer(rig.gateway.port, window=SMALL, greedy=False) as early,
            Peer(rig.gateway.port, window=SMALL, greedy=False) as late,
        ):
            watch(early, job_id)
            await eventually(lambda: rig.open_streams, "it is followed")
            await rig.report(grant, Chunk(b"x" * 65_536, 1))
            watch(late, job_id)
            await eventually(lambda: len(rig.open_streams) == 2, "both are followed")

            def held() -> int:
                return sum(
                    len(stream._batch) + len(stream._watcher.mailbox)
                    for stream in rig.open_streams
                    if stream.blocked_since
                )

            await eventually(
                lambda: (
                    sum(bool(each.blocked_since) for each in rig.open_streams) == 2 and not held()
                ),
                "nothing more is held for them",
                within_s=PATIENCE_S,
            )
            for _ in range(12):
                await rig.report(grant, Chunk(b"y" * 65_536, 1))
            assert not held()


async def test_one_who_comes_back_gets_all_that_was_dropped(redis_url: str) -> None:
    async with rig_on(redis_url, stream_stall_s=60.0) as rig:
        job_id, grant = await running(rig, chunks=12)
        async with Peer(rig.gateway.port, window=SMALL, greedy=False) as peer:
            stream = watch(peer, job_id)
            await eventually(
                lambda: any(each.blocked_since and not each._batch for each in rig.open_streams),
                "what was read for it is dropped",
                within_s=PATIENCE_S,
            )
            await rig.complete(grant)
            peer.take(10_000_000)
            assert await peer.status_of(stream) == 0
            # 12 chunks, and the little that is told of the job's life.
            assert 12 * 65_536 < peer.streams[stream].data < 12 * 65_536 + 5_000


async def test_a_call_to_one_who_left_is_no_error(
    redis_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with rig_on(redis_url) as rig:
        job_id, _ = await running(rig, chunks=1)
        for _ in range(5):
            async with Peer(rig.gateway.port, window=SMALL, greedy=False) as peer:
                watch(peer, job_id)
                await eventually(
                    lambda: any(each.blocked_since for each in rig.open_streams), "it stalls"
                )
        await eventually(lambda: not rig.admission.streams, "all have left")
        refusal = await refusal_of(rest_of(rig.stream("x")))
        assert refusal.violations
    assert not caplog.records


async def test_one_who_leaves_before_the_answer_is_no_error(
    redis_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with rig_on(redis_url) as rig:
        job_id = (await rig.submit(payload=b'{"width": 1, "name": "%s"}' % (b"x" * 200_000))).job_id
        request = pb.GetStatusRequest(job_id=job_id, include_payload=True)
        for _ in range(5):
            async with Peer(rig.gateway.port, window=0) as peer:
                for _ in range(5):
                    peer.call(GET, framed(request.SerializeToString()))
                await eventually(
                    lambda: rig.admission.unary == 5,
                    "all are under way",
                    within_s=PATIENCE_S,
                )
        open_calls = rig.gateway._front._calls._open
        await eventually(lambda: not len(open_calls), "all are over", within_s=PATIENCE_S)
    assert not caplog.records


@pytest.mark.usefixtures("hurried")
async def test_a_large_answer_is_counted_until_it_is_taken(
    redis_url: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(calls, "TAKE_S", 0.5)
    async with (
        rig_on(redis_url, max_unary_calls_per_peer=5) as rig,
        Peer(rig.gateway.port, window=0) as peer,
    ):
        large = b'{"width": 1, "name": "%s"}' % (b"x" * 200_000)
        job_id = (await rig.submit(payload=large)).job_id
        request = pb.GetStatusRequest(job_id=job_id, include_payload=True)
        for _ in range(5):
            peer.call(GET, framed(request.SerializeToString()))
        await eventually(lambda: rig.admission.unary == 5, "all are answered")
        refusal = await refusal_of(rig.jobs.GetStatus(request))
        assert refusal.reason == "GATEWAY_LIMIT"
        await eventually(peer.closed.is_set, "who takes nothing is cut off", within_s=PATIENCE_S)
        await eventually(lambda: not rig.admission.unary, "nothing is counted any more")
        assert (await rig.job(job_id)).payload.data == large
        await eventually(lambda: not rig.admission.unary, "what was taken is not counted")
    assert not caplog.records
