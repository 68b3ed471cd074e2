"""StreamProgress: snapshot, replay, live events, the end; and resuming at any point."""

from __future__ import annotations

from typing import TYPE_CHECKING

import grpc
import pytest

from penstock.broker import Chunk, Failure, LogLine, Progress
from penstock.server import calls, watching
from penstock.v1 import job_pb2
from penstock.v1 import job_service_pb2 as pb
from tests.server.rig import next_of, refusal_of, rest_of, rig_on, seconds, spec, states_of
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from penstock.broker import Grant
    from tests.server.rig import Rig

Event = pb.StreamProgressResponse


async def work(rig: Rig) -> tuple[str, Grant]:
    """A running job with a log of five events."""
    receipt = await rig.submit()
    grant = await rig.claim()
    await rig.report(grant, Progress(1, 2, "half"), Chunk(b"abc", 1), LogLine("info", "hi", 1))
    return receipt.job_id, grant


async def read(rig: Rig, job_id: str, after: int = 0) -> list[Event]:
    """Everything that a stream tells until its end."""
    return [event async for event in rig.stream(job_id, after)]


def assert_tile(events: list[Event], after: int = 0) -> None:
    assert events[0].HasField("snapshot")
    assert (events[0].first_sequence, events[0].last_sequence) == (after + 1, after)
    for event in events[1:]:
        assert event.first_sequence == after + 1
        after = event.last_sequence


async def test_a_stream_tells_the_whole_life(rig: Rig) -> None:
    job_id, grant = await work(rig)
    call = rig.stream(job_id)
    first = [await next_of(call) for _ in range(6)]
    await rig.complete(grant)
    rest = await rest_of(call)
    events = [*first, *rest]
    assert_tile(events)
    assert [event.WhichOneof("event") for event in events] == [
        "snapshot",
        "state_change",
        "state_change",
        "progress",
        "chunk",
        "log",
        "state_change",
    ]
    snapshot, _, running, progress, chunk, log, last = events
    assert snapshot.snapshot.state == job_pb2.JOB_STATE_RUNNING
    assert snapshot.snapshot.last_sequence == 5
    assert (running.state_change.attempt, running.state_change.reason) == (1, "")
    assert progress.progress == job_pb2.Progress(current=1, total=2, message="half")
    assert (chunk.chunk.data, chunk.chunk.attempt) == (b"abc", 1)
    assert (log.log.level, log.log.message, log.log.attempt) == ("info", "hi", 1)
    assert last.state_change.job.result.data == b'"done"'
    assert last.state_change.job == await rig_job(rig, job_id)
    assert all(event.HasField("time") for event in events[1:])


async def rig_job(rig: Rig, job_id: str) -> job_pb2.Job:
    request = pb.GetStatusRequest(job_id=job_id, include_result=True)
    return (await rig.jobs.GetStatus(request)).job


async def test_an_ended_job_is_told_from_the_start(rig: Rig) -> None:
    job_id, grant = await work(rig)
    await rig.complete(grant)
    events = await read(rig, job_id)
    assert_tile(events)
    assert states_of(events) == ["JOB_STATE_QUEUED", "JOB_STATE_RUNNING", "JOB_STATE_SUCCEEDED"]


async def test_a_stream_resumes_at_any_cursor(rig: Rig) -> None:
    job_id, grant = await work(rig)
    await rig.complete(grant)
    whole = await read(rig, job_id)
    for cursor in range(7):
        events = await read(rig, job_id, cursor)
        assert_tile(events, cursor)
        assert events[1:] == whole[1 + cursor :]
    # At the newest cursor nothing is left to tell but how the job stands.
    [snapshot] = await read(rig, job_id, 6)
    assert snapshot.snapshot.result.data == b'"done"'


async def test_a_failed_job_tells_why(rig: Rig) -> None:
    receipt = await rig.submit(options=job_pb2.JobOptions(max_attempts=1))
    grant = await rig.claim()
    failure = Failure("ValueError", "no such image")
    await rig.broker.attempts.fail(grant.job_id, grant.fencing_token, "error", failure)
    last = (await read(rig, receipt.job_id))[-1].state_change
    assert last.state == job_pb2.JOB_STATE_FAILED
    assert "no such image" in last.reason
    assert last.job.failure.reason == job_pb2.FAILURE_REASON_EXHAUSTED
    assert (last.job.failure.type, last.job.failure.message) == ("ValueError", "no such image")


async def test_a_retry_tells_when_it_is_due(rig: Rig) -> None:
    receipt = await rig.submit()
    grant = await rig.claim()
    failure = Failure("ValueError", "no such image")
    attempts = rig.broker.attempts
    await attempts.fail(grant.job_id, grant.fencing_token, "error", failure, 60_000)
    call = rig.stream(receipt.job_id)
    *_, retry = [await next_of(call) for _ in range(4)]
    assert retry.state_change.state == job_pb2.JOB_STATE_SCHEDULED
    assert retry.state_change.reason == "ValueError: no such image"
    assert (retry.state_change.run_at.ToDatetime() - retry.time.ToDatetime()).seconds == 60
    call.cancel()


async def test_a_cancel_ends_the_stream(rig: Rig) -> None:
    receipt = await rig.submit()
    call = rig.stream(receipt.job_id)
    await next_of(call)
    answer = await rig.jobs.CancelJob(
        pb.CancelJobRequest(job_id=receipt.job_id, reason="changed my mind")
    )
    assert answer.job.state == job_pb2.JOB_STATE_CANCELLED
    events = await rest_of(call)
    assert events[-1].state_change.state == job_pb2.JOB_STATE_CANCELLED
    assert events[-1].state_change.reason == "changed my mind"
    assert events[-1].state_change.job.cancel_reason == "changed my mind"


async def test_trimmed_history_is_an_explicit_gap(rig: Rig) -> None:
    receipt = await rig.submit()
    grant = await rig.claim()
    for _ in range(111):
        await rig.report(grant, *[Chunk(b"x", 1)] * 100)
    call = rig.stream(receipt.job_id)
    snapshot, gap, chunk = [await next_of(call) for _ in range(3)]
    call.cancel()
    assert_tile([snapshot, gap, chunk])
    assert gap.gap.lost == gap.last_sequence - gap.first_sequence + 1 > 0
    assert chunk.chunk.data == b"x"


async def test_submit_and_watch_is_both(rig: Rig) -> None:
    call = rig.jobs.SubmitAndWatch(pb.SubmitAndWatchRequest(job=spec()))
    first = await next_of(call)
    assert first.job.outcome == pb.SUBMIT_OUTCOME_CREATED
    assert (await next_of(call)).event.snapshot.job_id == first.job.job_id
    await rig.complete(await rig.claim())
    events = [message.event for message in await rest_of(call)]
    assert states_of(events) == ["JOB_STATE_QUEUED", "JOB_STATE_RUNNING", "JOB_STATE_SUCCEEDED"]
    assert events[-1].state_change.job.result.data == b'"done"'


async def test_a_refused_submit_is_not_watched(rig: Rig) -> None:
    call = rig.jobs.SubmitAndWatch(pb.SubmitAndWatchRequest(job=spec(payload=b"{}")))
    refusal = await refusal_of(next_of(call))
    assert refusal.code is grpc.StatusCode.INVALID_ARGUMENT


async def test_lost_wakeups_cost_a_second_or_two(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    receipt = await rig.submit()
    call = rig.stream(receipt.job_id)
    await next_of(call)
    await next_of(call)
    # Nothing wakes the reader any more, as if every message were lost.
    hub = rig.hub
    [feed] = hub._feeds.values()
    await eventually(lambda: feed._channel, "the reader listens")
    assert feed._channel is not None
    monkeypatch.setattr(watching, "POLL_S", 0.05)
    hub._wakeups.unlisten(feed._channel, feed._woken.set)
    await rig.complete(await rig.claim())
    events = await rest_of(call)
    assert states_of(events) == ["JOB_STATE_RUNNING", "JOB_STATE_SUCCEEDED"]


async def test_wakeups_come_back_after_their_connection_broke(rig: Rig) -> None:
    receipt = await rig.submit()
    call = rig.stream(receipt.job_id)
    await next_of(call)
    await next_of(call)
    await rig.broker.link.call("CLIENT", "KILL", "TYPE", "PUBSUB")
    await rig.complete(await rig.claim())
    events = await rest_of(call)
    assert states_of(events) == ["JOB_STATE_RUNNING", "JOB_STATE_SUCCEEDED"]


async def test_readers_end_with_their_watchers(rig: Rig) -> None:
    receipt = await rig.submit()
    hub = rig.hub
    calls = [rig.stream(receipt.job_id) for _ in range(3)]
    for call in calls:
        await next_of(call)
    assert hub.readers == 1
    for call in calls:
        call.cancel()
    await eventually(lambda: hub.readers == 0, "the reader has ended")


async def test_a_job_that_is_forgotten_ends_its_stream(rig: Rig) -> None:
    receipt = await rig.submit()
    call = rig.stream(receipt.job_id)
    await next_of(call)
    await next_of(call)
    slot, tail, _ = await rig.broker.engine.locate(receipt.job_id)
    await rig.broker.link.call("DEL", slot.record(tail))
    await rig.broker.link.call("SPUBLISH", slot.channel(tail), 1)
    refusal = await refusal_of(next_of(call))
    assert refusal.code is grpc.StatusCode.NOT_FOUND


async def test_a_stream_ends_itself_with_a_cursor(redis_url: str) -> None:
    async with rig_on(redis_url, stream_max_age_s=0.2) as rig:
        job_id, grant = await work(rig)
        events = await read(rig, job_id)
        assert_tile(events[:-1])
        end = events[-1]
        assert end.end.reason == pb.EndOfStream.REASON_MAX_AGE
        assert end.end.cursor == 5 == end.last_sequence
        await rig.complete(grant)
        resumed = await read(rig, job_id, end.end.cursor)
        assert_tile(resumed, 5)
        assert states_of(resumed) == ["JOB_STATE_SUCCEEDED"]


async def test_wait_answers_when_the_job_is_done(rig: Rig) -> None:
    receipt = await rig.submit()
    call = rig.jobs.WaitJob(pb.WaitJobRequest(job_id=receipt.job_id))
    hub = rig.hub
    await eventually(lambda: hub.readers == 1, "the wait has begun")
    await rig.complete(await rig.claim())
    answer = await call
    assert answer.done
    assert answer.job.result.data == b'"done"'
    # And at once for one that is done already.
    assert (await rig.jobs.WaitJob(pb.WaitJobRequest(job_id=receipt.job_id))).done


@pytest.mark.parametrize("wait_s", [0.0, 0.05])
async def test_wait_answers_when_its_time_is_over(rig: Rig, wait_s: float) -> None:
    receipt = await rig.submit()
    answer = await rig.jobs.WaitJob(
        pb.WaitJobRequest(job_id=receipt.job_id, timeout=seconds(wait_s))
    )
    assert not answer.done
    assert answer.job.state == job_pb2.JOB_STATE_QUEUED


async def test_wait_answers_before_the_callers_deadline(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A long way back, for a machine that is slow: it is answered after a tenth of the time.
    monkeypatch.setattr(calls, "_MARGIN", 0.9)
    monkeypatch.setattr(calls, "_MAX_MARGIN_S", 60.0)
    receipt = await rig.submit()
    answer = await rig.jobs.WaitJob(pb.WaitJobRequest(job_id=receipt.job_id), timeout=20)
    assert not answer.done
