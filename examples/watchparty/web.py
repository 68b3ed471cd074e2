"""What all routes stand on: the client, the reader, and who is asking."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import Depends, HTTPException, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from examples.watchparty.accounts import read_token
from examples.watchparty.caching import Reader
from examples.watchparty.database import transaction
from examples.watchparty.tables import User
from penstock.client import AsyncClient

if TYPE_CHECKING:
    from examples.watchparty.caching import Answer

__all__ = ["Administrator", "Fresh", "Jobs", "Reads", "Viewer", "answer_of", "found"]


def _jobs(request: Request) -> AsyncClient:
    jobs: AsyncClient = request.app.state.jobs
    return jobs


def _reader(request: Request) -> Reader:
    reader: Reader = request.app.state.reader
    return reader


def _fresh(request: Request) -> bool:
    """Whether ``Cache-Control: no-cache`` asks for what the database says now."""
    return "no-cache" in request.headers.get("cache-control", "")


async def _viewer(
    bearer: Annotated[HTTPAuthorizationCredentials | None, Depends(HTTPBearer(auto_error=False))],
) -> User:
    """The user whose token came along."""
    user_id = read_token(bearer.credentials, "session") if bearer else None
    user = await asyncio.to_thread(_user, user_id) if user_id else None
    if user is None:
        raise HTTPException(401, "log in first", {"www-authenticate": "Bearer"})
    return user


async def _administrator(user: Annotated[User, Depends(_viewer)]) -> User:
    """A user whose address is one of WATCHPARTY_ADMINS."""
    if user.email not in os.environ.get("WATCHPARTY_ADMINS", "").split():
        raise HTTPException(403, "this is for administrators")
    return user


def _user(user_id: int) -> User | None:
    with transaction() as session:
        return session.get(User, user_id)


Jobs = Annotated[AsyncClient, Depends(_jobs)]
Reads = Annotated[Reader, Depends(_reader)]
Fresh = Annotated[bool, Depends(_fresh)]
Viewer = Annotated[User, Depends(_viewer)]
Administrator = Annotated[User, Depends(_administrator)]


def answer_of(answer: Answer) -> dict[str, Any]:
    """A read, as the API tells it."""
    return {"success": True, "data": answer.data, "cached": answer.how == "HIT"}


def found(answer: Answer, what: str) -> dict[str, Any]:
    """A read of one thing, as the API tells it. Raises 404 if there is none."""
    if answer.data is None:
        raise HTTPException(404, f"there is no such {what}")
    return answer_of(answer)
