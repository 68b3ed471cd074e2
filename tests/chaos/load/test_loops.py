"""Loops go on in spite of calls that fail, and hide nothing else."""

from __future__ import annotations

import asyncio

import pytest

from penstock.client import PenstockError
from tests.chaos.load.loops import Loops


class Told(Loops):
    """Keeps what it is told."""

    def __init__(self) -> None:
        super().__init__(pause_s=0)
        self.errors: list[str] = []

    def failed(self, loop: str, error: Exception, /) -> None:
        self.errors.append(f"{loop}: {error}")


async def test_a_call_that_fails_is_told_and_the_loop_goes_on() -> None:
    often = asyncio.Event()
    async with Told() as loops:

        async def fail() -> None:
            if len(loops.errors) == 2:
                often.set()
            raise PenstockError("away")

        loops.begin("submit", fail)
        await often.wait()
        await loops.finish()
    assert loops.errors[:2] == ["submit: away"] * 2


async def test_the_round_under_way_comes_to_its_end() -> None:
    begun, ended = asyncio.Event(), 0
    async with Told() as loops:

        async def take_long() -> None:
            nonlocal ended
            begun.set()
            await asyncio.sleep(0)
            ended += 1

        loops.begin("submit", take_long)
        await begun.wait()
        await loops.finish()
        assert ended == 1


async def test_what_nobody_expected_is_raised() -> None:
    begun = asyncio.Event()
    async with Told() as loops:

        async def break_off() -> None:
            begun.set()
            raise ZeroDivisionError

        loops.begin("submit", break_off)
        await begun.wait()
        with pytest.raises(ZeroDivisionError):
            await loops.finish()
