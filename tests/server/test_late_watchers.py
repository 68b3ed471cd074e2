"""A watcher that comes while the shared reader reads: it gets what lies between."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from penstock.broker import Progress
from tests.support.waiting import eventually

if TYPE_CHECKING:
    import pytest

    from penstock.broker import Event, EventPage
    from tests.server.rig import Rig


async def test_one_with_an_older_cursor_gets_what_is_between(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id = (await rig.submit()).job_id
    grant = await rig.claim()
    hub = rig.hub
    with hub.watch(job_id, 2) as early:
        early_events = asyncio.ensure_future(early.next())
        await eventually(lambda: early.mailbox.live, "the first one is fed")
        [feed] = hub._feeds.values()
        read, reading, go_on = feed.page, asyncio.Event(), asyncio.Event()

        async def held(after: int, *page_bytes: int) -> EventPage | None:
            """The page is read after the cursor of then, and comes back late."""
            page = await read(after, *page_bytes)
            if page is not None and page.events and not go_on.is_set():
                reading.set()
                await go_on.wait()
            return page

        monkeypatch.setattr(feed, "page", held)
        await rig.report(grant, Progress(1, 2))
        await asyncio.wait_for(reading.wait(), 5)
        # The only one who is fed leaves. Another, further behind, is fed in its place.
        early.mailbox.fall_behind()
        with hub.watch(job_id, 0) as late:
            await feed.take_over(late)
            go_on.set()
            told: list[Event] = []
            while len(told) < 3:
                told += await asyncio.wait_for(late.next(), 5)
        assert [event.first_sequence for event in told] == [1, 2, 3]
        assert [event.first_sequence for event in await early_events] == [3]
