"""What the handlers did, in a database: the effects, and each run that had one."""

from __future__ import annotations

import os
import sqlite3
import time
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["Ledger"]

_TABLES: Final = """
CREATE TABLE IF NOT EXISTS effects (
    subscription TEXT, event_id TEXT, detail TEXT, PRIMARY KEY (subscription, event_id)
);
CREATE TABLE IF NOT EXISTS runs (
    queue TEXT, subscription TEXT, event_id TEXT, attempt INTEGER, began REAL, ended REAL
);
"""


class Ledger:
    """A database that several processes write to.

    Args:
        path: of its file; None is SHOP_LEDGER.
    """

    def __init__(self, path: Path | None = None) -> None:
        self._path = path or os.environ.get("SHOP_LEDGER", "shop.sqlite3")
        with self._connection() as connection:
            connection.executescript("PRAGMA journal_mode = WAL;" + _TABLES)

    def apply(self, subscription: str, event_id: str, detail: str) -> bool:
        """Has an effect, once: whether this was the first time.

        A handler may run twice for one event; the event's id makes its effect happen once.
        """
        with self._connection() as connection:
            done = connection.execute(
                "INSERT OR IGNORE INTO effects VALUES (?, ?, ?)", (subscription, event_id, detail)
            )
            return done.rowcount == 1

    @contextmanager
    def run(self, queue: str, subscription: str, event_id: str, attempt: int) -> Iterator[None]:
        """Notes when a run began and ended; the clock is the machine's, which all share."""
        began = time.monotonic()
        try:
            yield
        finally:
            with self._connection() as connection:
                connection.execute(
                    "INSERT INTO runs VALUES (?, ?, ?, ?, ?, ?)",
                    (queue, subscription, event_id, attempt, began, time.monotonic()),
                )

    def effects(self) -> dict[str, int]:
        """How many effects each subscription had."""
        with self._connection() as connection:
            return dict(connection.execute("SELECT subscription, count(*) FROM effects GROUP BY 1"))

    def attempts(self, subscription: str) -> list[int]:
        """The attempts of a subscription's runs, in the order of their end."""
        with self._connection() as connection:
            rows = connection.execute(
                "SELECT attempt FROM runs WHERE subscription = ? ORDER BY ended", (subscription,)
            )
            return [attempt for (attempt,) in rows]

    def most_at_once(self, queue: str) -> int:
        """How many runs of a queue overlapped at most."""
        with self._connection() as connection:
            spans = connection.execute("SELECT began, ended FROM runs WHERE queue = ?", (queue,))
            edges = sorted(edge for began, ended in spans for edge in ((ended, -1), (began, 1)))
        most = running = 0
        for _, change in edges:
            running += change
            most = max(most, running)
        return most

    @contextmanager
    def _connection(self) -> Iterator[sqlite3.Connection]:
        with closing(sqlite3.connect(self._path, timeout=30)) as connection, connection:
            yield connection
