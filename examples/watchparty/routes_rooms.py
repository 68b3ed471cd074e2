"""Rooms, movies, and what is said: reads through the cache, and writes that make it forget."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter, HTTPException, Query
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy.exc import IntegrityError

from examples.watchparty.database import now_s, transaction
from examples.watchparty.jobs import INVITE, Invitation, submit
from examples.watchparty.reads import ById, MessagesOf, PageOf
from examples.watchparty.routes_auth import Email, Name
from examples.watchparty.tables import Message, Movie, Participant, Room
from examples.watchparty.web import Administrator, Fresh, Jobs, Reads, Viewer, answer_of, found

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

__all__ = ["router"]

router = APIRouter(prefix="/api")


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class NewRoom(_Body):
    """What is watched where."""

    name: Name
    movie_id: int


class NewMovie(_Body):
    """What can be watched."""

    title: Name
    year: int = Field(ge=1888, le=2200)
    genre_id: int


class NewMessage(_Body):
    """What somebody says."""

    text: str = Field(min_length=1, max_length=2000)


class Invited(_Body):
    """Who is asked in."""

    email: Email


@router.get("/rooms")
async def rooms(wanted: Annotated[PageOf, Query()], reads: Reads, fresh: Fresh) -> dict[str, Any]:
    """Active rooms."""
    return answer_of(await reads.read("read.rooms", wanted, "rooms", fresh=fresh))


@router.get("/rooms/{room_id}")
async def room(room_id: int, reads: Reads, fresh: Fresh) -> dict[str, Any]:
    """One room."""
    wanted, tags = ById(id=room_id), ("rooms", f"room:{room_id}")
    return found(await reads.read("read.room", wanted, *tags, fresh=fresh), "room")


@router.post("/rooms", status_code=201)
async def open_room(wanted: NewRoom, user: Viewer, reads: Reads) -> dict[str, Any]:
    """Opens a room, and takes its host in."""
    room_id = await asyncio.to_thread(_open, wanted, user.id)
    await reads.forget("rooms", "movies", f"profile:{user.id}")
    return {"success": True, "room_id": room_id}


@router.put("/rooms/{room_id}")
async def change_room(room_id: int, wanted: NewRoom, user: Viewer, reads: Reads) -> dict[str, Any]:
    """Changes a room of one's own."""
    await asyncio.to_thread(_change, room_id, user.id, wanted)
    await reads.forget("rooms", "movies")
    return {"success": True}


@router.delete("/rooms/{room_id}")
async def close_room(room_id: int, user: Viewer, reads: Reads) -> dict[str, Any]:
    """Deletes a room of one's own, and all that was said in it."""
    await asyncio.to_thread(_change, room_id, user.id, None)
    await reads.forget("rooms", "movies", f"messages:{room_id}", f"profile:{user.id}")
    return {"success": True}


@router.post("/rooms/{room_id}/join")
async def join(room_id: int, user: Viewer, reads: Reads) -> dict[str, Any]:
    """Comes in, or says that one is still there."""
    await asyncio.to_thread(_join, room_id, user.id)
    await reads.forget(f"room:{room_id}")
    return {"success": True}


@router.post("/rooms/{room_id}/invitations", status_code=202)
async def invite(room_id: int, invited: Invited, user: Viewer, jobs: Jobs) -> dict[str, Any]:
    """Asks somebody in, by mail."""
    await asyncio.to_thread(_exists, room_id)
    wanted = Invitation(room_id=room_id, host_id=user.id, to=invited.email)
    return {"success": True, "mail_job_id": (await submit(jobs, INVITE, wanted)).job_id}


@router.get("/movies")
async def movies(wanted: Annotated[PageOf, Query()], reads: Reads, fresh: Fresh) -> dict[str, Any]:
    """Movies, the best first."""
    return answer_of(await reads.read("read.movies", wanted, "movies", fresh=fresh))


@router.get("/movies/{movie_id}")
async def movie(movie_id: int, reads: Reads, fresh: Fresh) -> dict[str, Any]:
    """One movie."""
    wanted = ById(id=movie_id)
    return found(await reads.read("read.movie", wanted, "movies", fresh=fresh), "movie")


@router.post("/movies", status_code=201)
async def add_movie(wanted: NewMovie, _: Administrator, reads: Reads) -> dict[str, Any]:
    """Adds a movie."""
    movie_id = await asyncio.to_thread(_add, Movie(**wanted.model_dump()), "genre")
    await reads.forget("movies")
    return {"success": True, "movie_id": movie_id}


@router.get("/chat/{room_id}/messages")
async def messages(
    room_id: int, reads: Reads, fresh: Fresh, limit: Annotated[int, Query(ge=1, le=200)] = 50
) -> dict[str, Any]:
    """What was said last."""
    wanted, tag = MessagesOf(room_id=room_id, limit=limit), f"messages:{room_id}"
    return answer_of(await reads.read("read.messages", wanted, tag, fresh=fresh))


@router.post("/chat/{room_id}/messages", status_code=201)
async def say(room_id: int, said: NewMessage, user: Viewer, reads: Reads) -> dict[str, Any]:
    """Says something. Counts in lists of rooms follow within their five minutes."""
    message_id = await asyncio.to_thread(_say, room_id, user.id, said.text)
    await reads.forget(f"messages:{room_id}", f"room:{room_id}", f"profile:{user.id}")
    return {"success": True, "message_id": message_id}


def _add(row: Room | Movie, missing: str) -> int:
    try:
        with transaction() as session:
            session.add(row)
    except IntegrityError:
        raise HTTPException(404, f"there is no such {missing}") from None
    return row.id


def _open(wanted: NewRoom, user_id: int) -> int:
    room_id = _add(Room(**wanted.model_dump(), host_id=user_id, active_at=now_s()), "movie")
    _join(room_id, user_id)
    return room_id


def _change(room_id: int, user_id: int, wanted: NewRoom | None) -> None:
    """Changes a room, or deletes it. Raises 404, or 403 if it is somebody else's."""
    try:
        with transaction() as session:
            room = _room(session, room_id)
            if room.host_id != user_id:
                raise HTTPException(403, "this is another host's room")
            if wanted is None:
                session.delete(room)
            else:
                room.name, room.movie_id = wanted.name, wanted.movie_id
    except IntegrityError:
        raise HTTPException(404, "there is no such movie") from None


def _join(room_id: int, user_id: int) -> None:
    now = now_s()
    with transaction() as session:
        _room(session, room_id).active_at = now
        session.merge(Participant(room_id=room_id, user_id=user_id, seen_at=now))


def _say(room_id: int, user_id: int, text: str) -> int:
    now = now_s()
    with transaction() as session:
        _room(session, room_id).active_at = now
        message = Message(room_id=room_id, user_id=user_id, text=text, created_at=now)
        session.add(message)
    return message.id


def _exists(room_id: int) -> None:
    with transaction() as session:
        _room(session, room_id)


def _room(session: Session, room_id: int) -> Room:
    room = session.get(Room, room_id)
    if room is None:
        raise HTTPException(404, "there is no such room")
    return room
