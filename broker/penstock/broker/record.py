"""How a job is written into its record, a Redis hash, and read back.

The record is small on purpose: field names of one or two letters, defaults left out, and values of
at most 64 bytes where that can be chosen, since a longer one makes Redis leave the hash's compact
encoding (about three times the memory). Longer payloads and results have keys of their own.

===== ==========================================================================================
field meaning (a missing field is its default)
===== ==========================================================================================
s     state, a letter of `JobState`
t     type
pr    priority, if not default
h     digest of type and payload
f     fencing token of the last grant
a k m attempts so far; crashes among them; max attempts
c q   created; last queued, if later than created (ms)
d0    present if it was SCHEDULED at first
st e  last attempt started; ended (ms)
du dl due; deadline (ms)
to    timeout (ms)
rt rs retention (ms); that of a success, if it is another
bo    backoff: initial ms, max ms, multiplier, jitter
x     id of its stream entry, or of that which it had when it was parked
hd gt digest of its type: while it is parked; while it has a place at the gate of its type
w l   worker; lease (ms)
p pl  payload; present if the payload has a key of its own
r rl  result; present if the result has a key of its own
ct rc content type of payload; of result
md    metadata as JSON
rf    job that it was retried from
ca    cache: digest of the entry that it was to fill, ttl (ms)
cf    tail of the job whose result it was answered with
sc so schedule that made it; occurrence that it stands for (ms)
n lt  newest sequence; events trimmed from its log (present if it has a log)
lb    bytes in its log
rn    last report of events: 'fencing token, number'
cr    reason of a cancel, once requested
ck    present if it has a checkpoint
sw    fencing token of the grant of a suspect that has not begun
pc    progress: current (pt total, pm message)
ft    failure: type (fm message, fr reason)
tm    envelope of the message that it was made of, as JSON: id, topic, time (ms), source
===== ==========================================================================================
"""

from __future__ import annotations

import json
from hashlib import blake2b
from typing import TYPE_CHECKING

from penstock.broker import ids
from penstock.broker.grant import Grant
from penstock.broker.job import (
    Backoff,
    Content,
    Failure,
    FailureReason,
    HoldReason,
    Job,
    JobState,
    Message,
    Priority,
    Progress,
)
from penstock.broker.new_job import DEFAULTS, NewJob

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

#: Longest value that stays in a hash's compact encoding (hash-max-listpack-value).
INLINE_BYTES = 64

Fields = dict[bytes, bytes]


def digest_of(job: NewJob) -> bytes:
    """8 bytes that tell whether two submits are for the same work."""
    hashed = blake2b(digest_size=8)
    parts = [job.type.encode(), job.payload.content_type.encode(), job.payload.data]
    if job.message is not None:
        # The same words in another topic say something else.
        parts.append(job.message.topic.encode())
    for part in parts:
        hashed.update(len(part).to_bytes(4, "big"))
        hashed.update(part)
    return hashed.digest()


def encode_new(job: NewJob) -> list[bytes | str | int]:
    """The fields of a new record that its submitter decides: name, value, name, value, ...

    Priority and times are not among them: `submit.lua` writes those.
    """
    fields: list[bytes | str | int] = ["t", job.type]
    payload = job.payload
    fields += ("p", payload.data) if len(payload.data) <= INLINE_BYTES else ("pl", 1)
    if payload.content_type:
        fields += ("ct", payload.content_type)
    if job.max_attempts is not None and job.max_attempts != DEFAULTS.max_attempts:
        fields += ("m", job.max_attempts)
    backoff = job.backoff
    if backoff is not None and backoff != DEFAULTS.backoff:
        fields += ("bo", encode_backoff(backoff))
    if job.timeout_ms is not None:
        fields += ("to", job.timeout_ms)
    kept_ms = job.retention_ms or DEFAULTS.retention_ms
    if kept_ms != DEFAULTS.retention_ms:
        fields += ("rt", kept_ms)
    if (succeeded_ms := _retention_succeeded_ms(job, kept_ms)) != kept_ms:
        fields += ("rs", succeeded_ms)
    if job.metadata:
        fields += ("md", json.dumps(dict(job.metadata), separators=(",", ":")))
    return fields + _origin(job)


def encode_backoff(backoff: Backoff) -> str:
    """Pauses between attempts, as a record has them."""
    return f"{backoff.initial_ms} {backoff.max_ms} {backoff.multiplier!r} {backoff.jitter!r}"


def _origin(job: NewJob) -> list[bytes | str | int]:
    """What a new job was made of, if not by a plain submit."""
    fields: list[bytes | str | int] = []
    if job.retried_from:
        fields += ("rf", job.retried_from)
    if job.message is not None:
        message = job.message
        envelope = (message.message_id, message.topic, message.time_ms, message.source)
        fields += ("tm", json.dumps(envelope, separators=(",", ":")))
    if job.schedule_id:
        fields += ("sc", job.schedule_id)
    if job.occurrence_ms is not None:
        fields += ("so", job.occurrence_ms)
    return fields


def _retention_succeeded_ms(job: NewJob, kept_ms: int) -> int:
    """What was asked for; a result is kept for as long as it may be given to others."""
    asked_ms = kept_ms if job.retention_succeeded_ms is None else job.retention_succeeded_ms
    if job.cache is None or not job.cache.writes:
        return asked_ms
    return max(asked_ms, job.cache.ttl_ms)


def fields_of(flat: Sequence[bytes]) -> Fields:
    """A reply of HGETALL as a dict."""
    return dict(zip(flat[::2], flat[1::2], strict=True))


def _int(fields: Fields, name: bytes) -> int | None:
    value = fields.get(name)
    return None if value is None else int(value)


def _text(fields: Fields, name: bytes) -> str:
    return fields.get(name, b"").decode("utf-8", "replace")


def _sibling(job_id: str, tail: str) -> str:
    """The id of a job in the same slot."""
    return job_id[: -ids.TAIL_LENGTH] + tail if tail else ""


def _backoff(fields: Fields) -> Backoff:
    packed = fields.get(b"bo")
    if packed is None:
        return DEFAULTS.backoff
    initial, most, multiplier, jitter = packed.split()
    return Backoff(int(initial), int(most), float(multiplier), float(jitter))


def _metadata(fields: Fields) -> Mapping[str, str]:
    packed = fields.get(b"md")
    return json.loads(packed) if packed else {}


def _payload(fields: Fields, apart: bytes | None) -> Content:
    return Content(apart if apart is not None else fields.get(b"p", b""), _text(fields, b"ct"))


def _result(fields: Fields, apart: bytes | None) -> Content | None:
    if fields[b"s"] != b"D":
        return None
    return Content(apart if apart is not None else fields.get(b"r", b""), _text(fields, b"rc"))


def _message(fields: Fields) -> Message | None:
    packed = fields.get(b"tm")
    return Message(*json.loads(packed)) if packed else None


def _progress(fields: Fields) -> Progress | None:
    if b"pc" not in fields:
        return None
    return Progress(float(fields[b"pc"]), float(fields[b"pt"]), _text(fields, b"pm"))


def _failure(fields: Fields) -> Failure | None:
    if b"ft" not in fields:
        return None
    reason = fields.get(b"fr")
    return Failure(
        _text(fields, b"ft"),
        _text(fields, b"fm"),
        FailureReason(reason.decode()) if reason else None,
    )


def decode_job(
    job_id: str,
    queue: str,
    fields: Fields,
    *,
    payload: bytes | None = None,
    result: bytes | None = None,
    with_payload: bool = False,
    with_result: bool = False,
) -> Job:
    """A job from its record; payload and result are what was kept apart, if it was read."""
    state = JobState(fields[b"s"].decode())
    created = int(fields[b"c"])
    # Or never, where it was answered from the cache.
    scheduled_only = state is JobState.SCHEDULED or b"d0" in fields or b"cf" in fields
    queued = _int(fields, b"q")
    return Job(
        job_id=job_id,
        type=_text(fields, b"t"),
        queue=queue,
        state=state,
        priority=Priority(_text(fields, b"pr") or Priority.DEFAULT),
        attempt=_int(fields, b"a") or 0,
        max_attempts=_int(fields, b"m") or DEFAULTS.max_attempts,
        crashes=_int(fields, b"k") or 0,
        fencing_token=_int(fields, b"f") or 0,
        last_sequence=int(fields[b"n"]),
        created_ms=created,
        retention_ms=_int(fields, b"rt") or DEFAULTS.retention_ms,
        retention_succeeded_ms=_int(fields, b"rs"),
        backoff=_backoff(fields),
        queued_ms=queued if queued is not None or scheduled_only else created,
        started_ms=_int(fields, b"st"),
        finished_ms=_int(fields, b"e"),
        run_at_ms=_int(fields, b"du") if state is JobState.SCHEDULED else None,
        deadline_ms=_int(fields, b"dl"),
        timeout_ms=_int(fields, b"to"),
        hold_reason=HoldReason.TYPE_CONCURRENCY if b"hd" in fields else None,
        cancel_requested=state is JobState.RUNNING and b"cr" in fields,
        cancel_reason=_text(fields, b"cr"),
        worker_id=_text(fields, b"w"),
        retried_from=_text(fields, b"rf"),
        cached_from=_sibling(job_id, _text(fields, b"cf")),
        schedule_id=_text(fields, b"sc"),
        occurrence_ms=_int(fields, b"so"),
        progress=_progress(fields),
        failure=_failure(fields),
        metadata=_metadata(fields),
        payload=_payload(fields, payload) if with_payload else None,
        result=_result(fields, result) if with_result else None,
        message=_message(fields),
    )


def decode_grant(
    job_id: str,
    queue: str,
    fields: Fields,
    *,
    payload: bytes | None,
    checkpoint: bytes | None,
) -> Grant:
    """A grant from the record as it stands right after the claim."""
    attempt, crashes, created = int(fields[b"a"]), _int(fields, b"k") or 0, int(fields[b"c"])
    return Grant(
        job_id=job_id,
        type=_text(fields, b"t"),
        queue=queue,
        fencing_token=int(fields[b"f"]),
        attempt=attempt,
        failures=attempt - 1 - crashes,
        crashes=crashes,
        suspect=fields.get(b"sw") == fields[b"f"],
        max_attempts=_int(fields, b"m") or DEFAULTS.max_attempts,
        backoff=_backoff(fields),
        payload=_payload(fields, payload),
        created_ms=created,
        queued_ms=_int(fields, b"q") or created,
        granted_ms=int(fields[b"st"]),
        deadline_ms=_int(fields, b"dl"),
        timeout_ms=_int(fields, b"to"),
        metadata=_metadata(fields),
        checkpoint=checkpoint,
        cancel_requested=b"cr" in fields,
        message=_message(fields),
        schedule_id=_text(fields, b"sc"),
        occurrence_ms=_int(fields, b"so"),
    )
