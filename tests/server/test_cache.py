"""The result cache over gRPC: outcomes, what a hit shows, invalidation, and what is counted."""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING, Any

import pytest

from penstock.v1 import cache_service_pb2 as cb
from penstock.v1 import job_pb2
from penstock.v1 import job_service_pb2 as pb
from penstock.v1 import queue_service_pb2 as qb
from tests.server.rig import rest_of, rig_on, seconds, spec

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.server.rig import Rig

CREATED, REPEATED = pb.SUBMIT_OUTCOME_CREATED, pb.SUBMIT_OUTCOME_REPEATED
JOINED, CACHED = pb.SUBMIT_OUTCOME_JOINED, pb.SUBMIT_OUTCOME_CACHED
SUBMITS = 1_000


def cached(**fields: Any) -> dict[str, Any]:  # noqa: ANN401 - of CachePolicy, and retention.
    """The options of a submit with a cache policy."""
    retention = fields.pop("retention", None)
    policy = job_pb2.CachePolicy(**{"ttl": seconds(60), **fields})
    return {"options": job_pb2.JobOptions(cache=policy, retention=retention)}


async def invalidate(rig: Rig, *targets: cb.CacheTarget) -> cb.InvalidateCacheResponse:
    return await rig.cache.InvalidateCache(cb.InvalidateCacheRequest(targets=targets))


async def counts(rig: Rig) -> tuple[int, int, int]:
    """Hits, misses and joins of the default queue."""
    stats = (await rig.queues.GetQueueStats(qb.GetQueueStatsRequest())).stats
    return stats.cache_hits, stats.cache_misses, stats.cache_joined


async def test_equal_submits_join_and_are_answered(
    rig: Rig, capsys: pytest.CaptureFixture[str]
) -> None:
    first = await rig.submit(payload=b'{"width": 80, "name": "a"}', **cached())
    joined = await rig.submit(payload=b' {"name":"a" , "width":80}', **cached())
    assert [first.outcome, joined.outcome] == [CREATED, JOINED]
    assert joined.job_id == first.job_id
    await rig.complete(await rig.claim(), b'{"url": "x"}')

    hit = await rig.submit(payload=b'{"name": "a", "width": 80}', **cached(retention=seconds(5)))
    assert (hit.outcome, hit.state) == (CACHED, job_pb2.JOB_STATE_SUCCEEDED)
    assert hit.result.data == b'{"url": "x"}'
    assert not joined.HasField("result")
    job = await rig.job(hit.job_id)
    assert (job.cached_from, job.result.data) == (first.job_id, b'{"url": "x"}')
    assert (job.retention, job.attempt, job.HasField("start_time")) == (seconds(5), 0, False)
    messages = await rest_of(rig.stream(hit.job_id))
    assert [message.WhichOneof("event") for message in messages] == ["snapshot", "state_change"]
    assert messages[-1].state_change.job.result.data == b'{"url": "x"}'
    waited = await rig.jobs.WaitJob(pb.WaitJobRequest(job_id=hit.job_id))
    assert waited.done

    skipped = await rig.submit(**cached(skip_cache=True))
    assert skipped.outcome == CREATED
    assert await counts(rig) == (1, 1, 1)
    logged = re.findall(r"outcome=(\w+)", "".join(capsys.readouterr()))
    assert logged == ["miss", "joined", "hit", "skipped"]


async def test_a_thousand_equal_submits_at_once_run_one_job(redis_url: str) -> None:
    async with rig_on(redis_url) as rig, rig_on(redis_url) as other:
        gateways = [rig, other]
        receipts = await asyncio.gather(
            *(gateways[number % 2].submit(**cached()) for number in range(SUBMITS))
        )
        await rig.complete(await rig.claim())
        jobs = await asyncio.gather(
            *(
                gateways[number % 2].jobs.WaitJob(pb.WaitJobRequest(job_id=receipt.job_id))
                for number, receipt in enumerate(receipts)
            )
        )
        assert {answer.job.result.data for answer in jobs} == {b'"done"'}
        stats = (await rig.queues.GetQueueStats(qb.GetQueueStatsRequest())).stats
        assert (stats.submitted, stats.succeeded) == (1, 1)
        assert await counts(rig) == (0, 1, SUBMITS - 1)


async def test_a_batch_uses_the_cache_item_by_item(rig: Rig) -> None:
    specs = [spec(**cached()), spec(**cached()), spec(**cached(key="other")), spec()]
    answer = await rig.jobs.SubmitJobs(pb.SubmitJobsRequest(jobs=specs))
    outcomes = [result.job.outcome for result in answer.results]
    assert outcomes == [CREATED, JOINED, CREATED, CREATED]


async def test_a_watch_of_a_hit_begins_and_ends_with_its_result(rig: Rig) -> None:
    await rig.submit(**cached())
    await rig.complete(await rig.claim())
    request = pb.SubmitAndWatchRequest(job=spec(**cached()))
    receipt, *events = await rest_of(rig.jobs.SubmitAndWatch(request))
    assert receipt.job.outcome == CACHED
    assert events[-1].event.state_change.job.result.data == b'"done"'


async def test_a_repeated_call_is_answered_with_its_own_job(rig: Rig) -> None:
    first = await rig.submit(request_id="a", **cached())
    await rig.complete(await rig.claim())
    hit = await rig.submit(request_id="b", **cached())
    for request_id, receipt in (("a", first), ("b", hit)):
        again = await rig.submit(request_id=request_id, **cached())
        assert (again.outcome, again.job_id) == (REPEATED, receipt.job_id)


TARGETS: Mapping[str, cb.CacheTarget] = {
    "type": cb.CacheTarget(type="image.resize"),
    "tag": cb.CacheTarget(tag="images"),
    "payload": cb.CacheTarget(
        entry=cb.CacheEntry(type="image.resize", payload=job_pb2.Content(data=b'{ "width" : 80 }'))
    ),
}


@pytest.mark.parametrize("name", TARGETS)
async def test_an_invalidation_is_seen_by_the_next_submit_at_any_gateway(
    redis_url: str, name: str
) -> None:
    async with rig_on(redis_url) as rig, rig_on(redis_url) as other:
        policy = cached(tags=["images", "all", "images"])
        first = await rig.submit(**policy)
        await rig.complete(await rig.claim())
        assert (await other.submit(**policy)).outcome == CACHED
        answer = await invalidate(rig, TARGETS[name])
        assert answer.durability == (await other.submit()).durability
        await other.jobs.CancelJob(pb.CancelJobRequest(job_id=(await other.submit()).job_id))
        again = await other.submit(**policy)
        assert (again.outcome, again.job_id == first.job_id) == (CREATED, False)


async def test_one_key_is_forgotten_and_another_is_not(rig: Rig) -> None:
    for key in ("a", "b"):
        await rig.submit(**cached(key=key))
    entry = cb.CacheEntry(type="image.resize", key="a")
    await invalidate(rig, cb.CacheTarget(entry=entry), cb.CacheTarget(tag="nothing"))
    outcomes = [(await rig.submit(**cached(key=key))).outcome for key in ("a", "b")]
    assert outcomes == [CREATED, JOINED]


async def test_a_large_payload_is_its_own_key(rig: Rig) -> None:
    await rig.register({}, "bulk")
    large = b"[" + b"1, " * 100_000 + b"1]"
    await rig.submit(type="bulk", payload=large, **cached())
    dense = large.replace(b" ", b"")
    assert (await rig.submit(type="bulk", payload=dense, **cached())).outcome == JOINED
    payload = job_pb2.Content(data=dense)
    await invalidate(rig, cb.CacheTarget(entry=cb.CacheEntry(type="bulk", payload=payload)))
    assert (await rig.submit(type="bulk", payload=large, **cached())).outcome == CREATED


async def test_no_payload_is_a_payload_too(rig: Rig) -> None:
    await rig.register({}, "plain")
    nothing = job_pb2.Content()
    await rig.submit(type="plain", payload=nothing, **cached())
    again = await rig.submit(type="plain", payload=b"null", **cached())
    assert again.outcome == JOINED
    await invalidate(
        rig, cb.CacheTarget(entry=cb.CacheEntry(type="plain", payload=job_pb2.Content()))
    )
    assert (await rig.submit(type="plain", payload=nothing, **cached())).outcome == CREATED


@pytest.mark.parametrize(
    ("size", "told"), [(64, True), (65, True), (65_536, True), (65_537, False)]
)
async def test_a_receipt_tells_a_short_result_along(rig: Rig, size: int, *, told: bool) -> None:
    await rig.submit(**cached())
    await rig.complete(await rig.claim(), b"x" * size)
    hit = await rig.submit(**cached())
    assert hit.outcome == CACHED
    assert hit.HasField("result") is told
    assert hit.result.data == b"x" * size * told
    assert (await rig.job(hit.job_id)).result.data == b"x" * size


async def test_the_receipts_of_a_batch_tell_no_results(rig: Rig) -> None:
    await rig.submit(**cached())
    await rig.complete(await rig.claim(), b"1")
    item = spec(**cached())
    (answer,) = (await rig.jobs.SubmitJobs(pb.SubmitJobsRequest(jobs=[item]))).results
    assert answer.job.outcome == CACHED
    assert not answer.job.HasField("result")
