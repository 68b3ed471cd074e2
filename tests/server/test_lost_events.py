"""The server lost its newest writes, as one that syncs every second does when its power fails."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, cast

import grpc
import pytest

from penstock.broker import LogLine, Progress
from penstock.server import streaming
from penstock.server.errors import SlowReader
from penstock.v1 import job_service_pb2 as pb
from tests.server.rig import next_of, refusal_of, rest_of, rig_on
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Mapping

    from penstock.broker import Grant
    from tests.server.rig import Rig

LINE = LogLine("info", "hi", 1)


async def kept(rig: Rig, job_id: str) -> Mapping[bytes, bytes | None]:
    """The job's record and log as they stand: what the server would still have."""
    slot, tail, _ = await rig.broker.engine.locate(job_id)
    keys = [slot.record(tail), slot.log(tail)]
    return {key: cast("bytes | None", await rig.broker.link.call("DUMP", key)) for key in keys}


async def lose(rig: Rig, job_id: str, left: Mapping[bytes, bytes | None]) -> None:
    """Whatever was written since `kept` is gone; those who watch are woken."""
    call = rig.broker.link.call
    slot, tail, _ = await rig.broker.engine.locate(job_id)
    for key, value in left.items():
        if value is None:
            await call("DEL", key)
        else:  # At once: a job without a record would be NOT_FOUND.
            await call("RESTORE", key, 0, value, "REPLACE")
    await call("SPUBLISH", slot.channel(tail), 1)


async def started(rig: Rig) -> tuple[str, Grant]:
    job_id = (await rig.submit()).job_id
    grant = await rig.claim()
    await rig.report(grant, Progress(1, 2))
    return job_id, grant


async def waited_for(rig: Rig, job_id: str) -> grpc.aio.UnaryUnaryCall[object, pb.WaitJobResponse]:
    """A wait whose reader is fed."""
    call = rig.jobs.WaitJob(pb.WaitJobRequest(job_id=job_id))
    hub = rig.hub
    await eventually(
        lambda: any(feed._task is not None for feed in hub._feeds.values()), "the wait has begun"
    )
    return cast("grpc.aio.UnaryUnaryCall[object, pb.WaitJobResponse]", call)


async def test_a_wait_goes_on_from_where_the_job_stands(rig: Rig) -> None:
    job_id, grant = await started(rig)
    left = await kept(rig, job_id)
    await rig.report(grant, LINE, LINE)
    call = await waited_for(rig, job_id)
    [feed] = rig.hub._feeds.values()
    await lose(rig, job_id, left)
    await eventually(lambda: feed.error, "the loss is noticed")
    assert not call.done()
    await rig.complete(grant)
    answer = await call
    assert answer.done
    assert answer.job.result.data == b'"done"'


async def test_a_wait_hears_of_an_end_that_has_the_number_of_a_lost_event(rig: Rig) -> None:
    job_id, grant = await started(rig)
    left = await kept(rig, job_id)
    await rig.report(grant, LINE)
    call = await waited_for(rig, job_id)
    await lose(rig, job_id, left)
    await rig.complete(grant)
    assert (await call).done


async def test_a_stream_is_told_that_its_cursor_stands_for_nothing(rig: Rig) -> None:
    job_id, grant = await started(rig)
    left = await kept(rig, job_id)
    await rig.report(grant, LINE)
    call = rig.stream(job_id)
    while (await next_of(call)).last_sequence < 4:
        pass
    await lose(rig, job_id, left)
    await rig.complete(grant)
    refusal = await refusal_of(rest_of(call))
    assert refusal.code is grpc.StatusCode.OUT_OF_RANGE
    assert refusal.facts["last_sequence"] in {"3", "4"}


async def test_a_receipt_that_is_not_taken_is_given_up(
    redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streaming, "COME_BACK_S", 0.1)
    async with rig_on(redis_url, stream_stall_s=0.1) as rig:
        never = asyncio.Event()
        with pytest.raises(SlowReader):
            await rig.gateway._streams.deliver(never.wait())
