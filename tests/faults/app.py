"""Handlers whose every execution leaves a line in a file, which no fault of Redis can touch."""

from __future__ import annotations

import asyncio
import os

from penstock.worker import Worker

app = Worker(slots=20)


@app.job("tally")
async def tally(number: int) -> int:
    """Takes a moment, and notes that it ran."""
    await asyncio.sleep(0.02)
    journal = os.open(os.environ["PENSTOCK_TEST_JOURNAL"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    try:
        os.write(journal, f"{number}\n".encode())  # One write of a short line is not torn.
    finally:
        os.close(journal)
    return number


@app.job("hang")
async def hang() -> None:
    """Runs for as long as it may."""
    await asyncio.Event().wait()
