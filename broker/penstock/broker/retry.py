"""The one retry helper, for idempotent scripts alone, and the delays that every retry here uses.

Nothing below this repeats a command: redis-py's own retries are off, since they repeat a write
whose reply was lost whether or not it may be repeated.
"""

from __future__ import annotations

import asyncio
from itertools import count
from typing import TYPE_CHECKING, Final, Protocol, TypeVar

from penstock.broker.errors import ReplyError, Unavailable
from penstock.runtime.backoff import Backoff

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

FIRST_DELAY_S: Final = 0.025
LONGEST_DELAY_S: Final = 0.5
#: A budget of at least so much needs no timer for its first attempt, which costs as much as a
#: command: the link gives a connection up that answers nothing for so long.
UNTIMED_S: Final = 5.0

_T = TypeVar("_T")


class Readiness(Protocol):
    """Something that can be waited for until it serves again; in practice a `RedisLink`."""

    async def ready(self, timeout_s: float | None = None) -> None:
        """Returns when commands can be issued; raises Unavailable where they never will be."""

    def renew(self, reason: str) -> None:
        """Drops the connection, since the server behind it is not the right one any more."""


def backoff(first_s: float, longest_s: float) -> Iterator[float]:
    """Endless delays in seconds that double from first_s to longest_s.

    Each is moved by up to half of itself, so that processes that failed together do not come back
    together.
    """
    delays = Backoff(initial_s=first_s, max_s=longest_s, jitter=0.5)
    return (delays.delay_s(retry) for retry in count(1))


async def with_retry(
    fn: Callable[[], Awaitable[_T]],
    *,
    link: Readiness,
    budget_s: float,
    retry_on: type[Exception] | tuple[type[Exception], ...] = Unavailable,
) -> _T:
    """Awaits fn() until it succeeds, repeating it on retry_on for as long as the budget lasts.

    Args:
        fn: one attempt. **It must be idempotent**: a lost reply may hide an executed command.
        link: waited for between attempts, so that none is wasted on a connection that is down.
        budget_s: seconds by the monotonic clock for all attempts and the delays between them,
            usually what is left of the caller's deadline. An attempt that outlives it is abandoned.
        retry_on: what is worth another attempt.

    Raises:
        Unavailable: the link was closed, or the budget was spent before any attempt had failed.
        Exception: whatever else fn raises, at once; the last error, once the budget is spent.
    """
    if budget_s <= 0:
        raise Unavailable("the time allowed was spent before the first attempt")
    deadline = asyncio.get_running_loop().time() + budget_s
    last: Exception | None = None
    if budget_s >= UNTIMED_S:
        try:
            return await fn()
        except retry_on as error:
            last = error
    try:
        return await _keep_trying(fn, link, deadline, retry_on, last)
    finally:
        del last  # See there.


async def _keep_trying(
    fn: Callable[[], Awaitable[_T]],
    link: Readiness,
    deadline: float,
    retry_on: type[Exception] | tuple[type[Exception], ...],
    last: Exception | None,
) -> _T:
    """with_retry() until a time of the loop's clock, from the pause after an error on, if any."""
    delays_s = backoff(FIRST_DELAY_S, LONGEST_DELAY_S)
    scope = asyncio.timeout_at(deadline)
    try:
        async with scope:
            while True:
                if last is not None:
                    await _sit_out(last, link, next(delays_s), deadline)
                try:
                    return await fn()
                except retry_on as error:
                    last = error
    except TimeoutError:
        if not scope.expired():
            raise  # An attempt's own time-out, not ours.
        raise last or Unavailable("no reply from Redis in the time allowed") from None
    finally:
        # An error and a frame that it passed would hold each other, and all that the callers hold,
        # such as payloads, until the garbage collector comes by.
        del last


async def _sit_out(error: Exception, link: Readiness, delay_s: float, deadline: float) -> None:
    """Waits until another attempt is worth while; raises the error if that would be too late."""
    if isinstance(error, ReplyError) and error.code == "READONLY":
        # Demoted: another node is the primary now, maybe under the same name.
        link.renew("the server has become read-only")
    try:
        if asyncio.get_running_loop().time() + delay_s >= deadline:
            raise error
    finally:
        del error  # As above.
    await asyncio.sleep(delay_s)
    await link.ready()
