"""The worker: handlers of all queues. A process may serve some of them: ``--queue email``."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any, Final, cast

from sqlalchemy import CursorResult, select, update

from examples.watchparty import accounts, images
from examples.watchparty.database import transaction
from examples.watchparty.jobs import (
    CLEANUP,
    EMAIL,
    IMAGES,
    INVITE,
    PROCESS_AVATAR,
    REPORT,
    RESET,
    SWEEP,
    WELCOME,
    Avatar,
    Invitation,
    Mail,
    Sweep,
)
from examples.watchparty.jobs import READS as READS_QUEUE
from examples.watchparty.mail import MailSettings, message_of, send
from examples.watchparty.reads import READS
from examples.watchparty.sweeping import report, sweep
from examples.watchparty.tables import Movie, Room, User
from penstock.worker import Cancel, Context, PayloadInvalid, SyncContext, Worker

__all__ = ["app"]

app = Worker(queues=(EMAIL, IMAGES, CLEANUP, READS_QUEUE), slots=16)

_settings: Final = MailSettings()


@app.job(WELCOME, timeout=60)
async def welcome(mail: Mail, ctx: Context) -> None:
    """Greets a new user."""
    user = await asyncio.to_thread(_user, mail.user_id)
    values = {"username": user.username, "link": f"{_settings.url}/rooms"}
    await _deliver("welcome", "Welcome to WatchParty", user.email, ctx, values)


@app.job(RESET, timeout=60)
async def password_reset(mail: Mail, ctx: Context) -> None:
    """Sends a link by which to choose a new password. It is made here: no job ever holds it."""
    user = await asyncio.to_thread(_user, mail.user_id)
    token = accounts.token_of(user.id, "reset", accounts.RESET_S, bound_to=user.password)
    values = {"username": user.username, "link": f"{_settings.url}/reset?token={token}"}
    await _deliver("password_reset", "Choose a new password", user.email, ctx, values)


@app.job(INVITE, timeout=60)
async def room_invitation(invitation: Invitation, ctx: Context) -> None:
    """Asks somebody into a room."""
    values = await asyncio.to_thread(_room_values, invitation)
    values["link"] = f"{_settings.url}/rooms/{invitation.room_id}"
    subject = f"{values['host']} invites you to {values['room']}"
    await _deliver("room_invitation", subject, invitation.to, ctx, values)


@app.job(PROCESS_AVATAR, mode="process")
def process_avatar(avatar: Avatar, ctx: SyncContext) -> dict[str, Any]:
    """Makes the files of an avatar, shows them, and deletes those of older ones."""
    source = images.incoming() / avatar.upload
    if _user(avatar.user_id).avatar < avatar.version:  # Else an earlier attempt came this far.
        try:
            images.make_files(source, avatar.user_id, avatar.version)
        except images.NotAPicture as error:
            source.unlink(missing_ok=True)
            raise PayloadInvalid(str(error)) from error
        except FileNotFoundError as error:
            # An attempt that refused it died before it could say so; or one that was given up has
            # shown it just now.
            if source.exists() or _user(avatar.user_id).avatar >= avatar.version:
                raise
            raise PayloadInvalid("it was refused before, and is deleted") from error
    newest = _show(avatar)
    outdated = {each for each in images.versions_of(avatar.user_id) if each < newest}
    images.delete_files(avatar.user_id, outdated)
    source.unlink(missing_ok=True)
    ctx.invalidate(tags=[f"profile:{avatar.user_id}"])
    if newest > avatar.version:
        raise Cancel("a newer picture is shown already")
    return {"files": images.files_of(avatar.user_id, avatar.version), "replaced": len(outdated)}


@app.job(SWEEP)
def sweep_rooms(wanted: Sweep, ctx: SyncContext) -> dict[str, int]:
    """Deletes what is old. Stopped half-way, it leaves the rest for another time."""
    deleted = Counter(participants=0, rooms=0, messages=0)
    try:
        for what, number in sweep(wanted):
            deleted[what] += number
            message = ", ".join(f"{n:,} {w}" for w, n in deleted.items())
            ctx.progress(deleted.total(), message=message)
            ctx.check()
    finally:
        # Also if this sweep was stopped, or found nothing: one before it may have died before this.
        ctx.invalidate("read.messages", tags=["rooms"])
    return dict(deleted)


@app.job(REPORT)
def report_rooms() -> dict[str, Any]:
    """What went on in the last week."""
    return report()


for _type, _read in READS.items():
    app.job(_type, timeout=30)(_read.run)


async def _deliver(
    template: str, subject: str, to: str, ctx: Context, values: dict[str, str]
) -> None:
    await send(message_of(template, subject, to, ctx.job_id, _settings, **values), _settings)


def _user(user_id: int) -> User:
    with transaction() as session:
        user = session.get(User, user_id)
    if user is None:
        raise Cancel("there is no such user any more")
    return user


def _room_values(invitation: Invitation) -> dict[str, str]:
    query = (
        select(Room.name.label("room"), Movie.title.label("movie"), User.username.label("host"))
        .join(Movie, Movie.id == Room.movie_id)
        .join(User, User.id == invitation.host_id)
        .where(Room.id == invitation.room_id)
    )
    with transaction() as session:
        found = session.execute(query).mappings().first()
    if found is None:
        raise Cancel("there is no such room any more")
    return dict(found)


def _show(avatar: Avatar) -> int:
    """Makes it the user's avatar unless there is a newer one; returns which is shown."""
    older = (User.id == avatar.user_id, User.avatar < avatar.version)
    with transaction() as session:
        changed = session.execute(update(User).where(*older).values(avatar=avatar.version))
        if cast("CursorResult[Any]", changed).rowcount:
            return avatar.version
        return session.scalar(select(User.avatar).where(User.id == avatar.user_id)) or 0
