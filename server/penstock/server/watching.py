"""Watching jobs: one shared reader per watched job, however many watch it.

A reader is woken by the broker's wake-ups, looks by itself every second or two in case one was
lost, reads the job's log once after its cursor, and puts what it finds into the mailboxes of all
watchers. A watcher that is new, or whose mailbox overflowed, reads the log by itself until it has
caught up, and is then fed like the others.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Final, TypeVar

from penstock.broker import CursorOutOfRange, Overloaded, StateChange, Unavailable
from penstock.runtime import jittered
from penstock.server.mailbox import Mailbox, merge_progress

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from penstock.broker import Broker, Event, EventPage, Job, Wakeups

__all__ = ["Hub", "Watcher", "is_terminal"]

#: How often a reader looks by itself (s), spread by +- POLL_JITTER of it.
POLL_S: Final = 1.5
POLL_JITTER: Final = 0.33
#: Most events that are read at once.
PAGE: Final = 100
#: About how many bytes, of the first page that a watcher reads by itself, and of later ones: for
#: each page that it took, the next one may be twice as long.
FIRST_BYTES: Final = 65_536
PAGE_BYTES: Final = 1_048_576
#: How long one attempt at reading may take (s); it bounds how late a watcher hears a nudge.
_ATTEMPT_S: Final = 1.0
_PAUSE_S: Final = 0.1

_T = TypeVar("_T")


def is_terminal(event: Event) -> bool:
    """Whether it is the last event of its job."""
    return isinstance(event.body, StateChange) and event.body.state.terminal


class Hub:
    """All watched jobs of this process."""

    def __init__(self, broker: Broker, wakeups: Wakeups, backlog: int) -> None:
        self._broker = broker
        self._wakeups = wakeups
        self._backlog = backlog
        self._feeds: dict[str, _Feed] = {}

    @property
    def readers(self) -> int:
        """How many jobs are watched."""
        return len(self._feeds)

    @contextlib.contextmanager
    def watch(self, job_id: str, after: int) -> Iterator[Watcher]:
        """A watcher of a job from a cursor on, for as long as the block lasts."""
        feed = self._feeds.get(job_id)
        if feed is None:
            feed = _Feed(job_id, self._broker, self._wakeups, self._forget)
            self._feeds[job_id] = feed
        watcher = Watcher(feed, Mailbox(after, self._backlog))
        feed.watchers.add(watcher)
        try:
            yield watcher
        finally:
            feed.watchers.discard(watcher)
            if not feed.watchers:
                feed.close()

    async def look(self, job_id: str) -> Job | None:
        """The job as it stands, with its result; None if Redis cannot be asked now.

        Raises:
            NotFound: the job is gone.
        """
        return await _attempt(
            lambda: self._broker.jobs.get(job_id, result=True, budget_s=_ATTEMPT_S)
        )

    def _forget(self, feed: _Feed) -> None:
        if self._feeds.get(feed.job_id) is feed:
            del self._feeds[feed.job_id]


class Watcher:
    """One who watches a job."""

    def __init__(self, feed: _Feed, mailbox: Mailbox) -> None:
        self._feed = feed
        self.mailbox = mailbox
        self._changed = asyncio.Event()
        self._nudged = False
        self._was_fed = False
        self._page_bytes = FIRST_BYTES

    def nudge(self) -> None:
        """Makes the present or next call of `next` return at once, with nothing."""
        self._nudged = True
        self._changed.set()

    def notice(self) -> None:
        """Called by the feed when the mailbox has changed, or the feed has failed."""
        self._changed.set()

    async def next(self) -> list[Event]:
        """The next events, at least one unless it was nudged; waits for as long as it takes.

        Raises:
            NotFound: the job is gone.
            CursorOutOfRange: the server lost events that were seen already.
        """
        mailbox = self.mailbox
        while not self._nudged:
            self._changed.clear()
            if events := mailbox.take():
                return events
            if self._feed.error is not None:
                raise self._feed.error
            if mailbox.live:
                await self._changed.wait()
            elif events := await self._catch_up():
                return events
        self._nudged = False
        return []

    def go_back(self, cursor: int) -> None:
        """Drops what was read for it after a cursor; it is read again when it is asked for."""
        self.mailbox.take()
        self.mailbox.cursor = cursor
        self.mailbox.live = False
        self._page_bytes = FIRST_BYTES

    async def final(self) -> Job | None:
        """The job with its result, after its terminal event; None if it was nudged before.

        Raises:
            NotFound: the job is gone.
        """
        while not self._nudged:
            job = await self._feed.final()
            if job is not None:
                return job
        return None

    async def _catch_up(self) -> list[Event]:
        """A page of the log after the cursor; at its end, the feed takes over."""
        mailbox = self.mailbox
        page = await self._feed.page(mailbox.cursor, self._page_bytes)
        if page is None:
            return []
        self._page_bytes = min(2 * self._page_bytes, PAGE_BYTES)
        events = list(page.events)
        if events:
            mailbox.cursor = events[-1].last_sequence
        if self._was_fed:
            # Whoever was sent back to the log is slow; a first reading tells everything.
            events = merge_progress(events)
        if page.state.terminal:
            if not events:
                # Whoever was told of the end asks no more: the events up to the cursor were lost,
                # and others have their numbers.
                raise CursorOutOfRange(page.last_sequence)
        elif mailbox.cursor >= page.last_sequence:
            await self._feed.take_over(self)
            self._was_fed = self._was_fed or mailbox.live
        return events


class _Feed:
    """The shared reader of one job. It begins when the first watcher has caught up.

    Attributes:
        watchers: all of them, fed or not.
        cursor: the last sequence that every fed watcher was given.
        error: why it ended, if it had to.
    """

    def __init__(
        self, job_id: str, broker: Broker, wakeups: Wakeups, forget: Callable[[_Feed], None]
    ) -> None:
        self.job_id = job_id
        self.watchers: set[Watcher] = set()
        self.cursor = 0
        self.error: Exception | None = None
        self._broker = broker
        self._wakeups = wakeups
        self._forget = forget
        self._woken = asyncio.Event()
        self._channel: bytes | None = None
        self._task: asyncio.Task[None] | None = None
        self._ended = False
        self._final: Job | None = None
        self._finishing = asyncio.Lock()

    def close(self) -> None:
        """Ends the reader; nobody watches any more."""
        self._forget(self)
        if self._channel is not None:
            self._wakeups.unlisten(self._channel, self._woken.set)
        if self._task is not None:
            self._task.cancel()

    async def page(self, after: int, page_bytes: int = PAGE_BYTES) -> EventPage | None:
        """Events after a sequence; None if Redis cannot be asked now, after a pause."""
        jobs = self._broker.jobs
        return await _attempt(
            lambda: jobs.events(
                self.job_id, after, limit=PAGE, page_bytes=page_bytes, budget_s=_ATTEMPT_S
            )
        )

    async def final(self) -> Job | None:
        """The ended job with its result, read once for all watchers; None as in `page`."""
        async with self._finishing:
            if self._final is None:
                self._final = await _attempt(
                    lambda: self._broker.jobs.get(self.job_id, result=True, budget_s=_ATTEMPT_S)
                )
        return self._final

    async def take_over(self, watcher: Watcher) -> None:
        """Feeds a watcher from now on, if nothing that it lacks was given to the others already."""
        if self._task is None:
            channel = await self._find_channel()
            if channel is None:
                return  # The watcher reads on by itself, and comes back here.
            if self._task is None:
                self._channel = channel
                # Also called when the subscription is confirmed: nothing falls in between.
                self._wakeups.listen(channel, self._woken.set)
                self._task = asyncio.create_task(self._run(), name=f"feed-{self.job_id}")
        mailbox = watcher.mailbox
        if not any(other.mailbox.live for other in self.watchers):
            self.cursor = mailbox.cursor
        mailbox.live = self.cursor <= mailbox.cursor
        self._woken.set()

    async def _find_channel(self) -> bytes | None:
        engine = self._broker.engine
        found = await _attempt(lambda: engine.locate(self.job_id, _ATTEMPT_S))
        return None if found is None else found[0].channel(found[1])

    async def _run(self) -> None:
        try:
            while True:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(jittered(POLL_S, POLL_JITTER)):
                        await self._woken.wait()
                self._woken.clear()
                while await self._read():
                    pass
        except Exception as error:  # noqa: BLE001 - each watcher raises it in its own call.
            self.error = error
            self._forget(self)
            self._tell()

    async def _read(self) -> bool:
        """Gives the next page to those who are fed; returns whether there may be more."""
        fed = [watcher for watcher in self.watchers if watcher.mailbox.live]
        if not fed:
            return False
        after = self.cursor
        page = await self.page(after)
        if page is None or after > self.cursor:
            return True  # Somebody with an older cursor came meanwhile, and needs what is between.
        if page.state.terminal and not page.events and not self._ended:
            raise CursorOutOfRange(page.last_sequence)  # As for a watcher that reads by itself.
        fed = [watcher for watcher in self.watchers if watcher.mailbox.live]
        for event in page.events:
            for watcher in fed:
                if watcher.mailbox.live:
                    watcher.mailbox.put(event)
            self.cursor = max(self.cursor, event.last_sequence)
            self._ended = self._ended or is_terminal(event)
        if page.events:
            self._tell()
        return self.cursor < page.last_sequence

    def _tell(self) -> None:
        for watcher in self.watchers:
            watcher.notice()


async def _attempt(read: Callable[[], Awaitable[_T]]) -> _T | None:
    """What was read; None if Redis cannot be asked now, after a pause."""
    try:
        return await read()
    except (Unavailable, Overloaded):
        await asyncio.sleep(_PAUSE_S)
        return None
