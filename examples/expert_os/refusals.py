"""What the web application answers when the queue says no, or says nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from fastapi.responses import JSONResponse

from penstock.client import (
    AlreadyExists,
    DeadlineExceeded,
    InvalidRequest,
    NotFound,
    ResourceExhausted,
    StatusError,
    Unavailable,
)

if TYPE_CHECKING:
    from fastapi import FastAPI, Request

__all__ = ["refuse_clearly"]

_RETRY_AFTER_S: Final = 2


def refuse_clearly(application: FastAPI) -> None:
    """Makes an answer of each error of the queue; none of them ends the process."""
    application.add_exception_handler(StatusError, _answer)


async def _answer(_: Request, error: Exception) -> JSONResponse:
    match error:
        case Unavailable() | DeadlineExceeded() | ResourceExhausted():
            return _come_again(error)
        case InvalidRequest(violations=violations):
            told = [{"field": each.field, "message": each.description} for each in violations]
            return JSONResponse({"detail": told or str(error)}, status_code=422)
        case NotFound():
            return _plain(404, "no such task, or it ended over 24 h ago")
        case AlreadyExists():
            return _plain(409, "this Idempotency-Key stands for another task")
        case _:
            return _plain(502, "the queue refuses to do this")


def _come_again(error: StatusError) -> JSONResponse:
    again = max(1, round(error.retry_after_s or _RETRY_AFTER_S))
    return JSONResponse(
        {
            "detail": "tasks can be neither accepted nor looked up now; nothing that was accepted "
            f"is lost. Try again in {again} s, with the same Idempotency-Key."
        },
        status_code=503,
        headers={"retry-after": str(again)},
    )


def _plain(status: int, detail: str) -> JSONResponse:
    return JSONResponse({"detail": detail}, status_code=status)
