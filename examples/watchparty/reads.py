"""The reads: one query each, of which the answers are plain data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import ColumnElement, Float, ScalarSelect, Select, cast, desc, func, literal, select

from examples.watchparty.database import now_s, transaction
from examples.watchparty.tables import Genre, Message, Movie, Participant, Rating, Room, User

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["READS", "ById", "MessagesOf", "PageOf", "Read"]

_Query: TypeAlias = Select[*tuple[Any, ...]]

HERE_S: Final = 15 * 60
"""Who was seen in a room within this time is there."""

_DAY_S: Final = 24 * 3600


class PageOf(BaseModel):
    """A part of a list."""

    model_config = ConfigDict(extra="forbid")

    page: int = Field(1, ge=1, le=1000)
    limit: int = Field(10, ge=1, le=100)


class ById(BaseModel):
    """One of them."""

    model_config = ConfigDict(extra="forbid")

    id: int


class MessagesOf(BaseModel):
    """The newest messages of a room."""

    model_config = ConfigDict(extra="forbid")

    room_id: int
    limit: int = Field(50, ge=1, le=200)


def rooms(wanted: PageOf) -> list[dict[str, Any]]:
    """Active rooms, those with the most viewers first."""
    return _rows(
        _rooms()
        .where(Room.active_at >= now_s() - _DAY_S)
        .limit(wanted.limit)
        .offset((wanted.page - 1) * wanted.limit)
    )


def room(wanted: ById) -> dict[str, Any] | None:
    """One room, active or not; None if there is none."""
    return _first(_rooms().where(Room.id == wanted.id))


def movies(wanted: PageOf) -> list[dict[str, Any]]:
    """Movies, those that are liked best first."""
    return _rows(_movies().limit(wanted.limit).offset((wanted.page - 1) * wanted.limit))


def movie(wanted: ById) -> dict[str, Any] | None:
    """One movie; None if there is none."""
    return _first(_movies().where(Movie.id == wanted.id))


def messages(wanted: MessagesOf) -> list[dict[str, Any]]:
    """The newest messages of a room with their authors, newest first."""
    return _rows(
        select(Message.id, User.username, Message.text, Message.created_at)
        .join(User, User.id == Message.user_id)
        .where(Message.room_id == wanted.room_id)
        .order_by(Message.created_at.desc(), Message.id.desc())
        .limit(wanted.limit)
    )


def profile(wanted: ById) -> dict[str, Any] | None:
    """A user, and what they did; None if there is none."""
    return _first(
        select(
            User.id,
            User.email,
            User.username,
            User.avatar,
            _count(Message.user_id == User.id).label("messages"),
            _count(Room.host_id == User.id).label("rooms"),
            _count(Rating.user_id == User.id).label("ratings"),
        ).where(User.id == wanted.id)
    )


def _rooms() -> _Query:
    """Rooms with host, movie, viewers and what was said in the last day."""
    now = now_s()
    viewers = _count(Participant.room_id == Room.id, Participant.seen_at >= now - HERE_S)
    said = _count(Message.room_id == Room.id, Message.created_at >= now - _DAY_S)
    return (
        select(
            Room.id,
            Room.name,
            User.username.label("host"),
            Movie.title.label("movie"),
            viewers.label("viewers"),
            said.label("messages_today"),
        )
        .join(User, User.id == Room.host_id)
        .join(Movie, Movie.id == Room.movie_id)
        .order_by(desc("viewers"), desc("messages_today"), Room.id)
    )


def _movies() -> _Query:
    """Movies with genre, stars (0 is unrated), and how many rooms show them."""
    mean = cast(func.avg(Rating.stars), Float)  # Some databases say it as a decimal.
    stars = func.coalesce(
        select(mean).where(Rating.movie_id == Movie.id).scalar_subquery(), literal(0.0)
    )
    rooms_now = _count(Room.movie_id == Movie.id, Room.active_at >= now_s() - _DAY_S)
    return (
        select(
            Movie.id,
            Movie.title,
            Movie.year,
            Genre.name.label("genre"),
            stars.label("stars"),
            _count(Rating.movie_id == Movie.id).label("ratings"),
            rooms_now.label("rooms"),
        )
        .join(Genre, Genre.id == Movie.genre_id)
        .order_by(desc("stars"), desc("ratings"), Movie.id)
    )


def _count(*found: ColumnElement[bool]) -> ScalarSelect[int]:
    return select(func.count()).where(*found).scalar_subquery()


def _rows(query: _Query) -> list[dict[str, Any]]:
    with transaction() as session:
        return [dict(row) for row in session.execute(query).mappings()]


def _first(query: _Query) -> dict[str, Any] | None:
    return next(iter(_rows(query)), None)


@dataclass(frozen=True, slots=True)
class Read:
    """A kind of read.

    Attributes:
        run: The query; takes what is wanted.
        ttl_s: How long its answer may be given again (s).
    """

    run: Callable[[Any], Any]
    ttl_s: int


READS: Final[Mapping[str, Read]] = {
    "read.rooms": Read(rooms, 300),
    "read.room": Read(room, 300),
    "read.movies": Read(movies, 300),
    "read.movie": Read(movie, 300),
    "read.messages": Read(messages, 60),
    "read.profile": Read(profile, 600),
}
"""By job type."""
