"""What a handler may ask for and say while it runs.

A handler takes it as a parameter that is annotated with its class, or is named ``ctx``:
`Context` in an ``async def`` handler, `SyncContext` in one that runs in a thread or child process.
They have the same members. What may have to wait (``emit``, ``checkpoint``, ``invalidate``) is
awaited in the one and blocks in the other; all else returns at once in both.

===================== ================================================================
``ctx.progress(...)`` how far it is; throttled, the latest wins
``ctx.emit(chunk)``   a part of the output; none is dropped, the order is kept
``ctx.log(message)``  a line for those who watch the job
``ctx.checkpoint(d)`` data for the next attempt, found there as ``ctx.last_checkpoint``
``ctx.invalidate()``  forgets cached results, so that nobody is given what was true before
``ctx.message``       id, topic, time and source of the message, for a subscription's job
``ctx.cancelled``     set once the handler is to stop; ``ctx.check()`` raises then
===================== ================================================================
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, Literal, get_args

from penstock.worker import checkpoints
from penstock.worker.invalidations import targets_of
from penstock.worker.orders import AsyncFlag
from penstock.worker.signals import Stopped
from penstock.worker.text import cut

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from penstock.worker.orders import Orders
    from penstock.worker.outlet import Facts, Outlet
    from penstock.worker.signals import StopReason

__all__ = ["BaseContext", "Context", "LogLevel", "MessageInfo", "chunk_bytes"]

LogLevel = Literal["debug", "info", "warning", "error"]

MAX_CHUNK_BYTES: Final = 256 * 1024
MAX_LOG_BYTES: Final = 4096
MAX_PROGRESS_MESSAGE_BYTES: Final = 1024
_LEVELS: Final = frozenset(get_args(LogLevel))


@dataclass(frozen=True, slots=True)
class MessageInfo:
    """What a handler knows of a message besides its payload.

    Attributes:
        message_id: As published; the same for every subscription.
        topic: That it was published to.
        time: Of what it tells (UTC).
        source: Who published it; '' if they did not say.
    """

    message_id: str
    topic: str
    time: datetime
    source: str


class BaseContext(ABC):
    """What both contexts have in common."""

    def __init__(self, facts: Facts, orders: Orders, outlet: Outlet) -> None:
        self._facts = facts
        self._orders = orders
        self._outlet = outlet

    @property
    def job_id(self) -> str:
        """Id of the job."""
        return self._facts.job_id

    @property
    def job_type(self) -> str:
        """Its type, the name that the handler is registered under."""
        return self._facts.type

    @property
    def queue(self) -> str:
        """Name of its queue."""
        return self._facts.queue

    @property
    def attempt(self) -> int:
        """Number of this attempt, from 1."""
        return self._facts.attempt

    @property
    def max_attempts(self) -> int:
        """Failed attempts after which the job is a dead letter."""
        return self._facts.max_attempts

    @property
    def fencing_token(self) -> int:
        """Higher at every grant of the job.

        Hand it to whatever the handler writes to, and let that refuse a token below the highest it
        has seen: then an attempt that lost its lease without noticing does no harm there either.
        """
        return self._facts.fencing_token

    @property
    def deadline(self) -> datetime | None:
        """When the job expires, by the server's clock (UTC); None if it does not."""
        return _moment(self._facts.deadline_ms)

    @property
    def schedule_id(self) -> str:
        """Schedule that made the job; '' for one that was submitted."""
        return self._facts.schedule_id

    @property
    def occurrence_time(self) -> datetime | None:
        """Time of the schedule that the job stands for (UTC): it may run later, or anew.

        None for a job that was submitted, or that the schedule was made to run by hand.
        """
        return _moment(self._facts.occurrence_ms)

    @property
    def metadata(self) -> Mapping[str, str]:
        """What its submitter sent along, such as trace context."""
        return self._facts.metadata

    @property
    def message(self) -> MessageInfo | None:
        """The envelope of the message that it was made of; None for a job of another origin."""
        message = self._facts.message
        if message is None:
            return None
        time = datetime.fromtimestamp(message.time_ms / 1000, UTC)
        return MessageInfo(message.message_id, message.topic, time, message.source)

    @property
    def last_checkpoint(self) -> Any:  # noqa: ANN401 - whatever was saved.
        """What an earlier attempt saved last, bytes or JSON as it was given; None if nothing."""
        return checkpoints.decode(self._facts.checkpoint)

    @property
    def stop_reason(self) -> StopReason | None:
        """Why the handler is to stop; None while it may go on."""
        return self._orders.stop_reason

    @property
    def draining(self) -> bool:
        """Whether the worker is being shut down: a good time to save a checkpoint."""
        return self._orders.draining

    def check(self) -> None:
        """Raises Stopped if the handler is to stop; for loops that nothing else interrupts."""
        if self._orders.stop_reason is not None:
            raise Stopped(self._orders.stop_reason)

    def progress(self, current: float, total: float = 0, message: str = "") -> None:
        """Says how far the job is. Cheap: call it as often as is natural, the latest wins.

        Args:
            current: units done.
            total: units in all; 0 where that is unknown.
            message: for people; cut at 1 KiB.

        Raises:
            ValueError: a number is not finite, or negative.
        """
        if not (math.isfinite(current) and math.isfinite(total)) or current < 0 or total < 0:
            raise ValueError("progress takes finite numbers from 0")
        self._send_progress(float(current), float(total), cut(message, MAX_PROGRESS_MESSAGE_BYTES))

    def log(self, message: str, level: LogLevel = "info") -> None:
        """Tells those who watch the job; cut at 4 KiB. Raises ValueError for an unknown level.

        It does not wait: while 10,000 lines are on their way, further ones are lost, and one line
        in their place tells how many.
        """
        if level not in _LEVELS:
            raise ValueError(f"level is one of {', '.join(get_args(LogLevel))}")
        self._send_log(level, cut(message, MAX_LOG_BYTES))

    @abstractmethod
    def _send_progress(self, current: float, total: float, message: str) -> None: ...

    @abstractmethod
    def _send_log(self, level: str, message: str) -> None: ...


class Context(BaseContext):
    """The context of an ``async def`` handler.

    A handler that is to stop is cancelled: its current await raises CancelledError, and by then
    ``stop_reason`` says why. As all of asyncio, it belongs to the event loop's thread.
    """

    @property
    def cancelled(self) -> AsyncFlag:
        """Set once the handler is to stop, for whatever reason."""
        flag = self._orders.flag
        if not isinstance(flag, AsyncFlag):
            flag = AsyncFlag()
            if self._orders.stop_reason is not None:
                flag.set()
            self._orders.flag = flag
        return flag

    async def emit(self, chunk: str | bytes) -> None:
        """Adds a part to the output; waits while too much of it is on its way.

        Raises:
            TypeError: it is neither str nor bytes.
            ValueError: it is longer than 256 KiB.
            Stopped: the attempt is over.
        """
        if data := chunk_bytes(chunk):
            await self._outlet.emit(data)

    async def checkpoint(self, data: Any) -> None:  # noqa: ANN401 - bytes, or any JSON.
        """Saves data for the next attempt, in place of what was saved; returns once it is stored.

        Args:
            data: bytes, or what has a JSON form.

        Raises:
            ValueError: it is longer than 1 MiB, or has no JSON form.
            Stopped: the attempt is over.
        """
        await self._outlet.checkpoint(checkpoints.encode(data))

    async def invalidate(
        self,
        job_type: str = "",
        payload: object = ...,
        *,
        key: str = "",
        tags: Iterable[str] = (),
    ) -> None:
        """Forgets cached results: of a type, of one piece of work in it, of tags.

        Once it returns, no submit that is sent later is answered with a job that was submitted
        before. So call it once what was written can be read. What is given together is forgotten
        together; repeating it, as a further attempt may, is safe.

        Args:
            job_type: all results of this type; with payload or key, only those of that work.
            payload: of the work; not given is any.
            key: of the work, as its submits name it.
            tags: all results with one of these tags, of whatever type.

        Raises:
            ValueError: nothing is given, or a name that no submit can have.
            TypeError: tags is a string.
            Stopped: the attempt is over.
        """
        await self._outlet.invalidate(targets_of(job_type, payload, key, tags))

    def _send_progress(self, current: float, total: float, message: str) -> None:
        self._outlet.progress(current, total, message)

    def _send_log(self, level: str, message: str) -> None:
        self._outlet.log(level, message)


def _moment(time_ms: int | None) -> datetime | None:
    return None if time_ms is None else datetime.fromtimestamp(time_ms / 1000, UTC)


def chunk_bytes(chunk: str | bytes) -> bytes:
    """A part of the output. Raises TypeError or ValueError where it cannot be one."""
    if not isinstance(chunk, (str, bytes)):
        raise TypeError(f"a chunk is str or bytes, not {type(chunk).__name__}")
    data = chunk.encode() if isinstance(chunk, str) else chunk
    if len(data) > MAX_CHUNK_BYTES:
        raise ValueError(f"a chunk has at most {MAX_CHUNK_BYTES:,} bytes: emit several")
    return data
