"""ScheduleService: what it stores and answers, and what it refuses."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from penstock.broker.schedule_ids import ScheduleIds
from penstock.v1 import job_pb2
from penstock.v1 import job_service_pb2 as jb
from penstock.v1 import schedule_service_pb2 as pb
from tests.server.rig import refusal_of, seconds, spec
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Awaitable, Mapping

    from tests.server.rig import Rig

HOUR = pb.Timing(interval=seconds(3_600))
Options = job_pb2.JobOptions


def definition(**fields: Any) -> pb.ScheduleSpec:  # noqa: ANN401 - the fields of ScheduleSpec.
    """A schedule that is accepted, but for the fields that are given."""
    return pb.ScheduleSpec(**{"timing": HOUR, "job": spec(), **fields})


async def create(rig: Rig, schedule_id: str = "nightly", **fields: Any) -> pb.Schedule:  # noqa: ANN401
    request = pb.CreateScheduleRequest(schedule_id=schedule_id, spec=definition(**fields))
    answer = await rig.schedules.CreateSchedule(request)
    assert answer.created
    return answer.schedule


async def get(rig: Rig, schedule_id: str = "nightly", run_times: int = 0) -> pb.Schedule:
    request = pb.GetScheduleRequest(schedule_id=schedule_id, run_times=run_times)
    return (await rig.schedules.GetSchedule(request)).schedule


async def test_a_definition_is_told_as_it_was_given(rig: Rig) -> None:
    given = definition(
        timing=pb.Timing(
            cron=pb.Cron(expression="0 9 * * MON-FRI", time_zone="Europe/Berlin"),
            end_time=Timestamp(seconds=4_000_000_000),
            jitter=seconds(30),
        ),
        job=spec(queue="reports", options=Options(max_attempts=5, metadata={"b": "2", "a": "1"})),
        overlap=pb.OVERLAP_POLICY_QUEUE,
        catch_up=pb.CatchUp(policy=pb.CatchUp.POLICY_ALL, limit=7, tolerance=seconds(5)),
        note="for the morning",
    )
    request = pb.CreateScheduleRequest(schedule_id="nightly", spec=given)
    created = (await rig.schedules.CreateSchedule(request)).schedule
    assert created.spec == given
    assert (created.version, created.paused, created.last_job_id) == (1, False, "")
    found = await get(rig, run_times=3)
    assert found.spec == given
    assert len(found.next_run_times) == 3
    assert all(t.ToDatetime().weekday() < 5 for t in found.next_run_times)
    again = await rig.schedules.CreateSchedule(request)
    assert not again.created


async def test_an_occurrence_is_a_job_that_knows_it(rig: Rig) -> None:
    timing = pb.Timing(interval=seconds(1))
    await create(rig, timing=timing, overlap=pb.OVERLAP_POLICY_ALLOW)

    async def listed() -> list[job_pb2.Job]:
        return list((await rig.jobs.ListJobs(jb.ListJobsRequest())).jobs)

    await eventually(listed, "it fires", within_s=10)
    await rig.schedules.PauseSchedule(pb.PauseScheduleRequest(schedule_id="nightly"))
    (job, *_) = await listed()
    assert job.schedule_id == "nightly"
    assert job.HasField("occurrence_time")
    assert (await rig.job(job.job_id)).payload.data == b'{"width": 80}'
    schedule = await get(rig)
    assert schedule.paused
    assert schedule.counts.fired == len(await listed())
    assert not schedule.next_run_times


async def test_the_life_of_a_schedule(rig: Rig) -> None:
    stub = rig.schedules
    await create(rig)
    changed = await stub.UpdateSchedule(
        pb.UpdateScheduleRequest(schedule_id="nightly", spec=definition(note="x"), version=1)
    )
    assert (changed.schedule.version, changed.schedule.spec.note) == (2, "x")
    paused = await stub.PauseSchedule(pb.PauseScheduleRequest(schedule_id="nightly"))
    assert paused.schedule.paused
    request = pb.TriggerScheduleRequest(schedule_id="nightly", request_id="r")
    made = (await stub.TriggerSchedule(request)).job
    assert made.outcome == jb.SUBMIT_OUTCOME_CREATED
    assert (await stub.TriggerSchedule(request)).job.outcome == jb.SUBMIT_OUTCOME_REPEATED
    job = await rig.job(made.job_id)
    assert (job.schedule_id, job.HasField("occurrence_time")) == ("nightly", False)
    resumed = await stub.ResumeSchedule(pb.ResumeScheduleRequest(schedule_id="nightly"))
    assert not resumed.schedule.paused
    assert resumed.schedule.last_job_id == made.job_id
    assert resumed.schedule.counts.triggered == 1
    gone = pb.DeleteScheduleRequest(schedule_id="nightly")
    assert (await stub.DeleteSchedule(gone)).deleted
    assert not (await stub.DeleteSchedule(gone)).deleted
    assert (await rig.job(made.job_id)).state == job_pb2.JOB_STATE_QUEUED


async def test_schedules_are_listed_page_by_page_and_by_queue(rig: Rig) -> None:
    await asyncio.gather(*(create(rig, f"s{number}") for number in range(5)))
    await create(rig, "other", job=spec(queue="other"))
    found: list[str] = []
    token = ""
    while not found or token:
        answer = await rig.schedules.ListSchedules(
            pb.ListSchedulesRequest(page_size=2, page_token=token)
        )
        found += [schedule.schedule_id for schedule in answer.schedules]
        assert all(len(schedule.next_run_times) == 1 for schedule in answer.schedules)
        assert not any(schedule.spec.job.payload.data for schedule in answer.schedules)
        token = answer.next_page_token
    assert found == ["other", *(f"s{number}" for number in range(5))]
    answer = await rig.schedules.ListSchedules(pb.ListSchedulesRequest(queue="other"))
    assert [schedule.schedule_id for schedule in answer.schedules] == ["other"]
    refusal = await refusal_of(
        rig.schedules.ListSchedules(pb.ListSchedulesRequest(page_token="nonsense"))
    )
    assert "page_token" in refusal.violations


@pytest.mark.parametrize(
    "timing",
    [
        '{"cron":"0 9 * * *","time_zone":"Atlantis/Poseidonis"}',  # Newer data of time zones.
        '{"cron":"0 9 * * FRI^2","time_zone":"UTC"}',
        '{"cron":"0 9 * * *","time_zone":"UTC","holidays":"DE"}',
        '{"cron":"","interval_ms":0}',
        "RRULE:FREQ=DAILY",
    ],
)
async def test_one_that_a_newer_version_stored_hides_no_others(rig: Rig, timing: str) -> None:
    await create(rig, "a")
    await create(rig, "b", timing=pb.Timing(cron=pb.Cron(expression="0 9 * * *")))
    slot, tail = await ScheduleIds(rig.broker.engine).place("b", "default")
    await rig.broker.link.call("HSET", slot.schedule(tail), "tm", timing)
    page = await rig.schedules.ListSchedules(pb.ListSchedulesRequest())
    assert [
        (each.schedule_id, each.unreadable, len(each.next_run_times)) for each in page.schedules
    ] == [("a", False, 1), ("b", True, 0)]
    found = await get(rig, "b")
    assert (found.unreadable, found.spec.timing.cron.expression) == (True, "0 9 * * *")
    # All that does not go by its timing can be done.
    paused = await rig.schedules.PauseSchedule(pb.PauseScheduleRequest(schedule_id="b"))
    assert paused.schedule.paused
    refusal = await refusal_of(
        rig.schedules.ResumeSchedule(pb.ResumeScheduleRequest(schedule_id="b"))
    )
    assert (refusal.code, refusal.reason) == (
        grpc.StatusCode.FAILED_PRECONDITION,
        "SCHEDULE_UNREADABLE",
    )
    changed = await rig.schedules.UpdateSchedule(
        pb.UpdateScheduleRequest(schedule_id="b", spec=definition(note="now"))
    )
    assert not changed.schedule.unreadable


async def test_damaged_ones_are_left_out_of_a_list(rig: Rig) -> None:
    for name in "abcd":
        await create(rig, name)
    ids, call = ScheduleIds(rig.broker.engine), rig.broker.link.call
    places = [await ids.place(name, "default") for name in "abc"]
    a, b, c = (slot.schedule(tail) for slot, tail in places)
    await call("HDEL", a, "df")
    await call("HSET", b, "v", "seven")
    await call("DEL", c)
    await call("SET", c, "foreign")
    page = await rig.schedules.ListSchedules(pb.ListSchedulesRequest())
    assert [each.schedule_id for each in page.schedules] == ["d"]
    await call("HSET", b, "v", "1", "df", b"\xff")
    page = await rig.schedules.ListSchedules(pb.ListSchedulesRequest())
    assert [(each.schedule_id, each.unreadable) for each in page.schedules] == [
        ("b", True),
        ("d", False),
    ]


async def test_a_full_server_takes_no_job_by_hand(rig: Rig) -> None:
    await create(rig)
    rig.admission.storage_full = True
    request = pb.TriggerScheduleRequest(schedule_id="nightly")
    refusal = await refusal_of(rig.schedules.TriggerSchedule(request))
    assert refusal.code is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert refusal.reason == "STORAGE_FULL"


async def test_a_preview_stores_nothing(rig: Rig) -> None:
    before = await rig.stored()
    timing = pb.Timing(cron=pb.Cron(expression="0 0 29 2 *"))
    answer = await rig.schedules.PreviewSchedule(
        pb.PreviewScheduleRequest(timing=timing, run_times=2)
    )
    first, second = (each.ToDatetime() for each in answer.run_times)
    assert (first.month, first.day) == (second.month, second.day) == (2, 29)
    timing = pb.Timing(interval=seconds(10), end_time=Timestamp(seconds=9_000_000_000))
    answer = await rig.schedules.PreviewSchedule(pb.PreviewScheduleRequest(timing=timing))
    assert len(answer.run_times) == 5
    assert await rig.stored() == before


# Refused.

CRON: list[tuple[Any, str]] = [
    (pb.Cron(expression=""), "cron.expression"),
    (pb.Cron(expression="61 * * * *"), "cron.expression"),
    (pb.Cron(expression="* " * 200), "cron.expression"),
    (pb.Cron(expression="0 0 30 2 *"), "cron.expression"),
    (pb.Cron(expression="* * * * *", time_zone="Europe/Nowhere"), "cron.time_zone"),
    (pb.Cron(expression="* * * * *", time_zone="../../../etc/passwd"), "cron.time_zone"),
    (pb.Cron(expression="* * * * *", time_zone="x" * 100_000), "cron.time_zone"),
]
TIMINGS: list[tuple[pb.Timing, str]] = [
    (pb.Timing(), ""),
    *[(pb.Timing(cron=cron), f".{path}") for cron, path in CRON],
    (pb.Timing(interval=seconds(0.999)), ".interval"),
    (pb.Timing(interval=seconds(-1)), ".interval"),
    (pb.Timing(interval=Duration(seconds=367 * 86_400)), ".interval"),
    (pb.Timing(interval=seconds(60), jitter=seconds(61)), ".jitter"),
    (pb.Timing(interval=seconds(60), jitter=seconds(-1)), ".jitter"),
    (pb.Timing(cron=pb.Cron(expression="* * * * *"), jitter=seconds(90_000)), ".jitter"),
    (pb.Timing(cron=pb.Cron(expression="* * * * * *"), jitter=seconds(36_000)), ".jitter"),
    (pb.Timing(cron=pb.Cron(expression="0 9,12 * * *"), jitter=seconds(10_801)), ".jitter"),
    (pb.Timing(interval=seconds(60), start_time=Timestamp(seconds=2**62)), ".start_time"),
    (
        pb.Timing(
            interval=seconds(60),
            start_time=Timestamp(seconds=4_000_000_000),
            end_time=Timestamp(seconds=3_999_999_999),
        ),
        ".end_time",
    ),
    (pb.Timing(interval=seconds(60), end_time=Timestamp(seconds=1)), ""),
    (
        pb.Timing(
            cron=pb.Cron(expression="0 0 * 2 MON#5"), end_time=Timestamp(seconds=2_000_000_000)
        ),
        "",
    ),
]
SPECS: list[tuple[Mapping[str, Any], str]] = [
    *[({"timing": timing}, f"spec.timing{path}") for timing, path in TIMINGS],
    ({"job": spec(type="")}, "spec.job.type"),
    ({"job": spec(payload=b'{"width": 0}')}, "spec.job.payload.data/width"),
    ({"job": spec(request_id="r")}, "spec.job.request_id"),
    ({"job": spec(options=Options(delay=seconds(1)))}, "spec.job.options.delay"),
    ({"job": spec(options=Options(run_at=Timestamp(seconds=9)))}, "spec.job.options.run_at"),
    (
        {"job": spec(options=Options(deadline=Timestamp(seconds=1_800_000_000)))},
        "spec.job.options.deadline",
    ),
    (
        {"job": spec(options=Options(idempotency_key="k"))},
        "spec.job.options.idempotency_key",
    ),
    (
        {"job": spec(options=Options(cache=job_pb2.CachePolicy(ttl=seconds(9))))},
        "spec.job.options.cache",
    ),
    ({"overlap": 9}, "spec.overlap"),
    ({"catch_up": pb.CatchUp(policy=9)}, "spec.catch_up.policy"),  # type: ignore[arg-type]
    ({"catch_up": pb.CatchUp(limit=1_001)}, "spec.catch_up.limit"),
    ({"catch_up": pb.CatchUp(limit=-1)}, "spec.catch_up.limit"),
    ({"catch_up": pb.CatchUp(tolerance=seconds(0))}, "spec.catch_up.tolerance"),
    ({"note": "x" * 1_025}, "spec.note"),
]


@pytest.mark.parametrize(
    ("fields", "path"),
    [pytest.param(fields, path, id=f"{path}-{n}") for n, (fields, path) in enumerate(SPECS)],
)
async def test_a_bad_definition_is_refused_with_the_field(
    rig: Rig, fields: Mapping[str, Any], path: str
) -> None:
    before = await rig.stored()
    wanted = definition(**fields)
    calls: list[Awaitable[object]] = [
        rig.schedules.CreateSchedule(pb.CreateScheduleRequest(schedule_id="s", spec=wanted)),
        rig.schedules.UpdateSchedule(pb.UpdateScheduleRequest(schedule_id="s", spec=wanted)),
    ]
    if path.startswith("spec.timing"):
        request = pb.PreviewScheduleRequest(timing=wanted.timing)
        calls.append(rig.schedules.PreviewSchedule(request))
    for call in calls:
        refusal = await refusal_of(call)
        assert refusal.code is grpc.StatusCode.INVALID_ARGUMENT
        assert any(path.endswith(field) for field in refusal.violations)
    assert await rig.stored() == before


async def test_the_bound_of_a_jitter_is_told_and_keeps_the_order(rig: Rig) -> None:
    cron = pb.Cron(expression="*/20 * * * * *")
    too_much = pb.Timing(cron=cron, jitter=seconds(20.001))
    refusal = await refusal_of(
        rig.schedules.PreviewSchedule(pb.PreviewScheduleRequest(timing=too_much))
    )
    assert refusal.violations == {
        "timing.jitter": "it must be at most 20 s, "
        "the shortest distance between the next 50 occurrences"
    }
    most = pb.PreviewScheduleRequest(
        timing=pb.Timing(cron=cron, jitter=seconds(20)), schedule_id="s", run_times=100
    )
    answer = await rig.schedules.PreviewSchedule(most)
    times = [each.ToNanoseconds() for each in answer.run_times]
    assert len(times) == 100
    assert times == sorted(times)


async def test_all_that_is_wrong_is_told_at_once(rig: Rig) -> None:
    wanted = pb.ScheduleSpec(
        timing=pb.Timing(cron=pb.Cron(expression="x", time_zone="UTC")),
        job=spec(type="", options=Options(max_attempts=999, delay=seconds(1))),
        catch_up=pb.CatchUp(limit=9_999),
    )
    refusal = await refusal_of(
        rig.schedules.CreateSchedule(pb.CreateScheduleRequest(schedule_id="{}", spec=wanted))
    )
    assert set(refusal.violations) == {
        "schedule_id",
        "spec.timing.cron.expression",
        "spec.job.type",
        "spec.job.options.max_attempts",
        "spec.job.options.delay",
        "spec.catch_up.limit",
    }


@pytest.mark.parametrize("schedule_id", ["", "{", "a b", "x" * 129, "#", "é", "a\n"])
async def test_a_bad_id_is_refused_everywhere(rig: Rig, schedule_id: str) -> None:
    stub = rig.schedules
    named: dict[str, Any] = {"schedule_id": schedule_id}
    for call in (
        stub.CreateSchedule(pb.CreateScheduleRequest(**named, spec=definition())),
        stub.GetSchedule(pb.GetScheduleRequest(**named)),
        stub.UpdateSchedule(pb.UpdateScheduleRequest(**named, spec=definition())),
        stub.PauseSchedule(pb.PauseScheduleRequest(**named)),
        stub.ResumeSchedule(pb.ResumeScheduleRequest(**named)),
        stub.DeleteSchedule(pb.DeleteScheduleRequest(**named)),
        stub.TriggerSchedule(pb.TriggerScheduleRequest(**named)),
    ):
        refusal = await refusal_of(call)
        assert refusal.code is grpc.StatusCode.INVALID_ARGUMENT
        assert "schedule_id" in refusal.violations


async def test_what_is_not_there_is_not_found(rig: Rig) -> None:
    stub = rig.schedules
    for call in (
        stub.GetSchedule(pb.GetScheduleRequest(schedule_id="no")),
        stub.UpdateSchedule(pb.UpdateScheduleRequest(schedule_id="no", spec=definition())),
        stub.PauseSchedule(pb.PauseScheduleRequest(schedule_id="no")),
        stub.ResumeSchedule(pb.ResumeScheduleRequest(schedule_id="no")),
        stub.TriggerSchedule(pb.TriggerScheduleRequest(schedule_id="no")),
    ):
        refusal = await refusal_of(call)
        assert refusal.code is grpc.StatusCode.NOT_FOUND
        assert refusal.reason == "SCHEDULE_NOT_FOUND"
        assert refusal.details["ResourceInfo"].resource_type == "penstock.v1.Schedule"  # type: ignore[attr-defined]


async def test_states_of_things_that_do_not_allow_it(rig: Rig) -> None:
    stub = rig.schedules
    await create(rig)
    other = definition(note="another")
    refusal = await refusal_of(
        stub.CreateSchedule(pb.CreateScheduleRequest(schedule_id="nightly", spec=other))
    )
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.ALREADY_EXISTS, "SCHEDULE_EXISTS")
    refusal = await refusal_of(
        stub.UpdateSchedule(pb.UpdateScheduleRequest(schedule_id="nightly", spec=other, version=9))
    )
    assert (refusal.code, refusal.reason) == (
        grpc.StatusCode.FAILED_PRECONDITION,
        "VERSION_CHANGED",
    )
    moved = definition(job=spec(queue="elsewhere"))
    refusal = await refusal_of(
        stub.UpdateSchedule(pb.UpdateScheduleRequest(schedule_id="nightly", spec=moved))
    )
    assert refusal.reason == "QUEUE_FIXED"
    unknown = definition(job=spec(type="nobody.knows"))
    refusal = await refusal_of(
        stub.CreateSchedule(pb.CreateScheduleRequest(schedule_id="s", spec=unknown))
    )
    assert refusal.code is grpc.StatusCode.FAILED_PRECONDITION
    unknown.job.options.allow_unregistered = True
    request = pb.CreateScheduleRequest(schedule_id="s", spec=unknown)
    assert (await stub.CreateSchedule(request)).created
