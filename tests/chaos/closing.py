"""The end of a run: what the server holds goes into the history, and the history is checked."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Final

from penstock.broker import Broker
from tests.broker.audit import audit
from tests.chaos.journal import read_journals
from tests.chaos.plan import QUEUE

if TYPE_CHECKING:
    from collections.abc import Iterable

    from penstock.broker import Job
    from tests.chaos.journal import Line
    from tests.chaos.world import World

__all__ = ["close_books"]

_PAGE: Final = 500


async def close_books(world: World) -> None:
    """Writes the ``final`` and ``audit`` lines, counts, and checks the history."""
    run = world.run
    run.say("reading what the server holds")
    async with Broker(world.server.url) as broker:
        await _write_finals(world, broker)
        for fault in await audit(broker):
            world.journal.write("audit", fault=fault)
    run.say("checking the history")
    await asyncio.to_thread(_judge, world)


async def _write_finals(world: World, broker: Broker) -> None:
    token = ""
    while True:
        jobs, token = await broker.jobs.list(QUEUE, limit=_PAGE, page_token=token)
        full = await asyncio.gather(
            *(broker.jobs.get(job.job_id, payload=True, result=True) for job in jobs)
        )
        for job in full:
            payload = json.loads(job.payload.data) if job.payload else None
            world.journal.write("final", type=job.type, payload=payload, **_view(job))
        if not token:
            return


def _view(job: Job) -> dict[str, object]:
    reason = job.failure.reason if job.failure else None
    view: dict[str, object] = {
        "job": job.job_id,
        "state": job.state.name,
        "reason": reason.name if reason else None,
        "attempt": job.attempt,
        "crashes": job.crashes,
        "token": job.fencing_token,
        "sequence": job.last_sequence,
        "cancel": job.cancel_requested,
    }
    if job.result is not None:
        view["result"] = json.loads(job.result.data)
    if job.cached_from:
        view["cached_from"] = job.cached_from
    if job.retried_from:
        view["retried_from"] = job.retried_from
    return view


def _judge(world: World) -> None:
    result = world.run.result
    lines = read_journals(world.journals)
    for line in lines:
        if line.kind == "call":
            result.operations[line["rpc"]] = result.operations.get(line["rpc"], 0) + 1
    result.jobs = len(_acknowledged(lines))


def _acknowledged(lines: Iterable[Line]) -> set[str]:
    """Ids of the jobs that clients were told of."""
    return {
        receipt["job"]
        for line in lines
        if line.kind == "answer" and "jobs" in line.fields
        for receipt in line["jobs"]
        if "outcome" in receipt
    }
