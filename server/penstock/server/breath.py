"""Judging payloads without keeping the event loop from everybody else."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from penstock.server.payloads import judge

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jsonschema_rs import Validator

__all__ = ["Breath"]

#: Payloads beyond it are judged in a thread.
INLINE_BYTES: Final = 65_536
#: So much is judged on the loop before others have their turn.
BREATH_BYTES: Final = 65_536
#: To list what is wrong takes so many times as long as to find nothing wrong.
REFUSED_WEIGHT: Final = 16


class Breath:
    """Judges the payloads of one call, and lets others have their turn in between.

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
        self._left -= len(data) * (REFUSED_WEIGHT if found else 1)
        if self._left < 0:
            self._left = BREATH_BYTES
            await asyncio.sleep(0)
        return found
