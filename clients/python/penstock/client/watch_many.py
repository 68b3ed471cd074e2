"""Following many jobs at once: one stream each, all in one iterator."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Self

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType

    from penstock.client.errors import Status
    from penstock.client.events import Event
    from penstock.client.transport import Mailbox, Running, Transport, Waker
    from penstock.client.watch import AsyncWatch


class _Told(NamedTuple):
    """An event, and the waker of its watch, which waits until the event is taken."""

    event: Event
    turn: Waker


class _Ended(NamedTuple):
    """A watch came to its end: by itself if the error is None."""

    error: Exception | None


class AsyncMergedWatch:
    """An iterator over the events of several jobs, which ends after the last job's terminal one.

    The events of each job are in order; those of different jobs come as they arrive. A job's next
    event is read once its last was taken, so that a slow reader slows the streams, and memory does
    not grow. Each job is a stream: gateways limit how many a connection may have.

    Leaving it as a context manager closes it, and so does dropping it.

    Attributes:
        cursors: sequence of the last event given of each job: pass it to go on another time.
    """

    def __init__(self, transport: Transport, watches: Sequence[AsyncWatch]) -> None:
        self._transport = transport
        self._watches = watches
        self._mailbox: Mailbox[_Told | _Ended] = transport.mailbox()
        self._turns = [transport.waker() for _ in watches]
        self._readers: list[Running] = []
        self._live = len(watches)
        self._closed = False
        self.cursors = {watch.job_id: watch.cursor for watch in watches}

    @property
    def interruption(self) -> Status | None:
        """Why a stream is missing: the last failure of the first that has none; else None."""
        return next(filter(None, (watch.interruption for watch in self._watches)), None)

    async def aclose(self) -> None:
        """Ends the calls and the iteration. Idempotent."""
        self.abort()
        for reader in self._readers:
            await reader.join()

    def abort(self) -> None:
        """As aclose(), without waiting for the readers to end."""
        self._closed = True
        for watch, turn in zip(self._watches, self._turns, strict=True):
            watch.abort()
            turn.wake()
        self._mailbox.put(_Ended(None))  # For whoever waits for an event in another thread.

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Event:
        """The next event of any of the jobs.

        Raises:
            StatusError: as AsyncWatch, for any of the jobs; the others are then closed.
        """
        if not self._readers:
            self._start()
        while self._live and not self._closed:
            match await self._mailbox.get():
                case _Told(event, turn):
                    turn.wake()
                    self.cursors[event.job_id] = event.last_sequence
                    return event
                case _Ended(None):
                    self._live -= 1
                case _Ended(error) if error is not None:
                    await self.aclose()
                    raise error
        await self.aclose()
        raise StopAsyncIteration

    def _start(self) -> None:
        for watch, turn in zip(self._watches, self._turns, strict=True):
            reader = _read(watch, self._mailbox, turn)
            self._readers.append(self._transport.run_beside(reader, f"penstock-{watch.job_id}"))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.aclose()

    def __del__(self) -> None:
        # The readers know nothing of this object, so it can be dropped while they run.
        self.abort()


async def _read(watch: AsyncWatch, mailbox: Mailbox[_Told | _Ended], turn: Waker) -> None:
    error: Exception | None = None
    try:
        async for event in watch:
            mailbox.put(_Told(event, turn))
            await turn.wait()
    except Exception as failure:  # noqa: BLE001 - it is raised where the events are read.
        error = failure
    finally:
        mailbox.put(_Ended(error))
