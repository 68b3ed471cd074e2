"""A gateway under fire: it gets requests over a socket, and must keep what it promises about each.

* No answer is INTERNAL or UNKNOWN, nor any status that such a call cannot have earned.
* Nothing is logged as an error, and no exception goes unhandled.
* A request that is refused has written nothing: the server counts its writes.
* The gateway still answers, and what it answers is sound.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, NamedTuple, NoReturn

import grpc
import grpc.aio
import structlog
from google.protobuf.message_factory import GetMessageClass
from grpc_health.v1 import health_pb2

from penstock.broker import Chunk, Failure, Janitor, NotFound, Progress, Repairer
from penstock.server import upkeep
from penstock.v1 import (
    cache_service_pb2,
    job_pb2,
    job_service_pb2,
    queue_service_pb2,
    schedule_service_pb2,
    topic_service_pb2,
)
from tests.server.rig import rig_on

if TYPE_CHECKING:
    import random
    from collections.abc import AsyncIterator, Iterator, Mapping, MutableMapping

    from google.protobuf.descriptor import MethodDescriptor
    from google.protobuf.message import Message

    from tests.server.rig import Rig

__all__ = ["METHODS", "Finding", "Target", "target_on"]

METHODS: Final[tuple[MethodDescriptor, ...]] = tuple(
    method
    for module in (
        job_service_pb2,
        queue_service_pb2,
        schedule_service_pb2,
        topic_service_pb2,
        cache_service_pb2,
        health_pb2,
    )
    for service in module.DESCRIPTOR.services_by_name.values()
    for method in service.methods
)

_Code = grpc.StatusCode
#: What a refused call is answered with. It has done nothing.
_REFUSALS: Final = frozenset(
    {
        _Code.INVALID_ARGUMENT,
        _Code.NOT_FOUND,
        _Code.ALREADY_EXISTS,
        _Code.FAILED_PRECONDITION,
        _Code.OUT_OF_RANGE,
        _Code.RESOURCE_EXHAUSTED,
    }
)
#: Refused with these, a call may have done a part of it, which its repetition completes: the jobs
#: of a message are in several slots, and Publish may learn in the last of them that the queue is
#: full, or that a subscription got another message under this id; so may a redrive of many jobs.
_PARTS: Final = frozenset(
    {
        ("Publish", _Code.ALREADY_EXISTS),
        ("Publish", _Code.RESOURCE_EXHAUSTED),
        ("RedriveDeadLetters", _Code.RESOURCE_EXHAUSTED),
    }
)
#: A wait is cut short here: that is no fault of the gateway's.
_WAITS: Final = frozenset({"WaitJob"})
_CUT_SHORT: Final = frozenset({_Code.DEADLINE_EXCEEDED, _Code.UNAVAILABLE})
_WAIT_S: Final = 0.05
_LEASE_MS: Final = 60_000
#: Far beyond what any answer takes.
_PATIENCE_S: Final = 60.0
#: A stream that tells nothing for so long has nothing to tell now.
_PAUSE_S: Final = 0.005
_SCHEMA: Final[Mapping[str, Any]] = {
    "type": "object",
    "properties": {"width": {"type": "integer", "minimum": 1}, "name": {"type": "string"}},
    "required": ["width"],
    "additionalProperties": False,
}


@dataclass(frozen=True)
class Finding:
    """A request that the gateway did not take as it should.

    Attributes:
        method: its full name.
        request: its bytes.
        fault: what was wrong.
    """

    method: str
    request: bytes
    fault: str

    def __str__(self) -> str:
        return f"{self.method} {self.request!r}: {self.fault}"


@dataclass
class Target:
    """One gateway, and what it was asked.

    Attributes:
        rig: the gateway and its client.
        complaints: what was logged as an error, or went unhandled, and belongs to no call yet.
        quiet: whether nothing but calls writes, so that each write can be laid to a call.
        outcomes: how often each method ended with each status.
        answers: of OK, by method: how many were told something.
    """

    rig: Rig
    complaints: list[str]
    quiet: bool
    outcomes: Counter[tuple[str, str]] = field(default_factory=Counter)

    @property
    def requests(self) -> int:
        """How many were made."""
        return self.outcomes.total()

    async def ask(self, method: MethodDescriptor, request: bytes) -> tuple[Message | None, str]:
        """Makes one call.

        Returns:
            The answer (of a stream, the last message that was read), and what was wrong: '' if
            nothing was.
        """
        before = await self._writes()
        code, answer, note = await self._call(method, request)
        self.outcomes[method.full_name, code.name] += 1
        fault = ""
        if self.complaints:
            fault = f"{code.name} ({note}), and logged: " + "; ".join(self.complaints)
            self.complaints.clear()
        elif code not in {_Code.OK, *_REFUSALS} and not (
            code in _CUT_SHORT and method.name in _WAITS
        ):
            fault = f"{code.name}: {note}"
        elif self.quiet and _is_refused(code, answer):
            after = await self._writes()
            if not _is_untouched(before, after, method, code):
                fault = f"{code.name} ({note}), and the server's writes went {before} to {after}"
        return answer, fault

    async def work(self, chance: random.Random) -> None:
        """What workers do: jobs get ahead, and end."""
        attempts, engine = self.rig.broker.attempts, self.rig.broker.engine
        with contextlib.suppress(NotFound):
            (slot,) = engine.slots(await self.rig.broker.queues.get("default"))
            for grant in await attempts.claim(slot, "worker-1", 3, _LEASE_MS):
                await self.rig.report(grant, Progress(1, 2, "half"), Chunk(b"abc", 1))
                if chance.random() < 0.6:
                    await self.rig.complete(grant)
                elif chance.random() < 0.5:
                    failure = Failure("ValueError", "no such image")
                    await attempts.fail(grant.job_id, grant.fencing_token, "final", failure)

    async def still_answers(self) -> str:
        """What is wrong with the gateway after all that: '' if nothing is."""
        try:
            receipt = await self.rig.submit(queue="afterwards")
            job = await self.rig.job(receipt.job_id)
        except grpc.aio.AioRpcError as error:
            return f"a sound submit is answered with {error.code().name}: {error.details()}"
        return "" if job.state == job_pb2.JOB_STATE_QUEUED else f"a new job is {job.state}"

    async def _call(
        self, method: MethodDescriptor, request: bytes
    ) -> tuple[grpc.StatusCode, Message | None, str]:
        path = f"/{method.containing_service.full_name}/{method.name}"
        wait_s = _WAIT_S if method.name in _WAITS else _PATIENCE_S
        parse = GetMessageClass(method.output_type).FromString
        try:
            if not method.server_streaming:
                unary: Any = self.rig.channel.unary_unary(path, None, parse)
                return _Code.OK, await unary(request, timeout=wait_s), ""
            stream: Any = self.rig.channel.unary_stream(path, None, parse)
            return _Code.OK, await _first_of(stream(request, timeout=wait_s)), ""
        except grpc.aio.AioRpcError as error:
            return error.code(), None, error.details() or ""

    async def _writes(self) -> _Writes:
        if not self.quiet:
            return _Writes(0, 0)
        info: bytes = await self.rig.broker.link.call("INFO", "persistence", "keyspace")
        facts = dict(line.split(b":", 1) for line in info.splitlines() if b":" in line)
        _, _, keys = facts[b"db0"].partition(b"keys=")
        return _Writes(int(facts[b"rdb_changes_since_last_save"]), int(keys.split(b",")[0]))


class _Writes(NamedTuple):
    """What a server was made to do so far.

    Attributes:
        changes: how many it made.
        keys: how many there are.
    """

    changes: int
    keys: int


def _is_untouched(
    before: _Writes, after: _Writes, method: MethodDescriptor, code: grpc.StatusCode
) -> bool:
    """Whether a refused call has left no trace."""
    if (method.name, code) in _PARTS:
        return True
    if method.name == "CreateSchedule" and code is _Code.ALREADY_EXISTS:
        return after.keys <= before.keys  # It has claimed the id, which is a change and no key.
    # Keys whose time has come go by themselves.
    return after.changes == before.changes and after.keys <= before.keys


async def _first_of(call: Any) -> Message | None:  # noqa: ANN401 - of any type.
    """The last of the first messages of a stream; it is left when it pauses."""
    last: Any = None
    try:
        last = await call.read()
        with contextlib.suppress(TimeoutError):
            while last is not grpc.aio.EOF:
                async with asyncio.timeout(_PAUSE_S):
                    message = await call.read()
                if message is grpc.aio.EOF:
                    break
                last = message
    finally:
        call.cancel()
    return None if last is grpc.aio.EOF else last


def _is_refused(code: grpc.StatusCode, answer: Message | None) -> bool:
    if isinstance(answer, job_service_pb2.SubmitJobsResponse):
        # None of them was stored.
        return not any(result.HasField("job") for result in answer.results)
    return code in _REFUSALS


@contextlib.asynccontextmanager
async def target_on(redis_url: str, *, quiet: bool) -> AsyncIterator[Target]:
    """A gateway on an empty server.

    Args:
        redis_url: of the server.
        quiet: nothing is done but what calls ask for: no housekeeping, no probes.
    """
    complaints: list[str] = []
    with _eavesdropping(complaints):
        async with rig_on(redis_url) as rig:
            await rig.broker.registry.register_types({"image.resize": _SCHEMA})
            if quiet:
                await _silence(rig)
            yield Target(rig, complaints, quiet)


async def _silence(rig: Rig) -> None:
    """Stops what writes by itself."""
    writers = (Janitor, Repairer, upkeep.Librarian, upkeep.Prober)
    for part in rig.gateway._parts._members:
        if isinstance(part, writers):
            await part.stop()


@contextlib.contextmanager
def _eavesdropping(complaints: list[str]) -> Iterator[None]:
    """Hears what is logged as an error, and what the event loop was left with."""

    class Ear(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            complaints.append(f"{record.name}: {record.getMessage()} {record.exc_info or ''}")

    def unhandled(_: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        complaints.append(f"unhandled: {context.get('message')} {context.get('exception')!r}")

    ear = Ear(logging.ERROR)
    root = logging.getLogger()
    loop = asyncio.get_running_loop()
    heard = loop.get_exception_handler()
    root.addHandler(ear)
    loop.set_exception_handler(unhandled)

    def listen(_: object, level: str, event: MutableMapping[str, Any]) -> NoReturn:
        if level in {"error", "critical", "exception"}:
            error = event.pop("exc_info", None)
            complaints.append(f"{event} {error!r}")
        raise structlog.DropEvent

    known = structlog.get_config()
    structlog.configure(processors=[listen])
    try:
        yield
    finally:
        structlog.configure(**known)
        loop.set_exception_handler(heard)
        root.removeHandler(ear)
