"""The bridge: drains the old table into Penstock, beside the old worker, and gives rows back.

``python -m examples.audio_analysis.bridge run`` takes rows, has them analysed, and writes what
comes out into the table, where those who wait for a row find it as ever. It knows nothing that is
not in the table: kill it at any time, and start it again. ``roll-back`` stops the taking, and gives
back what has not ended; ``open`` lets it go on.
"""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
from typing import TYPE_CHECKING, Any, Final

from examples.audio_analysis.jobs import ANALYZE, QUEUE
from examples.audio_analysis.table import Claim, Table
from penstock.client import (
    AsyncClient,
    AsyncJobHandle,
    InvalidRequest,
    Job,
    JobState,
    NewJob,
    PenstockError,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["drain", "roll_back"]

#: Rows that are Penstock's at once, at most: a roll-back is never about more.
WINDOW: Final = 500
_POLL_S: Final = 0.2
_AGAIN_S: Final = 1.0
_CANCEL_S: Final = 60.0


async def drain(client: AsyncClient, table: Table, stopping: asyncio.Event) -> None:
    """Takes rows as they come, until told to stop. What is under way then waits for the next run.

    Raises:
        ExceptionGroup: No gateway for minutes, or no database. Start it again when they are back.
    """
    async with asyncio.TaskGroup() as group:
        following: set[asyncio.Task[None]] = set()
        claims = await asyncio.to_thread(table.claims)  # Left by a bridge that was killed.
        while not stopping.is_set():
            stored, claims = await _submit(client, table, claims)
            for claim, handle in stored:
                task = group.create_task(_follow(table, claim, handle))
                following.add(task)
                task.add_done_callback(following.discard)
            await _pause(stopping, _AGAIN_S if claims else _POLL_S)
            if not claims and len(following) < WINDOW:
                claims = await asyncio.to_thread(table.claim, WINDOW - len(following))
        for task in following:
            task.cancel()


async def roll_back(client: AsyncClient, table: Table) -> int:
    """Stops the taking, cancels the jobs of all rows that are Penstock's, and gives these back.

    What ends before it is cancelled counts as always. A bridge may run meanwhile: whoever settles
    a row first does it.

    Returns:
        How many rows wait for the old worker again.

    Raises:
        PenstockError: The jobs cannot be cancelled; `give_back` does without.
    """
    await asyncio.to_thread(table.open_switch, to=False)
    claims = await asyncio.to_thread(table.claims)
    # Each is submitted again: under its request id that is the same job, and a row whose bridge
    # was killed before it had submitted it has one now.
    stored, left = await _submit(client, table, claims)
    async with asyncio.TaskGroup() as group:
        for _, handle in stored:
            group.create_task(handle.cancel("rolled back"))
    async with asyncio.TaskGroup() as group:
        for claim, handle in stored:
            group.create_task(_follow(table, claim, handle, within_s=_CANCEL_S))
    if left:
        raise PenstockError(f"{len(left)} jobs could not be cancelled: is the gateway up?")
    waiting = {row.row_id for row in await asyncio.to_thread(table.rows) if row.status == "queued"}
    return sum(claim.row_id in waiting for claim in claims)


def give_back(table: Table) -> int:
    """As `roll_back`, without Penstock. Jobs may still run, but what they find is not taken.

    Returns:
        How many rows wait for the old worker again.
    """
    table.open_switch(to=False)
    return sum(table.settle(claim, None, None) for claim in table.claims())


async def _submit(
    client: AsyncClient, table: Table, claims: Sequence[Claim]
) -> tuple[list[tuple[Claim, AsyncJobHandle]], list[Claim]]:
    """Submits the jobs of claims; returns those that are stored, and those to try again."""
    jobs = [
        NewJob(
            ANALYZE,
            {"file_key": claim.file_key},
            queue=QUEUE,
            request_id=claim.request_id,
            allow_unregistered=True,
        )
        for claim in claims
    ]
    stored: list[tuple[Claim, AsyncJobHandle]] = []
    left: list[Claim] = []
    for claim, outcome in zip(claims, await client.submit_many(jobs), strict=True):
        match outcome:
            case AsyncJobHandle():
                stored.append((claim, outcome))
            case InvalidRequest():
                await asyncio.to_thread(table.settle, claim, None, str(outcome))
            case _:
                left.append(claim)
    return stored, left


async def _follow(
    table: Table, claim: Claim, handle: AsyncJobHandle, within_s: float | None = None
) -> None:
    job = await handle.wait(timeout=within_s)
    await asyncio.to_thread(table.settle, claim, *_came_out(job))


def _came_out(job: Job) -> tuple[dict[str, Any] | None, str | None]:
    """Results and error for the table; neither, if the row is to wait there again."""
    match job.state:
        case JobState.SUCCEEDED:
            return job.result, None
        case JobState.FAILED:
            return None, job.failure.message if job.failure else "failed"
    return None, None


async def _pause(stopping: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await stopping.wait()
    except TimeoutError:
        pass


async def _run(table: Table) -> None:
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    async with AsyncClient() as client:
        await drain(client, table, stopping)


async def _roll_back(table: Table) -> int:
    async with AsyncClient() as client:
        return await roll_back(client, table)


def main() -> int:
    """Do what the command line says; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m examples.audio_analysis.bridge")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("run", help="drain the table until stopped")
    back = commands.add_parser("roll-back", help="give rows back, and take no more")
    back.add_argument("--now", action="store_true", help="without asking Penstock, if it is away")
    commands.add_parser("open", help="take rows again")
    commands.add_parser("status", help="count the rows")
    arguments = parser.parse_args()
    table = Table()
    table.create()
    exit_code = 0
    try:
        match arguments.command:
            case "run":
                asyncio.run(_run(table))
            case "roll-back":
                given = give_back(table) if arguments.now else asyncio.run(_roll_back(table))
                print(f"{given} rows wait for the old worker again")
            case "open":
                table.open_switch(to=True)
    except* PenstockError as errors:
        for error in errors.exceptions:
            print(f"error: {error}", file=sys.stderr)
        exit_code = 1
    counts = table.counts()
    print(", ".join(f"{counts[status]} {status}" for status in sorted(counts)) or "no rows")
    print(f"{len(table.claims())} of them are Penstock's now")
    return exit_code


if __name__ == "__main__":
    sys.exit(main())
