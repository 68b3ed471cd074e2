"""Users: they register, log in, lose passwords, and have profiles with pictures."""

from __future__ import annotations

import asyncio
import shutil
import uuid
from typing import TYPE_CHECKING, Annotated, Any, BinaryIO, Final

from fastapi import APIRouter, HTTPException, Request
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import delete, select, update
from sqlalchemy.exc import IntegrityError
from starlette.datastructures import UploadFile

from examples.watchparty import accounts, images
from examples.watchparty.database import transaction
from examples.watchparty.jobs import PROCESS_AVATAR, RESET, WELCOME, Avatar, Mail, submit
from examples.watchparty.reads import ById
from examples.watchparty.tables import User
from examples.watchparty.web import Fresh, Jobs, Reads, Viewer, found
from penstock.client import StatusError

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["router"]

router = APIRouter(prefix="/api/auth")

MAX_UPLOAD_BYTES: Final = 10 * 1024 * 1024

Email = Annotated[str, Field(pattern=r"^[^@\s<>]+@[^@\s<>]+\.[^@\s<>]+$", max_length=254)]
Name = Annotated[str, Field(min_length=1, max_length=64)]
Password = Annotated[str, Field(min_length=8, max_length=256)]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Registration(_Body):
    """Who wants in."""

    email: Email
    username: Name
    password: Password


class Login(_Body):
    """Who comes back."""

    email: Email
    password: str = Field(max_length=256)


class Forgotten(_Body):
    """Who cannot."""

    email: Email


class NewPassword(_Body):
    """What to come back with; the token is that of the mail."""

    token: str
    password: Password


class NewProfile(_Body):
    """What may be changed."""

    username: Name


@router.post("/register", status_code=201)
async def register(wanted: Registration, jobs: Jobs) -> dict[str, Any]:
    """Makes a user, and has them greeted."""
    user_id = await asyncio.to_thread(_add, wanted)
    try:
        mail = await submit(jobs, WELCOME, Mail(user_id=user_id))
    except StatusError:
        await asyncio.to_thread(_remove, user_id)  # They are told to try again.
        raise
    return {"success": True, **_session(user_id), "mail_job_id": mail.job_id}


@router.post("/login")
async def login(wanted: Login) -> dict[str, Any]:
    """Gives a token for a password."""
    user = await asyncio.to_thread(_by_email, wanted.email)
    known = user.password if user else "$"
    matches = await asyncio.to_thread(accounts.is_password, wanted.password, known)
    if user is None or not matches:
        raise HTTPException(401, "no such address and password")
    return {"success": True, **_session(user.id)}


@router.post("/forgot-password", status_code=202)
async def forgot_password(wanted: Forgotten, jobs: Jobs) -> dict[str, Any]:
    """Sends a link, ahead of all other mail. Who has an account here is not told."""
    user = await asyncio.to_thread(_by_email, wanted.email)
    if user:
        await submit(jobs, RESET, Mail(user_id=user.id))
    return {"success": True, "message": "if that is an address of ours, a mail is on its way"}


@router.post("/reset-password")
async def reset_password(wanted: NewPassword) -> dict[str, Any]:
    """Changes the password by the link of the mail, once."""
    user_id = await asyncio.to_thread(accounts.read_token, wanted.token, "reset", _password_of)
    if user_id is None:
        raise HTTPException(400, "this link is not good any more: ask for another")
    await asyncio.to_thread(_set, user_id, password=accounts.hash_password(wanted.password))
    return {"success": True, **_session(user_id)}


@router.get("/profile")
async def profile(user: Viewer, reads: Reads, fresh: Fresh) -> dict[str, Any]:
    """Who one is, with pictures."""
    wanted = ById(id=user.id)
    answer = await reads.read("read.profile", wanted, f"profile:{user.id}", fresh=fresh)
    return found(answer, "user")


@router.put("/profile")
async def change_profile(wanted: NewProfile, user: Viewer, reads: Reads) -> dict[str, Any]:
    """Changes it."""
    await asyncio.to_thread(_set, user.id, username=wanted.username)
    await reads.forget(f"profile:{user.id}", "rooms")  # Rooms tell their host's name.
    return {"success": True}


@router.post("/upload-profile-picture", status_code=202)
async def upload_picture(request: Request, user: Viewer, jobs: Jobs) -> dict[str, Any]:
    """Takes a picture in (the file ``profilePicture`` of a form), and has it made an avatar."""
    # Asked before the form is read, which would store all of it.
    length = request.headers.get("content-length")
    if length is None:
        raise HTTPException(411, "say how long it is")
    if int(length) > MAX_UPLOAD_BYTES:
        raise HTTPException(413, f"a picture has at most {MAX_UPLOAD_BYTES >> 20} MiB")
    async with request.form(max_files=1, max_fields=10) as form:
        picture = form.get("profilePicture")
        if not isinstance(picture, UploadFile):
            raise HTTPException(422, "send a file named profilePicture")
        upload = uuid.uuid4().hex
        await asyncio.to_thread(_store, picture.file, images.incoming() / upload)
    try:
        version = await asyncio.to_thread(_count_upload, user.id)
        wanted = Avatar(user_id=user.id, upload=upload, version=version)
        job = await submit(jobs, PROCESS_AVATAR, wanted)
    except BaseException:
        (images.incoming() / upload).unlink()
        raise
    return {"success": True, "job_id": job.job_id}


def _session(user_id: int) -> dict[str, Any]:
    token = accounts.token_of(user_id, "session", accounts.SESSION_S)
    return {"user_id": user_id, "token": token}


def _add(wanted: Registration) -> int:
    password = accounts.hash_password(wanted.password)
    user = User(email=wanted.email.lower(), username=wanted.username, password=password)
    try:
        with transaction() as session:
            session.add(user)
    except IntegrityError:
        raise HTTPException(409, "there is a user with this address already") from None
    return user.id


def _remove(user_id: int) -> None:
    with transaction() as session:
        session.execute(delete(User).where(User.id == user_id))


def _by_email(email: str) -> User | None:
    with transaction() as session:
        return session.scalar(select(User).where(User.email == email.lower()))


def _password_of(user_id: int) -> str:
    with transaction() as session:
        return session.scalar(select(User.password).where(User.id == user_id)) or ""


def _set(user_id: int, **columns: str) -> None:
    with transaction() as session:
        session.execute(update(User).where(User.id == user_id).values(**columns))


def _count_upload(user_id: int) -> int:
    """Numbers an upload: a user's later one has a higher number."""
    with transaction() as session:
        session.execute(update(User).where(User.id == user_id).values(uploads=User.uploads + 1))
        return session.scalar(select(User.uploads).where(User.id == user_id)) or 0


def _store(source: BinaryIO, target: Path) -> None:
    with target.open("wb") as file:
        shutil.copyfileobj(source, file)
