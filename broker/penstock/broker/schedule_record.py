"""How a schedule is written into its hash, and read back.

===== ==========================================================================================
field meaning (a missing field is its default)
===== ==========================================================================================
id    schedule id
q     queue of its jobs
cl    claim on the id that it was stored under; part of the ids of its jobs
v     version
h     digest of definition and payload
df    definition without payload, as whoever stored it wants to read it back
tm po timing as JSON; policy: overlap, catch-up, limit, tolerance (ms)
c u   created; updated (ms)
ps    present if it is paused
nx    occurrence that it waits for (ms)
lt    last attended to: an occurrence fired, was left out or was held up (ms)
lj lr tail of the last job; when it was made (ms)
lo    tail of the job of the last occurrence that fired
nf nt fired; triggered
ns nm skipped; missed
j.*   template: fields of the record of its jobs (see record.py), all that is not left open
jh jp digest of type and payload; priority, unless it is left open
je jl expires in (ms); payload too long for the record
===== ==========================================================================================
"""

from __future__ import annotations

from dataclasses import replace
from hashlib import blake2b
from typing import TYPE_CHECKING

from penstock.broker.new_job import NewJob
from penstock.broker.record import INLINE_BYTES, digest_of, encode_backoff, encode_new
from penstock.broker.schedule import CatchUp, Overlap, Schedule, SchedulePolicy
from penstock.broker.timing import Timing, read_timing_or_none, write_timing

if TYPE_CHECKING:
    from collections.abc import Sequence

    from penstock.broker.keys import Slot
    from penstock.broker.pipeline import Arg
    from penstock.broker.policies import Policies
    from penstock.broker.record import Fields
    from penstock.broker.schedule import NewSchedule


def definition_digest(schedule: NewSchedule) -> bytes:
    """16 bytes that tell whether two schedules are defined alike."""
    hashed = blake2b(digest_size=16)
    for part in (schedule.definition, schedule.job.payload.data):
        hashed.update(len(part).to_bytes(4, "big"))
        hashed.update(part)
    return hashed.digest()


def encode_definition(schedule: NewSchedule, timing: Timing) -> list[Arg]:
    """The fields that a definition decides: name, value, name, value, ..."""
    job = schedule.job
    fields: list[Arg] = ["id", schedule.schedule_id, "q", job.queue, "tm", write_timing(timing)]
    fields += ("po", _write_policy(schedule.policy), "df", schedule.definition)
    template = _pairs(encode_new(replace(job, schedule_id=schedule.schedule_id)))
    for name, value in (_given(job) | template).items():
        fields += (f"j.{name}", value)
    fields += ("jh", digest_of(job))
    if job.priority is not None:
        fields += ("jp", job.priority.value)
    if job.expires_in_ms is not None:
        fields += ("je", job.expires_in_ms)
    if len(job.payload.data) > INLINE_BYTES:
        fields += ("jl", job.payload.data)
    return fields


def encode_defaults(policies: Policies, queue: str, job_type: str) -> list[Arg]:
    """What a policy says of a job where its template leaves something open: name, value, ..."""
    job = NewJob(job_type, queue, "")
    filled = policies.fill(job)
    if filled is job:
        return []
    decided = _pairs(encode_new(filled))
    fields: list[Arg] = []
    for name in decided.keys() - _pairs(encode_new(job)).keys():
        fields += (name, decided[name])
    if filled.priority is not None:
        fields += ("pr", filled.priority.value)
    return fields


def _pairs(flat: Sequence[bytes | str | int]) -> dict[str, Arg]:
    return dict(zip(map(str, flat[::2]), flat[1::2], strict=True))


def _given(job: NewJob) -> dict[str, Arg]:
    """What was given, and is left out of records where it is the default: a policy differs."""
    given: dict[str, Arg] = {}
    if job.max_attempts is not None:
        given["m"] = job.max_attempts
    if job.backoff is not None:
        given["bo"] = encode_backoff(job.backoff)
    if job.retention_ms is not None:
        given["rt"] = job.retention_ms
    return given


def decode_schedule(slot: Slot, queue: str, now_ms: int, fields: Fields) -> Schedule:
    """A schedule from its hash. Raises KeyError or ValueError where that is damaged."""

    def number(name: bytes) -> int | None:
        value = fields.get(name)
        return None if value is None else int(value)

    timing = read_timing_or_none(fields[b"tm"].decode())
    last_job = fields.get(b"lj", b"").decode()
    return Schedule(
        schedule_id=fields[b"id"].decode(),
        queue=queue,
        timing=timing or Timing(),
        definition=fields[b"df"],
        payload=fields.get(b"jl", fields.get(b"j.p", b"")),
        paused=b"ps" in fields,
        version=int(fields[b"v"]),
        created_ms=int(fields[b"c"]),
        updated_ms=int(fields[b"u"]),
        now_ms=now_ms,
        next_ms=number(b"nx"),
        last_job_id=slot.job_id(last_job) if last_job else "",
        last_run_ms=number(b"lr"),
        fired=number(b"nf") or 0,
        triggered=number(b"nt") or 0,
        skipped=number(b"ns") or 0,
        missed=number(b"nm") or 0,
        readable=timing is not None,
    )


def read_policy(text: str) -> SchedulePolicy:
    """SchedulePolicy as they were stored."""
    overlap, catch_up, limit, tolerance = text.split()
    return SchedulePolicy(Overlap(overlap), CatchUp(catch_up), int(limit), int(tolerance))


def _write_policy(policy: SchedulePolicy) -> str:
    return f"{policy.overlap.value} {policy.catch_up.value} {policy.limit} {policy.tolerance_ms}"
