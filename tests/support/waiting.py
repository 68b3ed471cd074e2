"""Waiting for a condition, instead of for a time."""

import inspect
import time
from asyncio import sleep
from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeVar, overload

__all__ = ["eventually", "wait_until"]

Value = TypeVar("Value")

_POLL_S: Final = 0.005


@overload
async def eventually(
    probe: Callable[[], Awaitable[Value]],
    description: str,
    *,
    within_s: float = ...,
    every_s: float = ...,
) -> Value: ...
@overload
async def eventually(
    probe: Callable[[], Value],
    description: str,
    *,
    within_s: float = ...,
    every_s: float = ...,
) -> Value: ...
async def eventually(
    probe: Callable[[], Any],
    description: str,
    *,
    within_s: float = 30.0,
    every_s: float = _POLL_S,
) -> Any:  # The overloads say more.
    """Call ``probe`` until what it returns is true, and return that.

    Args:
        probe: A plain or an async function; an exception that it raises ends the wait.
        description: What is waited for, as the failure will say ("the job is RUNNING").
        within_s: The limit in seconds. Generous: it is reached only by a failing test.
        every_s: The pause between two calls, in seconds.

    Raises:
        AssertionError: The condition did not hold in time; the last value is quoted.
    """
    give_up = time.monotonic() + within_s
    while True:
        answer = probe()
        value = await answer if inspect.isawaitable(answer) else answer
        if value:
            return value
        _check(give_up, description, within_s, value)
        await sleep(every_s)


def wait_until(probe: Callable[[], Value], description: str, *, within_s: float = 30.0) -> Value:
    """As eventually(), for a test without an event loop."""
    give_up = time.monotonic() + within_s
    while not (value := probe()):
        _check(give_up, description, within_s, value)
        time.sleep(_POLL_S)
    return value


def _check(give_up: float, description: str, within_s: float, value: object) -> None:
    if time.monotonic() >= give_up:
        raise AssertionError(f"not within {within_s:g} s: {description} (last: {value!r})")
