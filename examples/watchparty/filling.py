"""Rows to try it with: users, movies, ratings, rooms, and messages by the million."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import BigInteger, String, cast, func, insert, literal, literal_column, select

from examples.watchparty.database import engine, now_s
from examples.watchparty.tables import (
    Genre,
    Message,
    Movie,
    Participant,
    Rating,
    Room,
    Table,
    User,
)

if TYPE_CHECKING:
    from sqlalchemy import Connection
    from sqlalchemy.sql.elements import ColumnElement

    _Columns = dict[str, Any]

__all__ = ["count_rows", "fill"]

_HOUR_S: Final = 3600
_DAY_S: Final = 24 * _HOUR_S
_OLDEST_S: Final = 31 * _DAY_S
_SPAN_S: Final = 75 * _DAY_S
_PRIME: Final = 1_000_003
#: The number of a row.
_N: Final = literal_column("numbers.n", BigInteger)
_GENRES: Final = ("Comedy", "Drama", "Thriller", "Western", "Animation", "Documentary")


def fill(messages: int) -> None:
    """Fills empty tables with so many messages, and half as many rows of all else together.

    Nothing is left to chance: the same number makes the same rows, but for the time of day. Rooms
    with low numbers are busy, and were so lately; those with high ones have been quiet for weeks.
    Each table is one statement, for which the database itself counts up the rows.
    """
    rows = _Rows(messages)
    with engine().begin() as connection:
        connection.execute(insert(Genre), [{"name": name} for name in _GENRES])
        indexes = [each for table in Table.metadata.sorted_tables for each in table.indexes]
        for index in indexes:
            index.drop(connection)
        _insert(connection, User, rows.users, rows.user())
        _insert(connection, Movie, rows.movies, rows.movie())
        _insert(connection, Rating, messages // 4, rows.rating())
        _insert(connection, Room, rows.rooms, rows.room())
        _insert(connection, Participant, messages // 10, rows.participant())
        _insert(connection, Message, messages, rows.message())
        for index in indexes:  # Sorted at once, and not row by row.
            index.create(connection)


def count_rows() -> int:
    """How many rows there are in all tables together."""
    with engine().connect() as connection:
        return sum(
            connection.scalar(select(func.count()).select_from(table)) or 0
            for table in Table.metadata.sorted_tables
        )


class _Rows:
    """The columns of a row, by its number n within its table."""

    def __init__(self, messages: int) -> None:
        self.users = max(messages // 20, 100)
        self.movies = max(messages // 200, 20)
        self.rooms = max(messages // 50, 20)
        self._now = now_s()

    def user(self) -> _Columns:
        number = cast(_N, String)
        return {
            "email": literal("viewer") + number + literal("@watchparty.example"),
            "username": literal("viewer ") + number,
            "password": literal("$"),  # None that is known.
            "avatar": literal(0),
            "uploads": literal(0),
        }

    def movie(self) -> _Columns:
        return {
            "title": literal("Movie ") + cast(_N, String),
            "year": 1930 + _N % 97,
            "genre_id": 1 + _N % len(_GENRES),
        }

    def rating(self) -> _Columns:
        movie = 1 + _N % self.movies
        return {
            "movie_id": movie,
            "user_id": 1 + (_N // self.movies * 7919 + movie * 17) % self.users,
            "stars": 1 + (_N * 104_729 % _PRIME + movie) % 5,
        }

    def room(self) -> _Columns:
        return {
            "name": literal("Room ") + cast(_N, String),
            "host_id": 1 + _N * 31 % self.users,
            "movie_id": 1 + _N * 7 % self.movies,
            "active_at": self._now - self._quiet_s(_N),
        }

    def participant(self) -> _Columns:
        room = 1 + _N % self.rooms
        return {
            "room_id": room,
            "user_id": 1 + (_N // self.rooms * 7919 + room * 13) % self.users,
            "seen_at": self._now - self._quiet_s(room) - _N * 6007 % _HOUR_S,
        }

    def message(self) -> _Columns:
        spread = _N * 7919 % _PRIME
        room = 1 + spread * spread // _PRIME * self.rooms // _PRIME  # Low ones come more often.
        return {
            "room_id": room,
            "user_id": 1 + _N * 15_485_863 % _PRIME % self.users,
            "text": literal("What a scene! ") + cast(_N, String),
            "created_at": self._now - self._quiet_s(room) - _N * 32_452_843 % _SPAN_S,
        }

    def _quiet_s(self, room: ColumnElement[int]) -> ColumnElement[int]:
        """For how long nothing has happened in a room."""
        return _OLDEST_S * room * room // self.rooms**2


def _insert(connection: Connection, table: type[Table], count: int, columns: _Columns) -> None:
    numbers = select(literal(1, BigInteger).label("n")).cte("numbers", recursive=True)
    numbers = numbers.union_all(select(numbers.c.n + 1).where(numbers.c.n < count))
    rows = select(*columns.values()).select_from(numbers)
    connection.execute(insert(table).from_select(list(columns), rows, include_defaults=False))
