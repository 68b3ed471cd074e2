"""Handlers that note where no fault of Redis reaches under which token they were started."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

from penstock.worker import Context, Worker

app = Worker(slots=20)


@app.job("note")
async def note(number: int, ctx: Context) -> int:
    """Notes that it was started."""
    _write(number, ctx.fencing_token)
    return number


@app.job("hold")
async def hold(number: int, ctx: Context) -> int:
    """Runs until a file is there; its result is the token of the attempt."""
    _write(number, ctx.fencing_token)
    gate = Path(os.environ["PENSTOCK_TEST_GATE"])
    while not gate.exists():  # noqa: ASYNC110, ASYNC240 - of another process.
        await asyncio.sleep(0.02)
    return ctx.fencing_token


def _write(number: int, token: int) -> None:
    journal = os.open(os.environ["PENSTOCK_TEST_JOURNAL"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    try:
        os.write(journal, f"{number} {token}\n".encode())  # One write of a short line is not torn.
    finally:
        os.close(journal)
