"""From the one async implementation to blocking classes, without a second copy.

A coroutine over a `BlockingTransport` never suspends, so that one ``send(None)`` runs it to its
end. A blocking class holds its async counterpart, and borrows the methods: signature, types and
docstring included::

    class JobHandle(Facade[AsyncJobHandle]):
        cancel = blocking(AsyncJobHandle.cancel)
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, Concatenate, Generic, ParamSpec, TypeVar

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine, Iterator

Core = TypeVar("Core")
Core_co = TypeVar("Core_co", covariant=True)
Wrapped = TypeVar("Wrapped")
Params = ParamSpec("Params")
Result = TypeVar("Result")


class Facade(Generic[Core_co]):
    """The blocking face of something async."""

    __slots__ = ("_core",)

    def __init__(self, core: Core_co) -> None:
        self._core = core


def run(coroutine: Coroutine[Any, Any, Result]) -> Result:
    """Runs a coroutine that never suspends, and returns what it returns."""
    try:
        coroutine.send(None)
    except StopIteration as stop:
        result: Result = stop.value
        return result
    coroutine.close()
    raise RuntimeError("it awaited what its transport does not offer")


def blocking(
    method: Callable[Concatenate[Core, Params], Coroutine[Any, Any, Result]],
) -> Callable[Concatenate[Facade[Core], Params], Result]:
    """An async method, as a blocking one."""

    @functools.wraps(method)
    def call(self: Facade[Core], /, *args: Params.args, **kwargs: Params.kwargs) -> Result:
        return run(method(self._core, *args, **kwargs))

    return call


def handing_out(
    face: Callable[[Result], Wrapped],
    method: Callable[Concatenate[Core, Params], Coroutine[Any, Any, Result]],
) -> Callable[Concatenate[Facade[Core], Params], Wrapped]:
    """An async method, as a blocking one that puts a blocking face on what it returns."""

    @functools.wraps(method)
    def call(self: Facade[Core], /, *args: Params.args, **kwargs: Params.kwargs) -> Wrapped:
        return face(run(method(self._core, *args, **kwargs)))

    return call


def plain(
    face: Callable[[Result], Wrapped],
    method: Callable[Concatenate[Core, Params], Result],
) -> Callable[Concatenate[Facade[Core], Params], Wrapped]:
    """A method that is not async, with a blocking face on what it returns."""

    @functools.wraps(method)
    def call(self: Facade[Core], /, *args: Params.args, **kwargs: Params.kwargs) -> Wrapped:
        return face(method(self._core, *args, **kwargs))

    return call


def iterate(items: AsyncIterator[Result]) -> Iterator[Result]:
    """An async iterator, as a plain one."""
    while True:
        try:
            item = run(_next(items))
        except StopAsyncIteration:
            return
        yield item


async def _next(items: AsyncIterator[Result]) -> Result:
    return await anext(items)
