"""Handlers of the small world; each execution leaves a line in its process's journal."""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path

from penstock.worker import Context, Worker
from tests.chaos.history.journal import Journal

app = Worker(slots=16)
_journal = Journal(Path(os.environ["PENSTOCK_CHAOS_JOURNALS"]), f"worker-{os.getpid()}")


@app.job("tally")
async def tally(context: Context, number: int) -> str:
    """Takes a moment. The result is unlike that of any other execution."""
    _start(context)
    await asyncio.sleep(0.01)
    return f"{number} {os.getpid()} {time.monotonic_ns()}"


@app.job("hold")
async def hold(context: Context, seconds: float) -> str:
    """Runs for so long."""
    _start(context)
    await asyncio.sleep(seconds)
    _journal.write("end", job=context.job_id, token=context.fencing_token)
    return f"{os.getpid()} {time.monotonic_ns()}"


def _start(context: Context) -> None:
    _journal.write("start", job=context.job_id, token=context.fencing_token, date=time.time())
