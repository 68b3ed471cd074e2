"""What a caller submits: a job type, a payload, and options that all have defaults."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import KW_ONLY, dataclass, field
from datetime import datetime, timedelta
from types import NoneType
from typing import TYPE_CHECKING, Final, TypedDict

from penstock.client.cache_policy import CachePolicy
from penstock.client.errors import InvalidRequest, Status, Violation
from penstock.client.job import Priority
from penstock.client.spans import is_length

if TYPE_CHECKING:
    from penstock.client.spans import Span

_SPANS: Final = (timedelta, int, float, NoneType)


@dataclass(frozen=True, slots=True)
class Backoff:
    """Pause before retry n: ``min(initial * multiplier ** (n - 1), max)``, spread by +- jitter.

    Attributes:
        initial: pause before the first retry; None is the gateway's default, 1 s.
        max: bound of every pause; None is the gateway's default, 5 min.
        multiplier: at least 1; None is the gateway's default, 2.
        jitter: fraction from 0 to 1; None is the gateway's default, 0.2.
    """

    initial: Span | None = None
    max: Span | None = None
    multiplier: float | None = None
    jitter: float | None = None


class SubmitOptions(TypedDict, total=False):
    """The options of a submit, as keyword arguments; `NewJob` tells what each means."""

    queue: str
    priority: Priority | str | None
    delay: Span | None
    run_at: datetime | None
    expires_in: Span | None
    deadline: datetime | None
    max_attempts: int | None
    backoff: Backoff | None
    timeout: Span | None
    idempotency_key: str
    retention: Span | None
    metadata: Mapping[str, str]
    allow_unregistered: bool
    cache: CachePolicy | None
    cache_ttl: Span | None
    content_type: str | None
    request_id: str


@dataclass(frozen=True, slots=True)
class NewJob:
    """A job to submit. Spans are timedeltas or seconds; times are aware datetimes.

    Attributes:
        type: name that its handler is registered under.
        payload: anything that pydantic writes as JSON (plain values, models, dataclasses), or
            bytes.
        queue: where it waits.
        priority: HIGH, DEFAULT or LOW; None is the policy's, else DEFAULT.
        delay: how long it waits before it may run; up to 366 days. Not together with run_at.
        run_at: when it may run, by the gateway's clock; a past time is at once.
        expires_in: how long it may take to its outcome, all told; up to 366 days. Past it, the job
            is EXPIRED. Not together with deadline.
        deadline: as expires_in, as a time.
        max_attempts: failed attempts after which it is a dead letter, 1 to 100; None is the
            policy's, else 3.
        backoff: pauses between attempts; None is the policy's, else the default.
        timeout: of one attempt, up to 24 h; None is the policy's, else the job type's own, else
            none.
        idempotency_key: names the work: while the key lives, an equal submit is answered with the
            first job. Up to 256 characters; '' is none.
        retention: how long it is kept after its end, 1 s to 366 days; None is the
            policy's, else 24 h.
        metadata: travels with it, to its handler, too. Up to 32 pairs and 4 KiB.
        allow_unregistered: accept a type that no worker has registered yet.
        cache: lets an earlier, equal submit answer this one. Not together with delay, run_at or
            idempotency_key.
        cache_ttl: short for ``cache=CachePolicy(ttl)``.
        content_type: of a payload of bytes; None is application/octet-stream.
        request_id: names the call: a submit that is repeated under it is answered with the same
            job. '' draws a random one.
    """

    type: str
    payload: object = None
    _: KW_ONLY
    queue: str = "default"
    priority: Priority | str | None = None
    delay: Span | None = None
    run_at: datetime | None = None
    expires_in: Span | None = None
    deadline: datetime | None = None
    max_attempts: int | None = None
    backoff: Backoff | None = None
    timeout: Span | None = None
    idempotency_key: str = ""
    retention: Span | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)
    allow_unregistered: bool = False
    cache: CachePolicy | None = None
    cache_ttl: Span | None = None
    content_type: str | None = None
    request_id: str = ""

    def check(self) -> None:
        """Finds what the wire cannot express; all other rules are the gateway's.

        Raises:
            TypeError: an argument is of a type that it does not take.
            InvalidRequest: with every violation.
        """
        _check_types(self)
        broken = [*_broken_spans(self), *_broken_times(self), *_contradictions(self)]
        if broken:
            text = "; ".join(map(str, broken))
            raise InvalidRequest(Status("INVALID_ARGUMENT", text, violations=tuple(broken)))


def _check_types(job: NewJob) -> None:
    backoff = job.backoff if isinstance(job.backoff, Backoff) else Backoff()
    cache = job.cache if isinstance(job.cache, CachePolicy) else CachePolicy(1)
    span = "a timedelta or a number of seconds"
    takes: tuple[tuple[str, object, tuple[type, ...], str], ...] = (
        ("type", job.type, (str,), "a string"),
        ("queue", job.queue, (str,), "a string"),
        ("idempotency_key", job.idempotency_key, (str,), "a string"),
        ("request_id", job.request_id, (str,), "a string"),
        ("backoff", job.backoff, (Backoff, NoneType), "a penstock.client.Backoff"),
        ("metadata", job.metadata, (Mapping,), "a mapping of strings to strings"),
        ("max_attempts", job.max_attempts, (int, NoneType), "a whole number"),
        ("run_at", job.run_at, (datetime, NoneType), "an aware datetime"),
        ("deadline", job.deadline, (datetime, NoneType), "an aware datetime"),
        ("delay", job.delay, _SPANS, span),
        ("expires_in", job.expires_in, _SPANS, span),
        ("timeout", job.timeout, _SPANS, span),
        ("retention", job.retention, _SPANS, span),
        ("backoff.initial", backoff.initial, _SPANS, span),
        ("backoff.max", backoff.max, _SPANS, span),
        ("cache", job.cache, (CachePolicy, NoneType), "a penstock.client.CachePolicy"),
        ("cache.ttl", cache.ttl, (timedelta, int, float), span),
        ("cache.key", cache.key, (str,), "a string"),
        ("cache_ttl", job.cache_ttl, _SPANS, span),
    )
    for name, value, types, form in takes:
        if not isinstance(value, types):
            raise TypeError(f"{name} takes {form}, not {value!r}")
    pairs: Iterable[tuple[object, object]] = job.metadata.items()
    for key, value in pairs:
        if not (isinstance(key, str) and isinstance(value, str)):
            raise TypeError(
                f"metadata takes a mapping of strings to strings, not {key!r}: {value!r}"
            )


def _broken_spans(job: NewJob) -> list[Violation]:
    backoff = job.backoff or Backoff()
    spans = {
        "delay": job.delay,
        "expires_in": job.expires_in,
        "backoff.initial": backoff.initial,
        "backoff.max": backoff.max,
        "timeout": job.timeout,
        "retention": job.retention,
        "cache.ttl": job.cache.ttl if job.cache else job.cache_ttl,
    }
    return [
        Violation(f"job.options.{name}", f"{span} is no length of time")
        for name, span in spans.items()
        if span is not None and not is_length(span)
    ]


def _broken_times(job: NewJob) -> list[Violation]:
    return [
        Violation(f"job.options.{name}", "it has no time zone; use datetime.now(UTC) or the like")
        for name, time in {"run_at": job.run_at, "deadline": job.deadline}.items()
        if time is not None and time.utcoffset() is None
    ]


def _contradictions(job: NewJob) -> list[Violation]:
    broken = []
    if job.delay is not None and job.run_at is not None:
        broken.append(Violation("job.options.run_at", "delay is given, too; one of them will do"))
    if job.expires_in is not None and job.deadline is not None:
        broken.append(
            Violation("job.options.deadline", "expires_in is given, too; one of them will do")
        )
    if job.cache is not None and job.cache_ttl is not None:
        broken.append(
            Violation("job.options.cache", "cache_ttl is given, too; one of them will do")
        )
    try:
        if job.priority is not None:
            Priority(job.priority)
    except ValueError:
        names = ", ".join(Priority)
        broken.append(Violation("job.options.priority", f"{job.priority!r} is none of {names}"))
    return broken
