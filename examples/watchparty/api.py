"""The API. It does what takes milliseconds itself, and hands the rest to the workers."""

from __future__ import annotations

import logging
import os
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from fastapi.staticfiles import StaticFiles

from examples.watchparty import accounts, images, routes_auth, routes_queues, routes_rooms
from examples.watchparty.caching import Reader
from examples.watchparty.web import Jobs  # noqa: TC001 - read by FastAPI.
from penstock.client import (
    AsyncClient,
    DeadlineExceeded,
    InvalidRequest,
    NotFound,
    StatusError,
    Unavailable,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

__all__ = ["api"]

_RETRY_AFTER_S: Final = 2


@asynccontextmanager
async def _lifespan(application: FastAPI) -> AsyncIterator[None]:
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(message)s")
    accounts.secret()
    # A caller of this API waits no longer than a second for a gateway that is away.
    async with AsyncClient(timeout=3, retry_for=1) as jobs:
        application.state.jobs = jobs
        application.state.reader = Reader(
            jobs, cached=os.environ.get("WATCHPARTY_CACHE", "on") != "off"
        )
        yield


api = FastAPI(title="WatchParty", lifespan=_lifespan)
api.include_router(routes_auth.router)
api.include_router(routes_rooms.router)
api.include_router(routes_queues.router)
api.mount("/avatars", StaticFiles(directory=images.public()))


@api.exception_handler(Unavailable)
@api.exception_handler(DeadlineExceeded)
async def _unavailable(_: Request, error: StatusError) -> JSONResponse:
    again = round(error.retry_after_s or _RETRY_AFTER_S) or 1
    return JSONResponse(
        {"success": False, "detail": f"this cannot be done now; try again in {again} s"},
        status_code=503,
        headers={"retry-after": str(again)},
    )


@api.exception_handler(NotFound)
async def _no_such_job(_: Request, __: NotFound) -> JSONResponse:
    return JSONResponse({"success": False, "detail": "there is no such job"}, status_code=404)


@api.exception_handler(InvalidRequest)
async def _bad_request(_: Request, error: InvalidRequest) -> JSONResponse:
    return JSONResponse({"success": False, "detail": str(error)}, status_code=400)


@api.get("/api/health")
async def health(jobs: Jobs) -> dict[str, Any]:
    """This process is up; Redis is connected, disconnected, or unknown without a gateway."""
    try:
        serving = await jobs.health("penstock.v1.JobService", rpc_timeout=1)
        redis = "connected" if serving else "disconnected"
    except StatusError:
        redis = "unknown"
    return {
        "success": True,
        "message": "WatchParty API is running",
        "redis": redis,
        "timestamp": datetime.now(UTC).isoformat(),
    }
