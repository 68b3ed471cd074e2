"""Following one job: from a cursor to its last event, across whatever breaks on the way."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final, Self

from penstock.client.cursor import Cursor
from penstock.client.errors import Status, StatusError, Unavailable
from penstock.client.rpc import Outage, Rpc, is_break
from penstock.v1 import job_service_pb2 as pb

if TYPE_CHECKING:
    from types import TracebackType

    from penstock.client.events import Event
    from penstock.client.transport import Stream

#: A stream that stood for this long (s) was no part of an outage.
STEADY_S: Final = 5.0


class AsyncWatch:
    """An iterator over the events of a job, which ends after the terminal one.

    When the stream breaks or ends early it is opened anew, after a pause, and goes on from the
    cursor: no event is missed, none is given twice. For one task at a time; `aclose` may be
    called from any. Leaving it as a context manager closes it, and so does dropping it.

    Attributes:
        job_id: of the job.
    """

    def __init__(self, rpc: Rpc, job_id: str, after: int, reconnect_for_s: float) -> None:
        self.job_id = job_id
        self._rpc = rpc
        self._cursor = Cursor(job_id, after)
        self._outage = Outage(reconnect_for_s)
        self._pause = rpc.transport.waker()
        self._stream: Stream[pb.StreamProgressResponse] | None = None
        self._heard_at: float | None = None  # When this stream began to tell, by time.monotonic.
        self._closed = False
        self._interruption: Status | None = None

    @property
    def cursor(self) -> int:
        """Sequence of the last event given: pass it as ``after`` to go on another time."""
        return self._cursor.sequence

    @property
    def interruption(self) -> Status | None:
        """Why there is no stream: the last try's failure. None while it stands, or is not read."""
        return self._interruption

    @property
    def closed(self) -> bool:
        """Whether it has come to its end, or was closed."""
        return self._closed

    async def aclose(self) -> None:
        """Ends the call and the iteration. Idempotent."""
        self.abort()

    def abort(self) -> None:
        """As aclose(), where nothing can be awaited."""
        # In this order: who opens a stream looks at the flag afterwards.
        self._closed = True
        self._interruption = None
        self._drop_stream()
        self._pause.wake()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Event:
        """The next event.

        Raises:
            NotFound: no such job, or it went past its retention meanwhile.
            CursorOutOfRange: the cursor is beyond the newest event.
            Unavailable: no gateway for longer than ``reconnect_for``.
            StatusError: any other refusal.
        """
        try:
            while not (self._closed or self._cursor.complete):
                event = await self._step()
                if event is not None:
                    return event
        except StatusError as error:
            error.add_note(f"watch({self.job_id!r}, after={self.cursor}) goes on from here")
            self.abort()
            raise
        except BaseException:
            # The task was cancelled, by a time limit perhaps: another call may go on.
            self._drop_stream()
            raise
        self.abort()
        raise StopAsyncIteration

    async def _step(self) -> Event | None:
        """Reads one message; the event that it tells, if it is news."""
        stream = self._stream or self._open()
        if self._closed:
            self._drop_stream()
            return None
        try:
            message = await self._rpc.read(stream)
            if message is None:
                raise _ended("the stream ended before its job did")
            if message.HasField("end"):
                await self._go_on_elsewhere(message.end)
                return None
            self._heard_at = self._heard_at or time.monotonic()
            self._interruption = None
            event = self._cursor.take(message)
        except StatusError as error:
            await self._reopen_later(error)
            return None
        if not message.HasField("snapshot"):
            self._outage.over()
        return event

    def _open(self) -> Stream[pb.StreamProgressResponse]:
        request = pb.StreamProgressRequest(job_id=self.job_id, after_sequence=self.cursor)
        transport = self._rpc.transport
        self._stream = transport.stream(transport.stubs.jobs.StreamProgress, request)
        self._heard_at = None
        return self._stream

    @property
    def _steady(self) -> bool:
        return self._heard_at is not None and time.monotonic() - self._heard_at > STEADY_S

    async def _go_on_elsewhere(self, end: pb.EndOfStream) -> None:
        """The gateway ended the stream; a new one goes on from the cursor."""
        if self._steady and end.reason != pb.EndOfStream.REASON_SHUTDOWN:
            self._outage.over()
            self._drop_stream()
            return
        await self._reopen_later(_ended("the gateway ended the stream, for now"))

    async def _reopen_later(self, error: StatusError) -> None:
        self._drop_stream()
        if self._closed:
            return
        if not is_break(error):
            raise error
        if self._steady:
            self._outage.over()
        self._interruption = error.status  # The error itself would hold this object, by its frames.
        await self._pause.wait(self._outage.pause_s(error))

    def _drop_stream(self) -> None:
        stream, self._stream = self._stream, None
        if stream is not None:
            stream.cancel()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.abort()


def _ended(message: str) -> Unavailable:
    return Unavailable(Status("UNAVAILABLE", message))
