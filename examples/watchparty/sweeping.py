"""Clean-up of what nobody needs any more, and the report on what goes on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, cast

from sqlalchemy import delete, func, select

from examples.watchparty.database import now_s, transaction
from examples.watchparty.tables import Message, Movie, Participant, Room

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import CursorResult
    from sqlalchemy.orm import InstrumentedAttribute

    from examples.watchparty.jobs import Sweep

__all__ = ["report", "sweep"]

_BATCH: Final = 5_000
_ROOMS: Final = 50
"""In a batch of rooms: their messages go with them."""

_HOUR_S: Final = 3600
_DAY_S: Final = 24 * _HOUR_S


def sweep(wanted: Sweep) -> Iterator[tuple[str, int]]:
    """Deletes what is old, in transactions that are short: nobody waits for one for long.

    Stopped half-way, what is deleted stays deleted, and another sweep goes on.

    Yields:
        After each transaction what was deleted, ``participants``, ``messages`` or ``rooms``, and
        how many. What goes with a room is not counted.
    """
    now = now_s()
    for number in _delete(Participant.seen_at, now - wanted.participant_hours * _HOUR_S, _BATCH):
        yield "participants", number
    for number in _delete(Room.active_at, now - wanted.days_inactive * _DAY_S, _ROOMS):
        yield "rooms", number
    for number in _delete(Message.created_at, now - wanted.message_days * _DAY_S, _BATCH):
        yield "messages", number


def report(days: int = 7) -> dict[str, Any]:
    """What went on lately: totals, and the rooms where most was said."""
    since = now_s() - days * _DAY_S
    said = func.count(Message.id)
    busiest = (
        select(Room.id, Room.name, Movie.title, said.label("messages"))
        .join(Message, Message.room_id == Room.id)
        .join(Movie, Movie.id == Room.movie_id)
        .where(Message.created_at >= since)
        .group_by(Room.id, Room.name, Movie.title)
        .order_by(said.desc(), Room.id)
        .limit(10)
    )
    with transaction() as session:
        counts = {
            "rooms": session.scalar(select(func.count(Room.id))),
            "active_rooms": session.scalar(
                select(func.count(Room.id)).where(Room.active_at >= since)
            ),
            "messages": session.scalar(
                select(func.count(Message.id)).where(Message.created_at >= since)
            ),
        }
        rows = session.execute(busiest).mappings()
        return {"days": days, **counts, "busiest": [dict(row) for row in rows]}


def _delete(time: InstrumentedAttribute[int], before: int, size: int) -> Iterator[int]:
    """Deletes the rows whose time is before another, about so many at once; yields how many."""
    while True:
        with transaction() as session:
            oldest = select(time).where(time < before).order_by(time).offset(size - 1).limit(1)
            until = session.scalar(oldest)
            deleted = session.execute(
                delete(time.class_).where(time < before if until is None else time <= until),
                execution_options={"synchronize_session": False},
            )
        number = cast("CursorResult[Any]", deleted).rowcount
        if number:
            yield number
        if until is None:
            return
