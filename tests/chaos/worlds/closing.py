"""The end of a run: what the server holds goes into the history, and the history is checked."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Final

from penstock.broker import Broker
from tests.broker.audit import audit
from tests.chaos.checker.checker import judge
from tests.chaos.checker.invariants.failures import stray_failures, waits_in_vain
from tests.chaos.checker.scene import Scene
from tests.chaos.history.history import History
from tests.chaos.history.journal import stream_journals
from tests.chaos.history.restarts import kills_of, repairs, restarts, told
from tests.chaos.load.plan import QUEUE

if TYPE_CHECKING:
    from penstock.broker import Job
    from tests.chaos.checker.scene import Expectations
    from tests.chaos.worlds.world import World

__all__ = ["close_books"]

_PAGE: Final = 500


async def close_books(world: World, expectations: Expectations) -> None:
    """Writes the ``final`` and ``audit`` lines, and checks the history."""
    run = world.run
    expectations.save(run.folder)
    run.say("reading what the server holds")
    async with Broker(world.server.url) as broker:
        await _write_finals(world, broker)
        for fault in await audit(broker):
            world.journal.write("audit", fault=fault)
    run.say("checking the history")
    history = await asyncio.to_thread(History, stream_journals(world.journals))
    run.result.operations = dict(history.operations)
    run.result.jobs = len(history.jobs)
    own = list(stream_journals(world.journals, world.journal.name))
    run.result.figures |= {
        "jobs of killed workers run elsewhere, whatever else strikes": told(
            restarts(history, kills_of(own))
        ),
        "jobs whose entries were taken run, whatever else strikes": told(repairs(history, own)),
    }
    run.result.violations += await asyncio.to_thread(judge, history, expectations)
    if expectations.patience_s is not None:
        scene = Scene(history, expectations)
        run.result.figures |= {
            "calls that failed outside of outages": f"{len(stray_failures(scene))} "
            f"of {history.calls:,}",
            f"waits for a job of {expectations.patience_s:g} s and more, in vain": str(
                len(waits_in_vain(scene))
            ),
        }


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
    view |= {"made_ms": job.created_ms, "ended_ms": job.finished_ms}
    if told := job.message:
        envelope = {"id": told.message_id, "topic": told.topic}
        view["origin"] = {**envelope, "source": told.source, "time_ms": told.time_ms}
    elif job.schedule_id:
        view["origin"] = {"schedule": job.schedule_id, "occurrence": job.occurrence_ms}
    if job.result is not None:
        view["result"] = json.loads(job.result.data)
    if job.cached_from:
        view["cached_from"] = job.cached_from
    if job.retried_from:
        view["retried_from"] = job.retried_from
    return view
