"""The tables, for any database that SQLAlchemy knows. Times are seconds since 1970."""

from __future__ import annotations

from sqlalchemy import BigInteger, ForeignKey, Index
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sqlalchemy.types import String, Text

__all__ = ["Genre", "Message", "Movie", "Participant", "Rating", "Room", "Table", "User"]


class Table(DeclarativeBase):
    """What all have in common."""

    type_annotation_map = {str: String(255)}  # noqa: RUF012 - SQLAlchemy's own way.


def _refers(to: str) -> Mapped[int]:
    """A reference whose row goes with the one that it refers to."""
    return mapped_column(ForeignKey(to, ondelete="CASCADE"))


class User(Table):
    """Who watches. Uploads are counted; the avatar is the newest that became one, 0 is none."""

    __tablename__ = "users"

    id: Mapped[int] = mapped_column(primary_key=True)
    email: Mapped[str] = mapped_column(unique=True)
    username: Mapped[str]
    password: Mapped[str]
    avatar: Mapped[int] = mapped_column(default=0)
    uploads: Mapped[int] = mapped_column(default=0)


class Genre(Table):
    """Of movies."""

    __tablename__ = "genres"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]


class Movie(Table):
    """What is watched."""

    __tablename__ = "movies"

    id: Mapped[int] = mapped_column(primary_key=True)
    title: Mapped[str]
    year: Mapped[int]
    genre_id: Mapped[int] = _refers("genres.id")


class Rating(Table):
    """What a user thinks of a movie: 1 to 5 stars."""

    __tablename__ = "ratings"

    movie_id: Mapped[int] = mapped_column(
        ForeignKey("movies.id", ondelete="CASCADE"), primary_key=True, autoincrement=False
    )
    user_id: Mapped[int] = mapped_column(
        ForeignKey("users.id", ondelete="CASCADE"), primary_key=True, index=True
    )
    stars: Mapped[int]


class Room(Table):
    """Where a movie is watched together. It is active when somebody writes in it or joins it."""

    __tablename__ = "rooms"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    host_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), index=True)
    movie_id: Mapped[int] = mapped_column(ForeignKey("movies.id", ondelete="CASCADE"), index=True)
    active_at: Mapped[int] = mapped_column(BigInteger, index=True)


class Participant(Table):
    """Who is in a room, and was seen there last when."""

    __tablename__ = "participants"

    room_id: Mapped[int] = mapped_column(
        ForeignKey("rooms.id", ondelete="CASCADE"), primary_key=True, autoincrement=False
    )
    user_id: Mapped[int] = mapped_column(
        ForeignKey("users.id", ondelete="CASCADE"), primary_key=True, index=True
    )
    seen_at: Mapped[int] = mapped_column(BigInteger, index=True)


class Message(Table):
    """What was said in a room."""

    __tablename__ = "messages"
    __table_args__ = (Index("messages_of_room", "room_id", "created_at"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    room_id: Mapped[int] = _refers("rooms.id")
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), index=True)
    text: Mapped[str] = mapped_column(Text)
    created_at: Mapped[int] = mapped_column(BigInteger, index=True)
