"""What an article is: for the API, for the worker, and for the database between them."""

from __future__ import annotations

import os
import uuid
from typing import TYPE_CHECKING, Final, Literal

from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import create_engine, event, select
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, sessionmaker

if TYPE_CHECKING:
    import sqlite3

__all__ = ["GENERATE", "QUEUE", "Article", "Articles", "GenerateArticle", "Wishes"]

GENERATE: Final = "opad.generate_article"
QUEUE: Final = "opad"


class Wishes(BaseModel):
    """What a reader asks for."""

    model_config = ConfigDict(extra="forbid")

    language: str = Field("English", min_length=2, max_length=32)
    level: Literal["A1", "A2", "B1", "B2", "C1", "C2"] = "B1"
    length: int = Field(5, ge=1, le=50, description="in paragraphs")
    topic: str = Field(min_length=1, max_length=200)


class GenerateArticle(Wishes):
    """Payload of a job: the article to write, and for whom."""

    article_id: str


class _Base(DeclarativeBase):
    pass


class Article(_Base):
    """A row of the database. ``text`` is empty until a job has written it."""

    __tablename__ = "articles"

    article_id: Mapped[str] = mapped_column(primary_key=True)
    language: Mapped[str]
    level: Mapped[str]
    length: Mapped[int]
    topic: Mapped[str]
    job_id: Mapped[str] = mapped_column(default="")
    text: Mapped[str] = mapped_column(default="")

    @property
    def wishes(self) -> Wishes:
        """What was asked for."""
        return Wishes.model_validate(
            {name: getattr(self, name) for name in Wishes.model_fields}, strict=False
        )


def _tune(connection: sqlite3.Connection, _: object) -> None:
    """Readers do not wait for a writer, nor a writer for the disk at each commit."""
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = NORMAL")


class Articles:
    """The articles in a database.

    Args:
        url: Of SQLAlchemy's kind; None is that of OPAD_DATABASE_URL.
    """

    def __init__(self, url: str | None = None) -> None:
        address = url or os.environ.get("OPAD_DATABASE_URL", "sqlite:///opad.sqlite3")
        engine = create_engine(address)
        if engine.dialect.name == "sqlite":
            event.listen(engine, "connect", _tune)
        _Base.metadata.create_all(engine)
        self._sessions: sessionmaker[Session] = sessionmaker(engine, expire_on_commit=False)

    def create(self, wishes: Wishes) -> Article:
        """Stores a new article without text."""
        article = Article(
            article_id=uuid.uuid4().hex, job_id="", text="", **wishes.model_dump(mode="json")
        )
        with self._sessions.begin() as session:
            session.add(article)
        return article

    def get(self, article_id: str) -> Article | None:
        """The article, if there is one."""
        with self._sessions() as session:
            return session.get(Article, article_id)

    def newest(self, limit: int = 20) -> list[Article]:
        """Some articles that are written."""
        with self._sessions() as session:
            written = select(Article).where(Article.text != "").limit(limit)
            return list(session.scalars(written))

    def set_job(self, article_id: str, job_id: str) -> None:
        """Remembers the job that writes it now."""
        with self._sessions.begin() as session:
            if article := session.get(Article, article_id):
                article.job_id = job_id

    def set_text(self, article_id: str, text: str) -> None:
        """Stores what was written. The same text twice does no harm, as jobs may run twice."""
        with self._sessions.begin() as session:
            if article := session.get(Article, article_id):
                article.text = text
