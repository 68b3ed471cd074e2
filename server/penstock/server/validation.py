"""The rules of requests, as the contract states them. Each broken rule is one violation.

A violation is (path of the field such as ``job.options.delay``, what is wrong). All rules are
looked at, so that a caller learns of all mistakes at once; nothing here raises or talks to Redis.
"""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Final

from penstock.v1 import job_pb2

if TYPE_CHECKING:
    from collections.abc import Mapping

    from google.protobuf.duration_pb2 import Duration
    from google.protobuf.timestamp_pb2 import Timestamp

    from penstock.v1 import queue_service_pb2

__all__ = [
    "DAY_MS",
    "check_attempts",
    "check_backoff",
    "check_cache_key",
    "check_content",
    "check_duration",
    "check_job",
    "check_key",
    "check_metadata",
    "check_name",
    "check_policy",
    "check_priority",
    "check_request_id",
    "check_tag",
    "check_text",
    "check_time",
    "check_timestamp",
    "duration_ms",
    "timestamp_ms",
]

Violation = tuple[str, str]
Found = list[Violation]

DAY_MS: Final = 86_400_000
YEAR_MS: Final = 366 * DAY_MS
MAX_QUEUE: Final = 64
MAX_TYPE: Final = 128
MAX_CONTENT_TYPE: Final = 64
MAX_IDEMPOTENCY_KEY: Final = 256
MAX_CACHE_KEY: Final = 256
MAX_TAGS: Final = 16
MAX_TAG: Final = 128
MAX_ATTEMPTS: Final = 100
MAX_CONCURRENCY: Final = 100_000
MAX_WAITING: Final = 1_000_000_000
MAX_KEPT: Final = 1_000_000
#: Beyond it, the power of a few dozen retries leaves the range of a double.
MAX_MULTIPLIER: Final = 1_000.0
MAX_METADATA_PAIRS: Final = 32
MAX_METADATA_BYTES: Final = 4_096
_NANOS_PER_MS: Final = 1_000_000
_NANOS_PER_S: Final = 1_000_000_000
#: Of google.protobuf.Timestamp: the years 1 to 9999.
_FIRST_SECOND: Final = -62_135_596_800
_LAST_SECOND: Final = 253_402_300_799

_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?")
_REQUEST_ID = re.compile(r"[\x20-\x7e]{1,128}")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_TOKEN = r"[A-Za-z0-9!#$&^_.+-]+"  # noqa: S105 - RFC 6838's word for a part of a media type.
_CONTENT_TYPE = re.compile(
    rf'{_TOKEN}/{_TOKEN}(?: *; *{_TOKEN}=(?:{_TOKEN}|"[\x20\x21\x23-\x7e]*"))*'
)


def check_job(spec: job_pb2.JobSpec, path: str, *, max_payload: int, now_ms: int) -> Found:
    """Every rule of a JobSpec that needs no schema.

    Args:
        spec: what was sent.
        path: where in the request it is: job, or jobs[3].
        max_payload: in bytes.
        now_ms: the time, in ms since the epoch.
    """
    found: Found = []
    check_name(found, f"{path}.type", spec.type, MAX_TYPE)
    if spec.queue:
        check_name(found, f"{path}.queue", spec.queue, MAX_QUEUE)
    if spec.request_id:
        check_request_id(found, f"{path}.request_id", spec.request_id)
    if spec.HasField("payload"):
        check_content(found, f"{path}.payload", spec.payload, max_payload)
    if spec.HasField("options"):
        _check_options(found, f"{path}.options", spec.options, now_ms)
    return found


def check_name(found: Found, path: str, name: str, limit: int) -> None:
    """A queue's or job type's name: they end up in indexes, logs and command lines."""
    if not name:
        found.append((path, "it must not be empty"))
    elif len(name) > limit:
        found.append((path, f"it is longer than {limit} characters"))
    elif not _NAME.fullmatch(name):
        found.append((path, "it may hold letters and digits, and . _ - between them"))


def check_policy(
    found: Found, path: str, policy: queue_service_pb2.Policy, *, of_type: bool
) -> None:
    """Every rule of a policy that does not depend on its queue."""
    _check_common(found, path, policy)
    for name in ("succeeded", "failed"):
        keep: queue_service_pb2.RetentionPolicy = getattr(policy, name)
        if keep.HasField("age"):
            check_duration(found, f"{path}.{name}.age", keep.age, 0, YEAR_MS)
        if keep.HasField("count") and not 0 <= keep.count <= MAX_KEPT:
            found.append((f"{path}.{name}.count", f"it must be 0 to {MAX_KEPT}"))
    if not 0 <= policy.concurrency <= MAX_CONCURRENCY:
        text = f"it must be 1 to {MAX_CONCURRENCY}, or 0 for no limit"
        found.append((f"{path}.concurrency", text))
    if not 0 <= policy.max_waiting <= MAX_WAITING:
        text = f"it must be 1 to {MAX_WAITING}, or 0 for the setting of the gateways"
        found.append((f"{path}.max_waiting", text))
    elif policy.max_waiting and of_type:
        found.append((f"{path}.max_waiting", "it is for a queue, not for a type in it"))


def check_request_id(found: Found, path: str, request_id: str) -> None:
    """What a caller named its call."""
    if not _REQUEST_ID.fullmatch(request_id):
        found.append((path, "it must be 1 to 128 printable ASCII characters"))


def check_text(found: Found, path: str, text: str, limit: int) -> None:
    """Text for people: bounded, in UTF-8 bytes."""
    if len(text.encode()) > limit:
        found.append((path, f"it is longer than {limit} bytes"))


def check_cache_key(found: Found, path: str, key: str) -> None:
    """What a caller named a piece of work, for the cache."""
    _check_given(found, path, key, MAX_CACHE_KEY)


def check_tag(found: Found, path: str, tag: str) -> None:
    """What results are invalidated by."""
    _check_given(found, path, tag, MAX_TAG)


def check_duration(
    found: Found, path: str, duration: Duration, least_ms: int, most_ms: int
) -> None:
    """A span from least_ms to most_ms; least_ms 1 stands for more than nothing."""
    seconds, nanos = duration.seconds, duration.nanos
    if abs(nanos) >= _NANOS_PER_S or (seconds > 0 > nanos) or (seconds < 0 < nanos):
        found.append((path, "seconds and nanos do not make a duration"))
        return
    if seconds < 0 or nanos < 0:
        found.append((path, "it must not be negative"))
        return
    span_ms = duration_ms(duration)
    if span_ms < least_ms:
        least = "more than 0" if least_ms == 1 else f"at least {least_ms / 1000:g} s"
        found.append((path, f"it must be {least}"))
    elif span_ms > most_ms:
        found.append((path, f"it must be at most {_span(most_ms)}"))


def duration_ms(duration: Duration) -> int:
    """Milliseconds of a sound span, rounded up, so that none becomes zero."""
    return int(duration.seconds * 1000 - (-duration.nanos // _NANOS_PER_MS))


def timestamp_ms(timestamp: Timestamp) -> int:
    """Milliseconds since the epoch of a sound time; one before it is the epoch."""
    return max(0, int(timestamp.seconds * 1000 + timestamp.nanos // _NANOS_PER_MS))


def _span(span_ms: int) -> str:
    days, rest = divmod(span_ms, DAY_MS)
    return f"{days} days" if days > 1 and not rest else f"{span_ms / 3_600_000:g} h"


def check_content(found: Found, path: str, payload: job_pb2.Content, limit: int) -> None:
    """A payload: its size, and what it is said to be."""
    if len(payload.data) > limit:
        text = f"it has {len(payload.data)} bytes, and at most {limit} are taken"
        found.append((f"{path}.data", text))
    kind = payload.content_type
    if not kind:
        return
    if len(kind) > MAX_CONTENT_TYPE:
        text = f"it is longer than {MAX_CONTENT_TYPE} characters"
        found.append((f"{path}.content_type", text))
    elif not _CONTENT_TYPE.fullmatch(kind):
        found.append((f"{path}.content_type", "it is not a media type"))


def _check_options(found: Found, path: str, options: job_pb2.JobOptions, now_ms: int) -> None:
    _check_common(found, path, options)
    _check_times(found, path, options, now_ms)
    if options.idempotency_key:
        check_key(found, f"{path}.idempotency_key", options.idempotency_key, MAX_IDEMPOTENCY_KEY)
    if options.HasField("cache"):
        _check_cache(found, f"{path}.cache", options.cache)
        _check_company(found, path, options)
    if options.metadata:
        check_metadata(found, f"{path}.metadata", options.metadata)


def _check_common(
    found: Found, path: str, choices: job_pb2.JobOptions | queue_service_pb2.Policy
) -> None:
    """What a submit and a policy have in common."""
    check_priority(found, f"{path}.priority", choices.priority)
    check_attempts(found, f"{path}.max_attempts", choices.max_attempts)
    if choices.HasField("backoff"):
        check_backoff(found, f"{path}.backoff", choices.backoff)
    if choices.HasField("timeout"):
        check_duration(found, f"{path}.timeout", choices.timeout, 1, DAY_MS)


def _check_times(found: Found, path: str, options: job_pb2.JobOptions, now_ms: int) -> None:
    if options.HasField("delay"):
        check_duration(found, f"{path}.delay", options.delay, 0, YEAR_MS)
    elif options.HasField("run_at"):
        check_timestamp(found, f"{path}.run_at", options.run_at, now_ms)
    if options.HasField("expires_in"):
        check_duration(found, f"{path}.expires_in", options.expires_in, 1, YEAR_MS)
    elif options.HasField("deadline"):
        check_timestamp(found, f"{path}.deadline", options.deadline, now_ms)
    if options.HasField("retention"):
        check_duration(found, f"{path}.retention", options.retention, 1_000, YEAR_MS)


def check_priority(found: Found, path: str, priority: int) -> None:
    """One of those that there are."""
    if priority not in job_pb2.Priority.values():
        found.append((path, f"there is no priority {priority}"))


def check_attempts(found: Found, path: str, max_attempts: int) -> None:
    """How many failed attempts there may be."""
    if not 0 <= max_attempts <= MAX_ATTEMPTS:
        found.append((path, f"it must be 1 to {MAX_ATTEMPTS}, or 0 for the default"))


def check_timestamp(found: Found, path: str, time: Timestamp, now_ms: int) -> None:
    """A time, at most a year ahead."""
    if check_time(found, path, time) and timestamp_ms(time) > now_ms + YEAR_MS:
        found.append((path, "it is more than 366 days ahead"))


def check_time(found: Found, path: str, time: Timestamp) -> bool:
    """A time; tells whether it is sound."""
    in_range = _FIRST_SECOND <= time.seconds <= _LAST_SECOND
    sound = in_range and 0 <= time.nanos < _NANOS_PER_S
    if not sound:
        found.append((path, "seconds and nanos do not make a time"))
    return sound


def check_backoff(found: Found, path: str, backoff: job_pb2.Backoff) -> None:
    """The pauses between attempts."""
    if backoff.HasField("initial"):
        check_duration(found, f"{path}.initial", backoff.initial, 0, DAY_MS)
    if backoff.HasField("max"):
        check_duration(found, f"{path}.max", backoff.max, 0, DAY_MS)
    multiplier = backoff.multiplier
    # Written so that NaN, which compares with nothing, breaks the rule.
    if not (multiplier == 0 or 1 <= multiplier <= MAX_MULTIPLIER):
        text = f"it must be 1 to {MAX_MULTIPLIER:g}, or 0 for the default"
        found.append((f"{path}.multiplier", text))
    if backoff.HasField("jitter") and not (
        math.isfinite(backoff.jitter) and 0 <= backoff.jitter <= 1
    ):
        found.append((f"{path}.jitter", "it must be 0 to 1"))


def check_key(found: Found, path: str, key: str, limit: int) -> None:
    """A name of the caller's own: of any characters that can be seen."""
    if len(key) > limit:
        found.append((path, f"it is longer than {limit} characters"))
    elif _CONTROL.search(key):
        found.append((path, "it must not hold control characters"))


def _check_given(found: Found, path: str, key: str, limit: int) -> None:
    if key:
        check_key(found, path, key, limit)
    else:
        found.append((path, "it must not be empty"))


def _check_cache(found: Found, path: str, policy: job_pb2.CachePolicy) -> None:
    if policy.HasField("ttl"):
        check_duration(found, f"{path}.ttl", policy.ttl, 1_000, YEAR_MS)
    else:
        found.append((f"{path}.ttl", "it must be given"))
    if policy.key:
        check_cache_key(found, f"{path}.key", policy.key)
    if len(policy.tags) > MAX_TAGS:
        text = f"it has {len(policy.tags)} tags, and at most {MAX_TAGS} are taken"
        found.append((f"{path}.tags", text))
    for index, tag in enumerate(policy.tags[:MAX_TAGS]):
        check_tag(found, f"{path}.tags[{index}]", tag)
    if policy.skip_cache and policy.do_not_cache:
        text = "skip_cache is set, too, and together they leave nothing to do: leave the policy out"
        found.append((f"{path}.do_not_cache", text))


def _check_company(found: Found, path: str, options: job_pb2.JobOptions) -> None:
    """What a cache policy excludes."""
    if options.idempotency_key:
        text = (
            "a cache policy is given, too, and each would place the job by another name; the key "
            "of the policy lets equal submits share one job as well: leave one of the two out"
        )
        found.append((f"{path}.idempotency_key", text))
    start = options.WhichOneof("start")
    if start is not None:
        text = "a cache policy is given, too, and what is cached is answered at once: leave one out"
        found.append((f"{path}.{start}", text))


def check_metadata(found: Found, path: str, metadata: Mapping[str, str]) -> None:
    """What travels with a job."""
    if len(metadata) > MAX_METADATA_PAIRS:
        text = f"it has {len(metadata)} pairs, and at most {MAX_METADATA_PAIRS} are taken"
        found.append((path, text))
    size = sum(len(key.encode()) + len(value.encode()) for key, value in metadata.items())
    if size > MAX_METADATA_BYTES:
        text = f"it has {size} bytes, and at most {MAX_METADATA_BYTES} are taken"
        found.append((path, text))
    for key in metadata:
        if not key or _CONTROL.search(key):
            found.append((path, "a key must not be empty, nor hold control characters"))
            break
