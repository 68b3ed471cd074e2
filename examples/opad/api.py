"""The API: takes articles and jobs in, and tells how they do. It runs nothing itself."""

from __future__ import annotations

import asyncio
import json
import os
import uuid
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Annotated, Any, Final

from fastapi import FastAPI, Header, HTTPException, Request
from fastapi.middleware.cors import CORSMiddleware
from fastapi.responses import JSONResponse, StreamingResponse

from examples.opad.articles import GENERATE, QUEUE, Articles, GenerateArticle, Wishes
from penstock.client import (
    AsyncClient,
    Event,
    InvalidRequest,
    Job,
    NotFound,
    ProgressEvent,
    SnapshotEvent,
    StateEvent,
    StatusError,
    Unavailable,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

__all__ = ["api"]

_RETRY_AFTER_S: Final = 2


@asynccontextmanager
async def _lifespan(application: FastAPI) -> AsyncIterator[None]:
    # A caller of this API waits no longer than a second for a gateway that is away.
    async with AsyncClient(timeout=3, retry_for=1) as jobs:
        application.state.jobs = jobs
        application.state.articles = Articles()
        yield


api = FastAPI(title="OPAD", lifespan=_lifespan)
api.add_middleware(
    CORSMiddleware,
    allow_origins=os.environ.get("OPAD_WEB_ORIGINS", "").split(),
    allow_methods=["GET", "POST"],
    allow_headers=["content-type", "idempotency-key", "last-event-id"],
)


@api.exception_handler(Unavailable)
async def _unavailable(_: Request, error: Unavailable) -> JSONResponse:
    again = round(error.retry_after_s or _RETRY_AFTER_S) or 1
    return JSONResponse(
        {"detail": f"jobs cannot be taken or looked up now; try again in {again} s"},
        status_code=503,
        headers={"retry-after": str(again)},
    )


@api.exception_handler(NotFound)
async def _no_such_job(_: Request, __: NotFound) -> JSONResponse:
    return JSONResponse({"detail": "no such job, or it ended over 24 h ago"}, status_code=404)


@api.exception_handler(InvalidRequest)
async def _bad_request(_: Request, error: InvalidRequest) -> JSONResponse:
    return JSONResponse({"detail": str(error)}, status_code=400)


# The functions below are `async def` where they call Penstock, and plain where they only use the
# database: FastAPI runs those in threads.


@api.post("/articles", status_code=201)
def create_article(wishes: Wishes, request: Request) -> dict[str, Any]:
    """Stores what an article is to be about."""
    article = request.app.state.articles.create(wishes)
    return {"article_id": article.article_id}


@api.post("/articles/{article_id}/generate", status_code=202)
async def generate(
    article_id: str,
    request: Request,
    idempotency_key: Annotated[str | None, Header(max_length=64)] = None,
) -> dict[str, str]:
    """Has the article written; answers at once, with the job to follow."""
    articles: Articles = request.app.state.articles
    article = await asyncio.to_thread(articles.get, article_id)
    if article is None:
        raise HTTPException(404, "no such article")
    jobs: AsyncClient = request.app.state.jobs
    job = await jobs.submit(
        GENERATE,
        GenerateArticle(article_id=article_id, **article.wishes.model_dump()),
        queue=QUEUE,
        # It may be asked for before the first worker is up.
        allow_unregistered=True,
        request_id=f"{article_id} {idempotency_key or uuid.uuid4().hex}",
    )
    await asyncio.to_thread(articles.set_job, article_id, job.job_id)
    return {"job_id": job.job_id, "article_id": article_id}


@api.get("/articles/{article_id}")
def get_article(article_id: str, request: Request) -> dict[str, Any]:
    """The article, with its text once that is written."""
    article = request.app.state.articles.get(article_id)
    if article is None:
        raise HTTPException(404, "no such article")
    job_and_text = {"job_id": article.job_id, "text": article.text}
    return {"article_id": article_id, **article.wishes.model_dump(), **job_and_text}


@api.get("/jobs/{job_id}")
async def get_job(job_id: str, request: Request) -> dict[str, Any]:
    """How a job does; kept for 24 h after its end."""
    return _status(await request.app.state.jobs.status(job_id))


@api.get("/jobs/{job_id}/events")
async def watch_job(
    job_id: str, request: Request, last_event_id: Annotated[int, Header(ge=0)] = 0
) -> StreamingResponse:
    """The same, live, as server-sent events. A browser that reconnects goes on where it was."""
    jobs: AsyncClient = request.app.state.jobs
    await jobs.status(job_id, include_result=False)  # For a 404 or 503 instead of a stream.
    return StreamingResponse(
        _server_sent(jobs, job_id, last_event_id), media_type="text/event-stream"
    )


@api.get("/health")
async def health(request: Request) -> dict[str, str]:
    """This process is up; whether jobs can be taken is said beside it."""
    try:
        serving = await request.app.state.jobs.health("penstock.v1.JobService", rpc_timeout=1)
    except StatusError:
        serving = False
    return {"status": "ok", "jobs": "ok" if serving else "unavailable"}


async def _server_sent(jobs: AsyncClient, job_id: str, after: int) -> AsyncIterator[str]:
    async for event in jobs.watch(job_id, after=after):
        if (told := _told(event)) is not None:
            yield f"id: {event.last_sequence}\ndata: {json.dumps(told)}\n\n"


def _told(event: Event) -> dict[str, Any] | None:
    """What the page is told of an event; None is nothing."""
    match event:
        case SnapshotEvent(job=job):
            return _status(job)
        case StateEvent(job=Job() as job):
            return _status(job)
        case StateEvent(state=state, attempt=attempt, reason=reason):
            return {"status": state.lower(), "attempt": attempt, "message": reason}
        case ProgressEvent(progress=progress):
            return {
                "status": "running",
                "progress": round(100 * (progress.fraction or 0)),
                "message": progress.message,
            }
    return None


def _status(job: Job) -> dict[str, Any]:
    fraction = 1.0 if job.state == "SUCCEEDED" else (job.progress and job.progress.fraction) or 0
    message = job.progress.message if job.progress else "waiting for a worker"
    if job.state.terminal:
        message = job.failure.message if job.failure and job.state == "FAILED" else "done"
    return {
        "job_id": job.job_id,
        "status": job.state.lower(),
        "progress": round(100 * fraction),
        "message": message,
        "attempt": job.attempt,
        "result": job.result if job.state == "SUCCEEDED" else None,
    }
