"""Where the rows are: SQLite by default, whatever WATCHPARTY_DATABASE_URL names otherwise."""

from __future__ import annotations

import os
import time
from functools import cache
from typing import TYPE_CHECKING

from sqlalchemy import Engine, create_engine, event
from sqlalchemy.orm import Session, sessionmaker

if TYPE_CHECKING:
    import sqlite3
    from contextlib import AbstractContextManager

__all__ = ["engine", "now_s", "transaction"]


def transaction() -> AbstractContextManager[Session]:
    """A session that is committed when it is left, or rolled back if that is by an error."""
    return sessionmaker(engine(), expire_on_commit=False).begin()


@cache
def engine() -> Engine:
    """The connections of this process. The tables are made by ``setup``."""
    url = os.environ.get("WATCHPARTY_DATABASE_URL", "sqlite:///watchparty.sqlite3")
    made = create_engine(url, pool_size=20, pool_pre_ping=True)
    if made.dialect.name == "sqlite":
        event.listen(made, "connect", _tune)
    return made


def now_s() -> int:
    """Seconds since 1970."""
    return int(time.time())


def _tune(connection: sqlite3.Connection, _: object) -> None:
    """Readers do not wait for a writer, writers wait for each other, and references hold."""
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = NORMAL")
    connection.execute("PRAGMA busy_timeout = 30000")
    connection.execute("PRAGMA foreign_keys = ON")
    connection.execute("PRAGMA cache_size = -65536")  # KiB, of each connection.
