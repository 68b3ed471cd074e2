"""The queues, for administrators: counts, clean-up and report by hand, and how a job does."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from examples.watchparty.jobs import CLEANUP, EMAIL, IMAGES, READS, REPORT, SWEEP, Sweep, submit
from examples.watchparty.web import Administrator, Jobs  # noqa: TC001 - read by FastAPI.
from penstock.client import NotFound

if TYPE_CHECKING:
    from penstock.client import AsyncClient

__all__ = ["router"]

router = APIRouter(prefix="/api/queues")

_QUEUES: Final = {
    "email": EMAIL,
    "imageProcessing": IMAGES,
    "roomCleanup": CLEANUP,
    "reads": READS,
}


class CleanUp(BaseModel):
    """What is old enough to go."""

    model_config = ConfigDict(extra="forbid")

    days_inactive: int = Field(30, ge=1, le=3650, alias="daysInactive")


@router.get("/stats")
async def stats(_: Administrator, jobs: Jobs) -> dict[str, Any]:
    """How many jobs wait, run, succeeded, failed and are delayed; and the reads' cache."""
    found = await asyncio.gather(*(_stats(jobs, queue) for queue in _QUEUES.values()))
    return {"success": True, "data": dict(zip(_QUEUES, found, strict=True))}


@router.post("/cleanup", status_code=202)
async def clean_up(_: Administrator, jobs: Jobs, wanted: CleanUp | None = None) -> dict[str, Any]:
    """Has old rooms deleted, with old messages and participants; now, not as scheduled."""
    days = (wanted or CleanUp()).days_inactive
    job = await submit(jobs, SWEEP, Sweep(days_inactive=days))
    return {"success": True, "job_id": job.job_id}


@router.post("/report", status_code=202)
async def report(_: Administrator, jobs: Jobs) -> dict[str, Any]:
    """Has a report made; it is the result of the job."""
    return {"success": True, "job_id": (await submit(jobs, REPORT)).job_id}


@router.get("/jobs/{job_id}")
async def job(job_id: str, _: Administrator, jobs: Jobs) -> dict[str, Any]:
    """How a job does."""
    found = await jobs.status(job_id)
    return {
        "success": True,
        "data": {
            "type": found.type,
            "state": found.state.lower(),
            "attempt": found.attempt,
            "message": found.progress.message if found.progress else "",
            "error": found.failure.message if found.failure else None,
            "result": found.result,
        },
    }


async def _stats(jobs: AsyncClient, queue: str) -> dict[str, Any]:
    counts = {"waiting": 0, "active": 0, "completed": 0, "failed": 0, "delayed": 0}
    cache = {}
    try:
        found = await jobs.queue_stats(queue)
    except NotFound:  # Nothing was ever asked of it.
        pass
    else:
        counts = {
            "waiting": sum(found.waiting.values()),
            "active": found.running,
            "completed": found.succeeded,
            "failed": found.failed + found.expired + found.cancelled,
            "delayed": found.scheduled,
        }
        if queue == READS:
            cache = {
                "hits": found.cache_hits,
                "joined": found.cache_joined,
                "misses": found.cache_misses,
            }
    return {"queueName": queue, **counts, "total": sum(counts.values()), **cache}
