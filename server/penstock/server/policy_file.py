"""Policies from a TOML file: read when a gateway starts, and published for the whole fleet.

For example::

    [queue.mail]
    max_attempts = 5
    concurrency = 10
    backoff = { initial_s = 1, max_s = 300 }
    failed = { count = 1000 }

    [queue.mail.type."mail.welcome"]
    priority = "low"
"""

from __future__ import annotations

import tomllib
from collections import Counter
from typing import TYPE_CHECKING, Annotated, Final, Literal

import structlog
from google.protobuf.duration_pb2 import Duration
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from penstock.broker import MAX_POLICIES, MAX_TYPES_PER_QUEUE, PenstockError, PolicyKey
from penstock.runtime import ConfigurationError, Periodic
from penstock.server import policy_convert
from penstock.server.validation import MAX_QUEUE, MAX_TYPE, check_name, check_policy
from penstock.v1 import job_pb2, queue_service_pb2

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from pydantic_core import ErrorDetails

    from penstock.broker import Broker, Policy
    from penstock.broker.pipeline import Caller
    from penstock.server.validation import Found

__all__ = ["PolicyFile", "read_policies"]

PUBLISH_WITHIN_S: Final = 5.0
#: The storage was waited for already.
PUBLISH_AT_ONCE_S: Final = 0.5
TRY_AGAIN_S: Final = 1.0
#: As a rule, nothing has changed: a file is read at the start alone.
LOOK_AGAIN_S: Final = 600.0

#: Within what protobuf can say; the rules proper are those of `validation`.
Seconds = Annotated[float, Field(ge=-1e9, le=1e9, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=-(2**31), lt=2**31)]

_log = structlog.get_logger(__name__)


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class _Backoff(_Table):
    initial_s: Seconds | None = None
    max_s: Seconds | None = None
    multiplier: float = 0.0
    jitter: float | None = None


class _Keep(_Table):
    age_s: Seconds | None = None
    count: Count | None = None


class _Policy(_Table):
    max_attempts: Count = 0
    backoff: _Backoff | None = None
    timeout_s: Seconds | None = None
    priority: Literal["high", "default", "low"] | None = None
    concurrency: Count = 0
    max_waiting: Count = 0
    succeeded: _Keep = _Keep()
    failed: _Keep = _Keep()


class _Queue(_Policy):
    type: dict[str, _Policy] = Field(default_factory=dict)


class _File(_Table):
    queue: dict[str, _Queue] = Field(default_factory=dict)


def read_policies(path: Path) -> dict[PolicyKey, Policy]:
    """The policies of a file.

    Raises:
        ConfigurationError: it cannot be read, is no TOML, or breaks a rule; every field at fault is
            named.
    """
    try:
        file = _File.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise _refused(path, [("", str(error.strerror))]) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise _refused(path, [("", f"it is no TOML: {error}")]) from None
    except ValidationError as error:
        problems = error.errors(include_url=False, include_context=False, include_input=False)
        raise _refused(path, [(_path(each["loc"]), _said(each)) for each in problems]) from None
    found: Found = []
    policies = {
        key: policy_convert.policy(_checked(found, key, table))
        for key, table in _tables(file).items()
    }
    _check_numbers(found, policies)
    if found:
        raise _refused(path, found)
    return policies


class PolicyFile(Periodic):
    """Publishes the policies of the file: at the start, and again where the server lost them.

    Otherwise what stands there stays: it may be the file of a gateway that started later.
    """

    def __init__(self, broker: Broker, policies: Mapping[PolicyKey, Policy]) -> None:
        super().__init__(interval_s=LOOK_AGAIN_S, stop_grace_s=0.5, expendable=True)
        self._held = broker.policies
        self._policies = policies
        self._published = False
        broker.link.on_connect.append(self._on_connect)

    async def setup(self) -> None:
        """Before the first call is answered, if Redis is there."""
        await self._publish(PUBLISH_AT_ONCE_S)

    async def tick(self) -> float | None:
        """Publishes, if that is due."""
        if not (self._published and self._held.file_known):
            await self._publish(PUBLISH_WITHIN_S)
        return None if self._published else TRY_AGAIN_S

    async def _publish(self, within_s: float) -> None:
        self._published = False
        try:
            await self._held.publish(self._policies, within_s)
        except PenstockError as error:
            _log.warning("policies not published", reason=str(error))
        else:
            self._published = True
            _log.info("policies published", policies=len(self._policies))

    async def _on_connect(self, _: Caller) -> None:
        self.wake()


def _tables(file: _File) -> dict[PolicyKey, _Policy]:
    tables: dict[PolicyKey, _Policy] = {}
    for queue, table in file.queue.items():
        if table.model_fields_set - {"type"}:
            tables[PolicyKey(queue)] = table
        for job_type, of_type in table.type.items():
            tables[PolicyKey(queue, job_type)] = of_type
    return tables


def _checked(found: Found, key: PolicyKey, table: _Policy) -> queue_service_pb2.Policy:
    """The message of a table, held against the rules of SetQueuePolicy."""
    path = _path(("queue", key.queue, *(("type", key.type) if key.type else ())))
    check_name(found, path, key.queue, MAX_QUEUE)
    if key.type:
        check_name(found, path, key.type, MAX_TYPE)
    backoff = table.backoff
    message = queue_service_pb2.Policy(
        max_attempts=table.max_attempts,
        backoff=job_pb2.Backoff(
            initial=_span(backoff.initial_s),
            max=_span(backoff.max_s),
            multiplier=backoff.multiplier,
            jitter=backoff.jitter,
        )
        if backoff
        else None,
        timeout=_span(table.timeout_s),
        priority=f"PRIORITY_{table.priority.upper()}" if table.priority else None,
        concurrency=table.concurrency,
        max_waiting=table.max_waiting,
        succeeded=_keep(table.succeeded),
        failed=_keep(table.failed),
    )
    broken: Found = []
    check_policy(broken, path, message, of_type=bool(key.type))
    # In a message, 0 is what was not given; who writes it into a file means something else.
    broken += [
        (f"{path}.{field}", "it must be at least 1; left out, it is not set")
        for field in ("max_attempts", "concurrency", "max_waiting")
        if field in table.model_fields_set and getattr(table, field) == 0
    ]
    for field, text in broken:
        # As the file calls them: spans have their unit in the name.
        is_span = field.rpartition(".")[2] in {"timeout", "age", "initial", "max"}
        found.append((f"{field}_s" if is_span else field, text))
    return message


def _check_numbers(found: Found, policies: Mapping[PolicyKey, Policy]) -> None:
    if len(policies) > MAX_POLICIES:
        found.append(("queue", f"there are more than {MAX_POLICIES} policies"))
    types = Counter(key.queue for key in policies if key.type)
    for queue, number in types.items():
        if number > MAX_TYPES_PER_QUEUE:
            text = f"there are more than {MAX_TYPES_PER_QUEUE} types with policies"
            found.append((_path(("queue", queue, "type")), text))


def _keep(keep: _Keep) -> queue_service_pb2.RetentionPolicy:
    return queue_service_pb2.RetentionPolicy(age=_span(keep.age_s), count=keep.count)


def _span(span_s: float | None) -> Duration | None:
    if span_s is None:
        return None
    span = Duration()
    span.FromNanoseconds(round(span_s * 1e9))
    return span


def _said(problem: ErrorDetails) -> str:
    if problem["type"] == "extra_forbidden":
        return "there is no such setting"
    return problem["msg"]


def _path(parts: tuple[str | int, ...]) -> str:
    return ".".join(f'"{part}"' if "." in str(part) else str(part) for part in parts)


def _refused(path: Path, problems: Found) -> ConfigurationError:
    lines = "\n".join(f"  {field}: {text}" if field else f"  {text}" for field, text in problems)
    return ConfigurationError(
        f"the policy file {path} (PENSTOCK_POLICY_FILE) cannot be used:\n{lines}",
        fields=("policy_file",),
    )
