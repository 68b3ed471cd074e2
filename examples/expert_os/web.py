"""The web application: accepts tasks, answers with an id, and tells how they do. It does none."""

from __future__ import annotations

import asyncio
import json
import uuid
from contextlib import asynccontextmanager
from pathlib import PurePath
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, assert_never

from fastapi import Body, FastAPI, Header, HTTPException, Query, Request
from fastapi.responses import PlainTextResponse, StreamingResponse
from pydantic import BaseModel, ConfigDict, Field

from examples.expert_os.documents import Documents, TooLarge
from examples.expert_os.producer import TaskQueue
from examples.expert_os.refusals import refuse_clearly
from examples.expert_os.tasks import (
    GENERATE_CONTENT,
    PROCESS_DOCUMENT,
    Format,
    GenerateContent,
    ProcessDocument,
)
from penstock.client import (
    AsyncClient,
    ChunkEvent,
    Event,
    GapEvent,
    Job,
    ProgressEvent,
    SnapshotEvent,
    StateEvent,
    StatusError,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

__all__ = ["web"]

_FORMATS: Final[dict[str, Format]] = {
    "application/pdf": "pdf",
    "text/html": "html",
    "application/xhtml+xml": "html",
    "text/markdown": "markdown",
    ".pdf": "pdf",
    ".html": "html",
    ".htm": "html",
    ".md": "markdown",
    ".markdown": "markdown",
}

IdempotencyKey = Annotated[str, Header(max_length=64)]


class _Task(BaseModel):
    model_config = ConfigDict(extra="forbid")


class _ProcessDocument(_Task):
    type: Literal["PROCESS_DOCUMENT"]
    data: ProcessDocument


class _GenerateContent(_Task):
    type: Literal["GENERATE_CONTENT"]
    data: GenerateContent


AnyTask = Annotated[_ProcessDocument | _GenerateContent, Field(discriminator="type")]


@asynccontextmanager
async def _lifespan(application: FastAPI) -> AsyncIterator[None]:
    # A caller waits no longer than a second for a gateway that is away. One connection is enough
    # for all of the process, and it is not needed to start.
    async with AsyncClient(timeout=3, retry_for=1) as jobs:
        application.state.jobs = jobs
        application.state.queue = TaskQueue(jobs)
        application.state.documents = Documents()
        yield


web = FastAPI(title="expert-os tasks", lifespan=_lifespan)
refuse_clearly(web)


@web.post("/tasks", status_code=202)
async def accept_task(
    task: Annotated[AnyTask, Body()], request: Request, idempotency_key: IdempotencyKey = ""
) -> dict[str, str]:
    """Accepts a task; answers at once, with the job to follow."""
    queue: TaskQueue = request.app.state.queue
    request_id = _request_id(idempotency_key)
    match task:
        case _ProcessDocument(data=document):
            added = queue.add_job_to_queue(PROCESS_DOCUMENT, document, request_id=request_id)
        case _GenerateContent(data=wish):
            added = queue.add_job_to_queue(GENERATE_CONTENT, wish, request_id=request_id)
        case _:
            assert_never(task)
    return {"job_id": await added}


@web.post("/documents", status_code=202)
async def accept_document(
    request: Request,
    name: Annotated[str, Query(max_length=200)] = "",
    content_type: Annotated[str, Header()] = "",
    idempotency_key: IdempotencyKey = "",
) -> dict[str, str]:
    """Accepts a document, which is the body of the request, to be processed."""
    kind = content_type.partition(";")[0].strip().lower()
    form = _FORMATS.get(kind) or _FORMATS.get(PurePath(name).suffix.lower())
    if form is None:
        raise HTTPException(415, "send a PDF, HTML or Markdown document, and say which it is")
    documents: Documents = request.app.state.documents
    try:
        with documents.receive() as incoming:
            async for part in request.stream():
                await asyncio.to_thread(incoming.write, part)
            document_id = incoming.keep()
    except TooLarge as error:
        raise HTTPException(413, str(error)) from error
    document = ProcessDocument(document_id=document_id, format=form, name=name)
    queue: TaskQueue = request.app.state.queue
    job_id = await queue.add_job_to_queue(
        PROCESS_DOCUMENT, document, request_id=_request_id(idempotency_key)
    )
    return {"job_id": job_id, "document_id": document_id}


@web.get("/documents/{document_id}/text")
def get_text(document_id: str, request: Request) -> PlainTextResponse:
    """The text of a document that has been processed."""
    try:
        text = request.app.state.documents.text(document_id)
    except FileNotFoundError:
        text = None
    if text is None:
        raise HTTPException(404, "no such document, or it has not been processed")
    return PlainTextResponse(text)


@web.get("/tasks/{job_id}")
async def get_task(job_id: str, request: Request) -> dict[str, Any]:
    """How a task does; kept for 24 h after its end."""
    return _status(await request.app.state.jobs.status(job_id))


@web.get("/tasks/{job_id}/events")
async def watch_task(
    job_id: str, request: Request, last_event_id: Annotated[int, Header(ge=0)] = 0
) -> StreamingResponse:
    """The same, live, with each token that is written. Who reconnects misses none."""
    jobs: AsyncClient = request.app.state.jobs
    await jobs.status(job_id, include_result=False)  # For a 404 or 503 instead of a stream.
    return StreamingResponse(
        _server_sent(jobs, job_id, last_event_id), media_type="text/event-stream"
    )


@web.get("/health")
async def health(request: Request) -> dict[str, str]:
    """This process is up; whether tasks can be accepted is said beside it."""
    try:
        serving = await request.app.state.jobs.health("penstock.v1.JobService", rpc_timeout=1)
    except StatusError:
        serving = False
    return {"status": "ok", "tasks": "ok" if serving else "unavailable"}


def _request_id(idempotency_key: str) -> str:
    return f"expert-os {idempotency_key or uuid.uuid4().hex}"


async def _server_sent(jobs: AsyncClient, job_id: str, after: int) -> AsyncIterator[str]:
    async for event in jobs.watch(job_id, after=after):
        if (told := _told(event)) is not None:
            yield f"id: {event.last_sequence}\ndata: {json.dumps(told)}\n\n"


def _told(event: Event) -> dict[str, Any] | None:
    """What a visitor is told of an event; None is nothing."""
    match event:
        case SnapshotEvent(job=job) | StateEvent(job=Job() as job):
            return _status(job)
        case StateEvent(state=state, attempt=attempt, reason=reason):
            return {"status": state.lower(), "attempt": attempt, "message": reason}
        case ProgressEvent(progress=progress):
            percent = round(100 * (progress.fraction or 0))
            return {"status": "running", "progress": percent, "message": progress.message}
        case ChunkEvent(text=text, attempt=attempt):
            return {"token": text, "attempt": attempt}
        case GapEvent(lost=lost):
            return {"lost": lost}
    return None


def _status(job: Job) -> dict[str, Any]:
    fraction = 1.0 if job.state == "SUCCEEDED" else (job.progress and job.progress.fraction) or 0
    if job.state.terminal:
        message = job.failure.message if job.failure and job.state == "FAILED" else "done"
    elif job.progress:
        message = job.progress.message
    else:
        message = "begun" if job.state == "RUNNING" else "waiting for a worker"
    return {
        "job_id": job.job_id,
        "type": job.type,
        "status": job.state.lower(),
        "progress": round(100 * fraction),
        "message": message,
        "attempt": job.attempt,
        "result": job.result if job.state == "SUCCEEDED" else None,
    }
