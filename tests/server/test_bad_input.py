"""Bad input: each a clear status with details, and nothing stored."""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from penstock.v1 import cache_service_pb2 as cb
from penstock.v1 import job_pb2
from penstock.v1 import job_service_pb2 as pb
from penstock.v1 import queue_service_pb2 as qb
from tests.server.rig import next_of, refusal_of, rig_on, seconds, spec

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tests.server.rig import Rig

Options = job_pb2.JobOptions
Backoff = job_pb2.Backoff
Cache = job_pb2.CachePolicy
Target = cb.CacheTarget
Entry = cb.CacheEntry
NO_JOB = "00" + "0" * 34

NAMES = [
    "{",
    "}",
    "{default}",
    "*",
    "a*",
    "a\0b",
    "\0",
    " ",
    "a b",
    "a\n",
    ".a",
    "a.",
    "-",
    "a/b",
    "ä",
    "a:b",
    "x" * 1_000_000,
]

SPECS: list[tuple[dict[str, Any], str]] = [
    ({"type": ""}, "job.type"),
    ({"type": "x" * 129}, "job.type"),
    ({"queue": "x" * 65}, "job.queue"),
    *[({"type": name}, "job.type") for name in NAMES],
    *[({"queue": name}, "job.queue") for name in NAMES],
    ({"request_id": "x" * 129}, "job.request_id"),
    ({"request_id": "a\nb"}, "job.request_id"),
    ({"request_id": "ä"}, "job.request_id"),
    ({"payload": b'"' + b"x" * 1_048_576 + b'"'}, "job.payload.data"),
    ({"payload": b"{"}, "job.payload.data"),
    ({"payload": b'{"width": NaN}'}, "job.payload.data"),
    ({"payload": b'{"width":' + b"[" * 65 + b"]" * 65 + b"}"}, "job.payload.data"),
    ({"payload": b"[" * 500_000}, "job.payload.data"),
    ({"payload": b'"\xff"'}, "job.payload.data"),
    (
        {"payload": job_pb2.Content(data=b"x", content_type="x" * 65)},
        "job.payload.content_type",
    ),
    ({"payload": job_pb2.Content(data=b"x", content_type="json")}, "job.payload.content_type"),
    ({"payload": job_pb2.Content(data=b"x", content_type="a/b\n")}, "job.payload.content_type"),
]

TTL = Cache(ttl=seconds(60))


def cached(**policy: Any) -> job_pb2.JobOptions:  # noqa: ANN401 - of CachePolicy.
    """Options with a cache policy that has a ttl."""
    return Options(cache=Cache(ttl=seconds(60), **policy))


OPTIONS: list[tuple[job_pb2.JobOptions, str]] = [
    (Options(priority=4), "priority"),  # type: ignore[arg-type]
    (Options(priority=-1), "priority"),  # type: ignore[arg-type]
    (Options(delay=seconds(-1)), "delay"),
    (Options(delay=Duration(seconds=0, nanos=-1)), "delay"),
    (Options(delay=Duration(seconds=1, nanos=-1)), "delay"),
    (Options(delay=Duration(seconds=1, nanos=1_000_000_000)), "delay"),
    (Options(delay=Duration(seconds=366 * 86_400, nanos=1)), "delay"),
    (Options(delay=Duration(seconds=2**62)), "delay"),
    (Options(run_at=Timestamp(seconds=2**62)), "run_at"),
    (Options(run_at=Timestamp(seconds=-(2**62))), "run_at"),
    (Options(run_at=Timestamp(seconds=0, nanos=-1)), "run_at"),
    (Options(run_at=Timestamp(seconds=253_402_300_799)), "run_at"),
    (Options(expires_in=seconds(0)), "expires_in"),
    (Options(expires_in=seconds(-1)), "expires_in"),
    (Options(expires_in=seconds(367 * 86_400)), "expires_in"),
    (Options(deadline=Timestamp(nanos=2_000_000_000)), "deadline"),
    (Options(max_attempts=-1), "max_attempts"),
    (Options(max_attempts=101), "max_attempts"),
    (Options(backoff=Backoff(initial=seconds(-1))), "backoff.initial"),
    (Options(backoff=Backoff(max=seconds(86_401))), "backoff.max"),
    (Options(backoff=Backoff(multiplier=0.5)), "backoff.multiplier"),
    (Options(backoff=Backoff(multiplier=-1)), "backoff.multiplier"),
    (Options(backoff=Backoff(multiplier=math.nan)), "backoff.multiplier"),
    (Options(backoff=Backoff(multiplier=math.inf)), "backoff.multiplier"),
    (Options(backoff=Backoff(jitter=1.1)), "backoff.jitter"),
    (Options(backoff=Backoff(jitter=math.nan)), "backoff.jitter"),
    (Options(timeout=seconds(0)), "timeout"),
    (Options(timeout=seconds(86_401)), "timeout"),
    (Options(retention=seconds(0.5)), "retention"),
    (Options(retention=seconds(-5)), "retention"),
    (Options(idempotency_key="x" * 257), "idempotency_key"),
    (Options(idempotency_key="a\0"), "idempotency_key"),
    (Options(metadata={str(i): "" for i in range(33)}), "metadata"),
    (Options(metadata={"a": "x" * 4_096}), "metadata"),
    (Options(metadata={"": "x"}), "metadata"),
    (Options(metadata={"a\n": "x"}), "metadata"),
    (Options(cache=Cache()), "cache.ttl"),
    (Options(cache=Cache(ttl=seconds(0.999))), "cache.ttl"),
    (Options(cache=Cache(ttl=seconds(-1))), "cache.ttl"),
    (Options(cache=Cache(ttl=seconds(367 * 86_400))), "cache.ttl"),
    (cached(key="x" * 257), "cache.key"),
    (cached(key="a\0"), "cache.key"),
    (cached(tags=[str(i) for i in range(17)]), "cache.tags"),
    (cached(tags=["a", ""]), "cache.tags[1]"),
    (cached(tags=["x" * 129]), "cache.tags[0]"),
    (cached(tags=["a", "b", "c\n"]), "cache.tags[2]"),
    (cached(skip_cache=True, do_not_cache=True), "cache.do_not_cache"),
    (Options(cache=TTL, idempotency_key="k"), "idempotency_key"),
    (Options(cache=TTL, delay=seconds(1)), "delay"),
    (Options(cache=TTL, run_at=Timestamp(seconds=1)), "run_at"),
]

SUBMITS = [
    *[pytest.param(fields, path, id=f"{path}-{n}") for n, (fields, path) in enumerate(SPECS)],
    *[
        pytest.param({"options": options}, f"job.options.{path}", id=f"{path}-{n}")
        for n, (options, path) in enumerate(OPTIONS)
    ],
]

INVALIDATE = cb.InvalidateCacheRequest
TARGETS: list[tuple[cb.CacheTarget, str]] = [
    (Target(), ""),
    (Target(type=""), ".type"),
    (Target(type="*"), ".type"),
    (Target(tag=""), ".tag"),
    (Target(tag="x" * 129), ".tag"),
    (Target(tag="a\0"), ".tag"),
    (Target(entry=Entry(key="k")), ".entry.type"),
    (Target(entry=Entry(type="t")), ".entry"),
    (Target(entry=Entry(type="t", key="")), ".entry.key"),
    (Target(entry=Entry(type="t", key="x" * 257)), ".entry.key"),
    (Target(entry=Entry(type="t", payload=job_pb2.Content(data=b"{"))), ".entry.payload.data"),
]


async def invalidate(target: cb.CacheTarget, rig: Rig) -> object:
    return await rig.cache.InvalidateCache(INVALIDATE(targets=[target]))


REQUESTS: list[tuple[str, Callable[[Rig], Awaitable[object]], str]] = [
    ("id", lambda rig: rig.jobs.GetStatus(pb.GetStatusRequest(job_id="{*}")), "job_id"),
    ("no id", lambda rig: rig.jobs.GetStatus(pb.GetStatusRequest()), "job_id"),
    ("long id", lambda rig: rig.jobs.GetStatus(pb.GetStatusRequest(job_id="0" * 9_999)), "job_id"),
    ("cancel", lambda rig: rig.jobs.CancelJob(pb.CancelJobRequest(job_id="x")), "job_id"),
    (
        "reason",
        lambda rig: rig.jobs.CancelJob(pb.CancelJobRequest(job_id=NO_JOB, reason="x" * 1_025)),
        "reason",
    ),
    ("retry", lambda rig: rig.jobs.RetryJob(pb.RetryJobRequest(job_id="x")), "job_id"),
    (
        "retry id",
        lambda rig: rig.jobs.RetryJob(pb.RetryJobRequest(job_id=NO_JOB, request_id="\t")),
        "request_id",
    ),
    (
        "wait",
        lambda rig: rig.jobs.WaitJob(pb.WaitJobRequest(job_id=NO_JOB, timeout=seconds(301))),
        "timeout",
    ),
    (
        "negative wait",
        lambda rig: rig.jobs.WaitJob(pb.WaitJobRequest(job_id=NO_JOB, timeout=seconds(-1))),
        "timeout",
    ),
    ("stream", lambda rig: next_of(rig.stream("x")), "job_id"),
    ("cursor", lambda rig: next_of(rig.stream(NO_JOB, -1)), "after_sequence"),
    ("list", lambda rig: rig.jobs.ListJobs(pb.ListJobsRequest(queue="{")), "queue"),
    ("list type", lambda rig: rig.jobs.ListJobs(pb.ListJobsRequest(type="*")), "type"),
    ("state", lambda rig: rig.jobs.ListJobs(pb.ListJobsRequest(states=[99])), "states[0]"),  # type: ignore[list-item]
    ("state 0", lambda rig: rig.jobs.ListJobs(pb.ListJobsRequest(states=[0])), "states[0]"),  # type: ignore[list-item]
    ("page", lambda rig: rig.jobs.ListJobs(pb.ListJobsRequest(page_size=1_001)), "page_size"),
    ("page < 0", lambda rig: rig.jobs.ListJobs(pb.ListJobsRequest(page_size=-1)), "page_size"),
    ("token", lambda rig: rig.jobs.ListJobs(pb.ListJobsRequest(page_token="0:")), "page_token"),
    ("token ä", lambda rig: rig.jobs.ListJobs(pb.ListJobsRequest(page_token="ä")), "page_token"),
    (
        "stats",
        lambda rig: rig.queues.GetQueueStats(qb.GetQueueStatsRequest(queue="a b")),
        "queue",
    ),
    ("pause", lambda rig: rig.queues.PauseQueue(qb.PauseQueueRequest(queue="*")), "queue"),
    ("resume", lambda rig: rig.queues.ResumeQueue(qb.ResumeQueueRequest(queue="*")), "queue"),
    ("purge", lambda rig: rig.queues.PurgeQueue(qb.PurgeQueueRequest()), "queue"),
    (
        "redrive",
        lambda rig: rig.queues.RedriveDeadLetters(qb.RedriveDeadLettersRequest()),
        "queue",
    ),
    (
        "redrive type",
        lambda rig: rig.queues.RedriveDeadLetters(
            qb.RedriveDeadLettersRequest(queue="q", type="{}")
        ),
        "type",
    ),
    *[
        (f"target-{path}-{number}", partial(invalidate, target), f"targets[0]{path}")
        for number, (target, path) in enumerate(TARGETS)
    ],
    ("no targets", lambda rig: rig.cache.InvalidateCache(INVALIDATE()), "targets"),
    (
        "many targets",
        lambda rig: rig.cache.InvalidateCache(INVALIDATE(targets=[Target(tag="t")] * 1_001)),
        "targets",
    ),
    ("workers", lambda rig: rig.queues.ListWorkers(qb.ListWorkersRequest(queue="\0")), "queue"),
]


@pytest.mark.parametrize(("fields", "path"), SUBMITS)
async def test_a_bad_submit_is_refused_and_leaves_nothing(
    rig: Rig, fields: dict[str, Any], path: str
) -> None:
    before = await rig.stored()
    refusal = await refusal_of(rig.jobs.SubmitJob(pb.SubmitJobRequest(job=spec(**fields))))
    assert refusal.code is grpc.StatusCode.INVALID_ARGUMENT
    assert any(field == path or field.startswith(f"{path}/") for field in refusal.violations)
    assert refusal.reason == "INVALID_ARGUMENT"
    assert await rig.stored() == before


@pytest.mark.parametrize(("call", "path"), [pytest.param(c, p, id=n) for n, c, p in REQUESTS])
async def test_a_bad_request_is_refused_and_leaves_nothing(
    rig: Rig, call: Callable[[Rig], Awaitable[object]], path: str
) -> None:
    await rig.submit()
    before = await rig.stored()
    refusal = await refusal_of(call(rig))
    assert refusal.code is grpc.StatusCode.INVALID_ARGUMENT
    assert path in refusal.violations
    assert await rig.stored() == before


async def test_all_violations_are_told_at_once(rig: Rig) -> None:
    options = Options(delay=seconds(-1), max_attempts=-1, retention=seconds(0))
    request = pb.SubmitJobRequest(job=spec(type="", queue="*", options=options))
    refusal = await refusal_of(rig.jobs.SubmitJob(request))
    assert set(refusal.violations) == {
        "job.type",
        "job.queue",
        "job.options.delay",
        "job.options.max_attempts",
        "job.options.retention",
    }


async def test_an_empty_request_is_refused(rig: Rig) -> None:
    refusal = await refusal_of(rig.jobs.SubmitJob(pb.SubmitJobRequest()))
    assert "job.type" in refusal.violations


async def test_bytes_that_are_no_message_are_refused(rig: Rig) -> None:
    raw: Any = rig.channel.unary_unary("/penstock.v1.JobService/SubmitJob")
    refusal = await refusal_of(raw(b"\xff\xff\xff"))
    assert refusal.code is grpc.StatusCode.INVALID_ARGUMENT
    assert refusal.violations == {"": "the request is not a message of the method's type"}


async def test_a_message_over_the_limit_is_refused(rig: Rig) -> None:
    jobs = [spec(payload=b'{"width": 1, "name": "%s"}' % (b"x" * 1_000_000))] * 5
    refusal = await refusal_of(rig.jobs.SubmitJobs(pb.SubmitJobsRequest(jobs=jobs)))
    assert refusal.code is grpc.StatusCode.RESOURCE_EXHAUSTED


@pytest.mark.parametrize("job_id", [NO_JOB, "zz" + "z" * 34])
async def test_an_id_that_names_no_job_is_not_found(rig: Rig, job_id: str) -> None:
    calls: list[Awaitable[Any]] = [
        rig.jobs.GetStatus(pb.GetStatusRequest(job_id=job_id)),
        rig.jobs.WaitJob(pb.WaitJobRequest(job_id=job_id)),
        rig.jobs.CancelJob(pb.CancelJobRequest(job_id=job_id)),
        rig.jobs.RetryJob(pb.RetryJobRequest(job_id=job_id)),
        next_of(rig.stream(job_id)),
    ]
    for call in calls:
        refusal = await refusal_of(call)
        assert refusal.code is grpc.StatusCode.NOT_FOUND
        assert refusal.reason == "JOB_NOT_FOUND"
        assert "ResourceInfo" in refusal.details


async def test_a_queue_that_nobody_used_is_not_found(rig: Rig) -> None:
    calls: list[Awaitable[Any]] = [
        rig.queues.GetQueueStats(qb.GetQueueStatsRequest(queue="nobodys")),
        rig.queues.PauseQueue(qb.PauseQueueRequest(queue="nobodys")),
        rig.queues.PurgeQueue(qb.PurgeQueueRequest(queue="nobodys")),
        rig.jobs.ListJobs(pb.ListJobsRequest(queue="nobodys")),
    ]
    for call in calls:
        refusal = await refusal_of(call)
        assert refusal.code is grpc.StatusCode.NOT_FOUND
        assert refusal.reason == "QUEUE_NOT_FOUND"


async def test_a_cursor_from_the_future_is_out_of_range(rig: Rig) -> None:
    receipt = await rig.submit()
    for cursor in (2, 2**63 - 1):
        refusal = await refusal_of(next_of(rig.stream(receipt.job_id, cursor)))
        assert refusal.code is grpc.StatusCode.OUT_OF_RANGE
        assert refusal.facts["last_sequence"] == "1"


async def test_a_job_of_another_namespace_is_not_found(rig: Rig, redis_url: str) -> None:
    job_id = (await rig.submit()).job_id
    async with rig_on(redis_url, namespace="other") as other:
        calls: list[Awaitable[Any]] = [
            other.jobs.GetStatus(pb.GetStatusRequest(job_id=job_id)),
            other.jobs.CancelJob(pb.CancelJobRequest(job_id=job_id)),
            next_of(other.stream(job_id)),
        ]
        for call in calls:
            assert (await refusal_of(call)).code is grpc.StatusCode.NOT_FOUND
    assert (await rig.job(job_id)).state == job_pb2.JOB_STATE_QUEUED


@pytest.mark.parametrize("batch", [False, True])
async def test_a_deadline_that_has_passed_makes_no_queue(rig: Rig, *, batch: bool) -> None:
    before = await rig.stored()
    late = spec(queue="fresh", options=Options(deadline=Timestamp(seconds=1_700_000_000)))
    if batch:
        (result,) = (await rig.jobs.SubmitJobs(pb.SubmitJobsRequest(jobs=[late]))).results
        assert result.error.code == grpc.StatusCode.INVALID_ARGUMENT.value[0]
    else:
        refusal = await refusal_of(rig.jobs.SubmitJob(pb.SubmitJobRequest(job=late)))
        assert refusal.violations == {"job.options.deadline": "it has passed already"}
    assert await rig.stored() == before
    names = [queue.name for queue in (await rig.queues.ListQueues(qb.ListQueuesRequest())).queues]
    assert "fresh" not in names
