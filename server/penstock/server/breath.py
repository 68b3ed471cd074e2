"""Looking into payloads without keeping the event loop from everybody else."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final, ParamSpec, TypeVar

from penstock.server.payloads import judge

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from jsonschema_rs import Validator

__all__ = ["Breath"]

Params = ParamSpec("Params")
Result = TypeVar("Result")

#: Payloads beyond it are judged in a thread.
INLINE_BYTES: Final = 65_536
#: So much is judged on the loop before others have their turn.
BREATH_BYTES: Final = 65_536
#: To list what is wrong takes so many times as long as to find nothing wrong.
REFUSED_WEIGHT: Final = 16


class Breath:
    """Looks into the payloads of one call, and lets others have their turn in between.

    A payload of 64 KiB that is accepted takes about a millisecond; one that is refused takes up to
    some tens.
    """

    __slots__ = ("_left",)

    def __init__(self) -> None:
        self._left = BREATH_BYTES

    async def judge(
        self, path: str, data: bytes, validators: Sequence[Validator]
    ) -> list[tuple[str, str]]:
        """As `payloads.judge`."""
        if len(data) > INLINE_BYTES:
            return await asyncio.to_thread(judge, path, data, validators)
        found = judge(path, data, validators)
        await self._spend(len(data) * (REFUSED_WEIGHT if found else 1))
        return found

    async def take(
        self,
        size: int,
        work: Callable[Params, Result],
        *args: Params.args,
        **kwargs: Params.kwargs,
    ) -> Result:
        """Does some other work on so many bytes, as costly as to judge them."""
        if size > INLINE_BYTES:
            return await asyncio.to_thread(work, *args, **kwargs)
        done = work(*args, **kwargs)
        await self._spend(size)
        return done

    async def _spend(self, size: int) -> None:
        self._left -= size
        if self._left < 0:
            self._left = BREATH_BYTES
            await asyncio.sleep(0)
