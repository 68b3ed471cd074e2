"""How a schedule is written into its hash, and read back.

===== ==========================================================================================
field meaning (a missing field is its default)
===== ==========================================================================================
id    schedule id
cl    claim on the id that it was stored under; part of the ids of its jobs
v     version
h     digest of definition and payload
df    definition without payload, as whoever stored it wants to read it back
tm po timing as JSON; policies: overlap, catch-up, limit, tolerance (ms)
c u   created; updated (ms)
ps    present if it is paused
nx    occurrence that it waits for (ms)
lt    last attended to: an occurrence fired, was left out or was held up (ms)
lj lr tail of the last job; when it was made (ms)
nf nt fired; triggered
ns nm skipped; missed
j.*   template: fields of the record of its jobs (see record.py)
jh jp digest of type and payload; priority
je jl expires in (ms); payload too long for the record
===== ==========================================================================================
"""

from __future__ import annotations

from dataclasses import replace
from hashlib import blake2b
from typing import TYPE_CHECKING

from penstock.broker.job import DEFAULTS
from penstock.broker.record import INLINE_BYTES, digest_of, encode_new
from penstock.broker.schedule import CatchUp, Overlap, Schedule, SchedulePolicy
from penstock.broker.timing import read_timing, write_timing

if TYPE_CHECKING:
    from penstock.broker.keys import Slot
    from penstock.broker.pipeline import Arg
    from penstock.broker.record import Fields
    from penstock.broker.schedule import NewSchedule
    from penstock.broker.timing import Timing


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
    template = encode_new(replace(job, schedule_id=schedule.schedule_id))
    fields: list[Arg] = ["id", schedule.schedule_id, "tm", write_timing(timing)]
    fields += ("po", _write_policies(schedule.policies), "df", schedule.definition)
    for name, value in zip(template[::2], template[1::2], strict=True):
        fields += (f"j.{name!s}", value)
    fields += ("jh", digest_of(job), "jp", (job.priority or DEFAULTS.priority).value)
    if job.expires_in_ms is not None:
        fields += ("je", job.expires_in_ms)
    if len(job.payload.data) > INLINE_BYTES:
        fields += ("jl", job.payload.data)
    return fields


def decode_schedule(slot: Slot, queue: str, now_ms: int, fields: Fields) -> Schedule:
    """A schedule from its hash."""

    def number(name: bytes) -> int | None:
        value = fields.get(name)
        return None if value is None else int(value)

    last_job = fields.get(b"lj", b"").decode()
    return Schedule(
        schedule_id=fields[b"id"].decode(),
        queue=queue,
        timing=read_timing(fields[b"tm"].decode()),
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
    )


def read_policies(text: str) -> SchedulePolicy:
    """SchedulePolicy as they were stored."""
    overlap, catch_up, limit, tolerance = text.split()
    return SchedulePolicy(Overlap(overlap), CatchUp(catch_up), int(limit), int(tolerance))


def _write_policies(policies: SchedulePolicy) -> str:
    return (
        f"{policies.overlap.value} {policies.catch_up.value} {policies.limit} "
        f"{policies.tolerance_ms}"
    )
