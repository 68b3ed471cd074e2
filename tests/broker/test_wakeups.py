"""Wake-ups: a connection that is of no use is not made again more and more often."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from penstock.broker import Wakeups
from penstock.broker.link import RedisLink
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from penstock.broker.dedicated import Session

USER = "deaf"


@pytest.fixture
async def deaf_url(redis_url: str) -> AsyncIterator[str]:
    """Of a user who may connect, and subscribe to nothing."""
    async with RedisLink(redis_url) as link:
        await link.call("ACL", "SETUSER", USER, "on", ">secret", "resetchannels", "+@connection")
        yield redis_url.replace("unix://", f"unix://{USER}:secret@", 1)
        await link.call("ACL", "DELUSER", USER)


@pytest.mark.parametrize("allowed", [True, False])
async def test_a_session_that_is_answered_with_errors_alone_was_of_no_use(
    redis_url: str, deaf_url: str, *, allowed: bool
) -> None:
    wakeups = _Watched(redis_url if allowed else deaf_url)
    woken = asyncio.Event()
    wakeups.listen(b"channel", woken.set)
    await wakeups.start()
    try:
        if allowed:
            await asyncio.wait_for(woken.wait(), 30)  # By the confirmation.
            wakeups.sessions[0].abort()
        await eventually(lambda: wakeups.useful, "a session has ended", within_s=30)
    finally:
        await wakeups.stop()
    assert wakeups.useful[0] is allowed


class _Watched(Wakeups):
    """Notes what its sessions come to."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.sessions: list[Session] = []
        self.useful: list[bool] = []

    def _session(self) -> Session:
        session = super()._session()
        serve = session.serve

        async def noted() -> bool:
            useful = await serve()
            self.useful.append(useful)
            return useful

        session.serve = noted  # type: ignore[method-assign]
        self.sessions.append(session)
        return session
