"""A witness in the old database: notes each time that a row comes out, whoever wrote it."""

from __future__ import annotations

from sqlalchemy import create_engine, text

__all__ = ["Outcomes"]


class Outcomes:
    """The outcomes of rows of the old table, noted by a trigger (of SQLite's kind).

    Args:
        url: Of the database, in which the table is already.
    """

    def __init__(self, url: str) -> None:
        self._engine = create_engine(url)
        with self._engine.begin() as connection:
            connection.execute(text("CREATE TABLE outcomes (row_id INTEGER, worker TEXT)"))
            connection.execute(
                text(
                    "CREATE TRIGGER note_outcome AFTER UPDATE OF status ON jobs "
                    "WHEN NEW.status IN ('done', 'failed') "
                    "BEGIN INSERT INTO outcomes VALUES (NEW.row_id, NEW.worker); END"
                )
            )

    def all(self) -> list[tuple[int, str]]:
        """Row and worker of each outcome, in order."""
        with self._engine.connect() as connection:
            rows = connection.execute(text("SELECT row_id, worker FROM outcomes ORDER BY rowid"))
            return [(row_id, worker) for row_id, worker in rows]
