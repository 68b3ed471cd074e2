"""The API of the old system, as it was, on jobs: it takes analyses in, and tells how they do."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final

from fastapi import FastAPI, HTTPException, Request
from fastapi.responses import JSONResponse

from examples.audio_analysis.jobs import ANALYZE, QUEUE, AnalyzeAudio, path_of
from penstock.client import AsyncClient, InvalidRequest, JobState, NotFound, StatusError
from penstock.client import Unavailable as JobsUnavailable

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

__all__ = ["api"]

_RETRY_AFTER_S: Final = 2

#: What callers of the old system know the states as.
_STATES: Final[Mapping[JobState, str]] = {
    JobState.SCHEDULED: "delayed",
    JobState.QUEUED: "waiting",
    JobState.RUNNING: "active",
    JobState.SUCCEEDED: "completed",
}


@asynccontextmanager
async def _lifespan(application: FastAPI) -> AsyncIterator[None]:
    # A caller of this API waits no longer than a second for a gateway that is away.
    async with AsyncClient(timeout=3, retry_for=1) as jobs:
        application.state.jobs = jobs
        yield


api = FastAPI(title="Audio analysis", lifespan=_lifespan)


@api.exception_handler(JobsUnavailable)
async def _unavailable(_: Request, error: JobsUnavailable) -> JSONResponse:
    again = round(error.retry_after_s or _RETRY_AFTER_S) or 1
    return JSONResponse(
        {"detail": f"analyses cannot be taken or looked up now; try again in {again} s"},
        status_code=503,
        headers={"retry-after": str(again)},
    )


@api.exception_handler(NotFound)
async def _no_such_job(_: Request, __: NotFound) -> JSONResponse:
    return JSONResponse({"detail": "no such analysis, or it ended over 24 h ago"}, status_code=404)


@api.exception_handler(InvalidRequest)
async def _bad_request(_: Request, error: InvalidRequest) -> JSONResponse:
    return JSONResponse({"detail": str(error)}, status_code=400)


@api.post("/api/audio/analyze", status_code=202)
async def analyze(audio: AnalyzeAudio, request: Request) -> dict[str, Any]:
    """Has a file analysed; answers at once, with the job to follow."""
    try:
        there = path_of(audio.file_key).is_file()
    except ValueError as error:
        raise HTTPException(422, str(error)) from None
    if not there:
        raise HTTPException(404, f"there is no file {audio.file_key}")
    jobs: AsyncClient = request.app.state.jobs
    # It may be asked for before the first worker is up.
    job = await jobs.submit(ANALYZE, audio, queue=QUEUE, allow_unregistered=True)
    return {"jobId": job.job_id, "state": "waiting"}


@api.get("/api/analyze/{job_id}")
async def get_analysis(job_id: str, request: Request) -> dict[str, Any]:
    """How an analysis does; kept for 24 h after its end."""
    jobs: AsyncClient = request.app.state.jobs
    job = await jobs.status(job_id, include_payload=True)
    fraction = (job.progress and job.progress.fraction) or 0
    return {
        "jobId": job.job_id,
        "state": _STATES.get(job.state, "failed"),
        "progress": 100 if job.state is JobState.SUCCEEDED else round(100 * fraction),
        "data": job.payload,
        "result": job.result,
        "failedReason": job.failure.message if job.failure else None,
    }


@api.get("/health")
async def health(request: Request) -> dict[str, str]:
    """This process is up; whether jobs can be taken is said beside it."""
    try:
        serving = await request.app.state.jobs.health("penstock.v1.JobService", rpc_timeout=1)
    except StatusError:
        serving = False
    return {"status": "ok", "jobs": "ok" if serving else "unavailable"}
