"""The old polling table in SQL, and what the bridge notes beside it.

The old system needs nothing but `jobs`. The bridge adds two tables of its own, and drops nothing;
each change is one transaction that begins with a conditional write, so that a row is always the old
worker's or the bridge's, never both's.
"""

from __future__ import annotations

import os
import time
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import JSON, create_engine, delete, event, func, select, update
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, sessionmaker

if TYPE_CHECKING:
    import sqlite3

__all__ = ["BRIDGE", "Claim", "OldJob", "Table"]

#: What the bridge calls itself in the column of workers.
BRIDGE: Final = "bridge"


class _Base(DeclarativeBase):
    pass


class OldJob(_Base):
    """A row of the old table: queued, processing, done or failed. Times are in Unix seconds."""

    __tablename__ = "jobs"

    row_id: Mapped[int] = mapped_column(primary_key=True)
    file_key: Mapped[str]
    status: Mapped[str] = mapped_column(default="queued", index=True)
    worker: Mapped[str | None] = mapped_column(default=None)
    results: Mapped[dict[str, Any] | None] = mapped_column(JSON, default=None)
    error: Mapped[str | None] = mapped_column(default=None)
    created_at: Mapped[float] = mapped_column(default=time.time)
    claimed_at: Mapped[float | None] = mapped_column(default=None)


class _Bridged(_Base):
    """A row that is Penstock's for now, and the request id of its job."""

    __tablename__ = "bridged"

    request_id: Mapped[str] = mapped_column(primary_key=True)
    row_id: Mapped[int] = mapped_column(unique=True)


class _Switch(_Base):
    """One row: whether the bridge takes rows. Each claim writes it, so claims and switch queue."""

    __tablename__ = "bridge_switch"

    one: Mapped[int] = mapped_column(primary_key=True)
    is_open: Mapped[bool]
    claims: Mapped[int] = mapped_column(default=0)


@dataclass(frozen=True, slots=True)
class Claim:
    """A row that the bridge has taken; its request id stands for one job, however often asked."""

    row_id: int
    file_key: str
    request_id: str


class Table:
    """The tables in a database.

    Args:
        url: Of SQLAlchemy's kind; None is that of AUDIO_DATABASE_URL.
    """

    def __init__(self, url: str | None = None) -> None:
        address = url or os.environ.get("AUDIO_DATABASE_URL", "sqlite:///audio.sqlite3")
        self._engine = create_engine(address)
        if self._engine.dialect.name == "sqlite":
            event.listen(self._engine, "connect", _tune)
        self._sessions: sessionmaker[Session] = sessionmaker(self._engine, expire_on_commit=False)

    def create(self) -> None:
        """Creates what is missing; the switch is open at first."""
        _Base.metadata.create_all(self._engine)
        with self._sessions.begin() as session:
            if session.get(_Switch, 1) is None:
                session.add(_Switch(one=1, is_open=True))

    def close(self) -> None:
        """Closes the connections to the database."""
        self._engine.dispose()

    # As the old producers and the old worker use it.

    def add(self, file_keys: list[str]) -> None:
        """Queues files."""
        with self._sessions.begin() as session:
            session.add_all([OldJob(file_key=file_key) for file_key in file_keys])

    def take(self, worker: str, limit: int = 1) -> list[OldJob]:
        """Takes the oldest rows that wait."""
        with self._sessions.begin() as session:
            return _take(session, worker, limit)

    def finish(self, row_id: int, results: dict[str, Any] | None, error: str | None = None) -> None:
        """Stores how a row came out; with results it is done."""
        with self._sessions.begin() as session:
            session.execute(_ended(row_id, results, error))

    def rows(self) -> list[OldJob]:
        """All rows."""
        with self._sessions() as session:
            return list(session.scalars(select(OldJob).order_by(OldJob.row_id)))

    def counts(self) -> dict[str, int]:
        """How many rows are of each status."""
        with self._sessions() as session:
            counted = session.execute(select(OldJob.status, func.count()).group_by(OldJob.status))
            return dict(counted.all())

    # As the bridge uses it.

    def open_switch(self, *, to: bool) -> None:
        """Lets the bridge take rows, or stops that: no claim is under way when this returns."""
        with self._sessions.begin() as session:
            session.execute(update(_Switch).values(is_open=to))

    def claim(self, limit: int) -> list[Claim]:
        """Takes rows for Penstock; none while the switch is closed."""
        if not self._any_waits():
            return []
        with self._sessions.begin() as session:
            counted = update(_Switch).where(_Switch.is_open).values(claims=_Switch.claims + 1)
            if not session.scalars(counted.returning(_Switch.one)).all():
                return []
            claims = [
                Claim(row.row_id, row.file_key, uuid.uuid4().hex)
                for row in _take(session, BRIDGE, limit)
            ]
            session.add_all([_Bridged(request_id=c.request_id, row_id=c.row_id) for c in claims])
        return claims

    def claims(self) -> list[Claim]:
        """The rows that are Penstock's now."""
        joined = select(_Bridged.row_id, OldJob.file_key, _Bridged.request_id).join(
            OldJob, OldJob.row_id == _Bridged.row_id
        )
        with self._sessions() as session:
            return [Claim(*row) for row in session.execute(joined)]

    def settle(self, claim: Claim, results: dict[str, Any] | None, error: str | None) -> bool:
        """Stores how a claim came out; with neither results nor error the row waits again.

        Returns:
            Whether this was the one that counts: a claim is settled once.
        """
        mine = delete(_Bridged).where(_Bridged.request_id == claim.request_id)
        with self._sessions.begin() as session:
            if not session.scalars(mine.returning(_Bridged.row_id)).all():
                return False
            session.execute(_ended(claim.row_id, results, error))
        return True

    def _any_waits(self) -> bool:
        waiting = select(OldJob.row_id).where(OldJob.status == "queued").limit(1)
        with self._sessions() as session:
            return session.scalar(waiting) is not None


def _take(session: Session, worker: str, limit: int) -> list[OldJob]:
    oldest = (
        select(OldJob.row_id)
        .where(OldJob.status == "queued")
        .order_by(OldJob.row_id)
        .limit(limit)
        .scalar_subquery()
    )
    taken = (
        update(OldJob)
        # Asked again, for databases where another transaction may have come between.
        .where(OldJob.row_id.in_(oldest), OldJob.status == "queued")
        .values(status="processing", worker=worker, claimed_at=time.time())
        .returning(OldJob)
    )
    return list(session.scalars(taken))


def _ended(row_id: int, results: dict[str, Any] | None, error: str | None) -> Any:  # noqa: ANN401 - a statement.
    fields: dict[str, Any] = {"results": results, "error": error}
    if results is not None:
        fields["status"] = "done"
    elif error is not None:
        fields["status"] = "failed"
    else:
        fields |= {"status": "queued", "worker": None, "claimed_at": None}
    return update(OldJob).where(OldJob.row_id == row_id).values(**fields)


def _tune(connection: sqlite3.Connection, _: object) -> None:
    """Several processes write: one waits for the other, and readers for nobody."""
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = NORMAL")
    connection.execute("PRAGMA busy_timeout = 20000")
