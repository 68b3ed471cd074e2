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

__all__ = ["count_rows", "fill"]

_HOUR_S: Final = 3600
_DAY_S: Final = 24 * _HOUR_S
_OLDEST_S: Final = 31 * _DAY_S
_SPAN_S: Final = 75 * _DAY_S
_PRIME: Final = 1_000_003
_GENRES: Final = ("Comedy", "Drama", "Thriller", "Western", "Animation", "Documentary")


def fill(messages: int) -> None:
    """Fills empty tables with so many messages, and half as many rows of all else together.

    Nothing is left to chance: the same number makes the same rows, but for the time of day. Rooms
    with low numbers are busy, and were so lately; those with high ones have been quiet for weeks.
    Each table is one statement, for which the database itself counts up the rows.
    """
    now = now_s()
    users, movies = max(messages // 20, 100), max(messages // 200, 20)
    rooms = max(messages // 50, 20)
    n = _NUMBER

    def quiet_s(room: ColumnElement[int]) -> ColumnElement[int]:
        """For how long nothing has happened in a room."""
        return _OLDEST_S * room * room // rooms**2

    spread = n * 7919 % _PRIME
    skewed = 1 + spread * spread // _PRIME * rooms // _PRIME  # Low numbers come more often.
    seated, rated = 1 + n % rooms, 1 + n % movies
    with engine().begin() as connection:
        connection.execute(insert(Genre), [{"name": name} for name in _GENRES])
        tables: tuple[tuple[type[Table], int, dict[str, Any]], ...] = (
            (User, users, _user(n)),
            (
                Movie,
                movies,
                {
                    "title": literal("Movie ") + cast(n, String),
                    "year": 1930 + n % 97,
                    "genre_id": 1 + n % len(_GENRES),
                },
            ),
            (
                Rating,
                messages // 4,
                {
                    "movie_id": rated,
                    "user_id": 1 + (n // movies * 7919 + rated * 17) % users,
                    "stars": 1 + (n * 104_729 % _PRIME + rated) % 5,
                },
            ),
            (
                Room,
                rooms,
                {
                    "name": literal("Room ") + cast(n, String),
                    "host_id": 1 + n * 31 % users,
                    "movie_id": 1 + n * 7 % movies,
                    "active_at": now - quiet_s(n),
                },
            ),
            (
                Participant,
                messages // 10,
                {
                    "room_id": seated,
                    "user_id": 1 + (n // rooms * 7919 + seated * 13) % users,
                    "seen_at": now - quiet_s(seated) - n * 6007 % _HOUR_S,
                },
            ),
            (
                Message,
                messages,
                {
                    "room_id": skewed,
                    "user_id": 1 + n * 15_485_863 % _PRIME % users,
                    "text": literal("What a scene! ") + cast(n, String),
                    "created_at": now - quiet_s(skewed) - n * 32_452_843 % _SPAN_S,
                },
            ),
        )
        indexes = [each for table in Table.metadata.sorted_tables for each in table.indexes]
        for index in indexes:
            index.drop(connection)
        for table, count, columns in tables:
            _insert(connection, table, count, columns)
        for index in indexes:  # Sorted at once, and not row by row.
            index.create(connection)


def count_rows() -> int:
    """How many rows there are in all tables together."""
    with engine().connect() as connection:
        return sum(
            connection.scalar(select(func.count()).select_from(table)) or 0
            for table in Table.metadata.sorted_tables
        )


_NUMBER: Final = literal_column("numbers.n", BigInteger)


def _user(n: ColumnElement[int]) -> dict[str, Any]:
    number = cast(n, String)
    return {
        "email": literal("viewer") + number + literal("@watchparty.example"),
        "username": literal("viewer ") + number,
        "password": literal("$"),  # None that is known.
        "avatar": literal(0),
        "uploads": literal(0),
    }


def _insert(
    connection: Connection, table: type[Table], count: int, columns: dict[str, Any]
) -> None:
    numbers = select(literal(1, BigInteger).label("n")).cte("numbers", recursive=True)
    numbers = numbers.union_all(select(numbers.c.n + 1).where(numbers.c.n < count))
    rows = select(*columns.values()).select_from(numbers)
    connection.execute(insert(table).from_select(list(columns), rows, include_defaults=False))
