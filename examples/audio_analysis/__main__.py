"""Audio analysis end to end: ``make examples ARGS=audio_analysis``.

Also ``python -m examples.audio_analysis [--json] [--keep]``. The trial, as users run it; how soon
work is picked up, beside the old worker; hundreds of jobs in flight while workers are added, taken
away, killed and replaced; and the bridge, which drains the old table and is rolled back half-way.
"""

from __future__ import annotations

import asyncio
import statistics
import sys
from typing import TYPE_CHECKING, Any, Final

import httpx

from examples.audio_analysis import tones
from examples.audio_analysis.fleet import Fleet
from examples.audio_analysis.jobs import ANALYZE, QUEUE, Analysis, AnalyzeAudio
from examples.audio_analysis.outcomes import Outcomes
from examples.audio_analysis.storm import weather
from examples.audio_analysis.table import BRIDGE, Table
from examples.harness.checks import Check
from examples.harness.report import Report
from examples.harness.run import run
from penstock.client import AsyncClient

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from rich.console import Console

    from examples.audio_analysis.tones import Truth
    from examples.harness.stack import Stack

FILES: Final = 48
PICK_UPS: Final = 20
PICK_UP_GOAL_MS: Final = 50
"""A hundredth of the time between two looks of the old worker."""
OLD_ROWS: Final = 120
ROLL_BACK_AT: Final = 30
"""So many rows of the table have come out when the bridge is rolled back."""
_POLL_S: Final = 0.02
_GIVE_UP_S: Final = 120.0

# One core an analysis, so that two of them share two cores well.
_SETTINGS: Final = {
    "PENSTOCK_LEASE_S": "2",
    "PENSTOCK_SLOTS": "1",
    "PENSTOCK_DRAIN_GRACE_S": "10",
    "OPENBLAS_NUM_THREADS": "1",
}


async def play(stack: Stack, console: Console) -> Report:
    """The scenario."""
    root = stack.folder / "audio"
    truths = await asyncio.to_thread(tones.make_files, root, "made", FILES)
    broken = tones.make_broken(root, "made")
    database = f"sqlite:///{stack.folder}/old.sqlite3"
    table = Table(database)
    table.create()
    outcomes = Outcomes(database)
    async with AsyncClient(stack.address) as client:
        settings = {"AUDIO_ROOT": str(root), "AUDIO_DATABASE_URL": database}
        fleet = Fleet(stack, client, settings)
        fleet.start("old_worker")
        await fleet.add()
        await fleet.add()
        checks = [*await _trial(fleet, console), *await _api(fleet, truths[0])]
        table.add([truths[0].file_key])  # It comes while the old worker sleeps.
        picked_up = await _pick_up(client, truths)
        rough = await weather(client, fleet, truths, broken, console)
        old_wait_s = (await _until_out(table, 1))[0]
        console.print("the bridge drains the old table, is rolled back, and goes on")
        bridged = await _bridge(client, fleet, table, outcomes, truths)
        stats = await client.queue_stats(QUEUE)
    ended = stats.succeeded + stats.failed + stats.cancelled
    checks += [
        Check.that(
            f"work is picked up within {PICK_UP_GOAL_MS} ms, on median",
            true=statistics.median(picked_up) < PICK_UP_GOAL_MS,
        ),
        *rough[0],
        *bridged[0],
        Check("every job that was submitted has ended", stats.submitted, ended),
    ]
    figures = {
        "picked up after, p50": f"{statistics.median(picked_up):.1f} ms",
        "... at most": f"{max(picked_up):.1f} ms",
        "... by the old worker, which looks every 5 s": f"{old_wait_s:.1f} s",
        **rough[1],
        **bridged[1],
    }
    return Report(stats.submitted, stats.succeeded, stats.failed + stats.cancelled, checks, figures)


async def _trial(fleet: Fleet, console: Console) -> list[Check]:
    """The script that tries a system that runs; here it is found in order."""
    code, said = await fleet.call("trial")
    console.print(said.rstrip(), markup=False)
    return [Check("the trial finds the system in order", 0, code)]


async def _api(fleet: Fleet, truth: Truth) -> list[Check]:
    """An analysis over the API of the old system."""
    async with httpx.AsyncClient(base_url=fleet.start_api(), timeout=30) as api:
        taken = await api.post("/api/audio/analyze", json={"file_key": truth.file_key})
        answer: dict[str, Any] = {}
        async with asyncio.timeout(_GIVE_UP_S):
            while answer.get("state") not in {"completed", "failed"}:
                answer = (await api.get(f"/api/analyze/{taken.json()['jobId']}")).json()
                await asyncio.sleep(_POLL_S)
    found = Analysis.model_validate(answer["result"])
    return [
        Check("the API takes an analysis in", 202, taken.status_code),
        Check.that("... and tells what it found", true=truth.agrees(found)),
    ]


async def _pick_up(client: AsyncClient, truths: Sequence[Truth]) -> list[float]:
    """Submits jobs one by one; returns how long each waited for a worker, in ms."""
    waits_ms = []
    for truth in truths[:PICK_UPS]:
        handle = await client.submit(ANALYZE, AnalyzeAudio(file_key=truth.file_key), queue=QUEUE)
        job = await handle.wait(timeout=_GIVE_UP_S)
        if job.start_time and job.create_time:
            waits_ms.append(1000 * (job.start_time - job.create_time).total_seconds())
    return waits_ms


async def _bridge(
    client: AsyncClient,
    fleet: Fleet,
    table: Table,
    outcomes: Outcomes,
    truths: Sequence[Truth],
) -> tuple[list[Check], dict[str, str]]:
    """Drains rows, rolls back, lets the old worker have its part, and goes on with a new bridge."""
    before = len(outcomes.all())
    table.add([truths[number % FILES].file_key for number in range(OLD_ROWS)])
    first = fleet.start("bridge", "run")
    await _until(lambda: len(outcomes.all()) >= before + ROLL_BACK_AT)
    code, _ = await fleet.call("bridge", "roll-back")
    left = (len(table.claims()), *await _waiting_and_running(client))
    waiting = table.counts().get("queued", 0)
    await _until(lambda: table.counts().get("queued", 0) < waiting - ROLL_BACK_AT)
    first.kill()
    await fleet.call("bridge", "open")
    fleet.start("bridge", "run")
    waits = await _until_out(table, before + OLD_ROWS)
    seen = outcomes.all()
    by_bridge = sum(worker == BRIDGE for _, worker in seen)
    checks = [
        Check("the roll-back succeeds", 0, code),
        Check("... and leaves nothing in Penstock", (0, 0, 0), left),
        Check.that("... so that rows wait for the old worker", true=waiting > 0),
        Check("all rows are done", {"done": len(waits)}, table.counts()),
        Check("each has one outcome, whoever ran it", len(waits), len({row for row, _ in seen})),
        Check("... and no second one", len(waits), len(seen)),
        Check.that("bridge and old worker both have a part", true=0 < by_bridge < len(seen)),
    ]
    figures = {
        "rows of the old table": f"{by_bridge} by the bridge, {len(seen) - by_bridge} by the old "
        f"worker, {waiting} given back on roll-back"
    }
    return checks, figures


async def _waiting_and_running(client: AsyncClient) -> tuple[int, int]:
    stats = await client.queue_stats(QUEUE)
    return sum(stats.waiting.values()) + stats.scheduled, stats.running


async def _until_out(table: Table, rows: int) -> list[float]:
    """Waits until so many rows have come out; returns how long each waited, in seconds."""
    await _until(lambda: sum(row.status in {"done", "failed"} for row in table.rows()) >= rows)
    return [row.claimed_at - row.created_at for row in table.rows() if row.claimed_at]


async def _until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(_GIVE_UP_S):
        while not await asyncio.to_thread(holds):  # noqa: ASYNC110 - elsewhere.
            await asyncio.sleep(_POLL_S)


if __name__ == "__main__":
    sys.exit(run("audio_analysis", "Audio files, analysed by a fleet.", play, _SETTINGS))
