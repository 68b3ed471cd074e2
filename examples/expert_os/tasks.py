"""The tasks: what each takes and what it gives, for those who ask for them and who do them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Generic, Literal, TypeAlias, TypeVar

from pydantic import BaseModel, ConfigDict, Field

__all__ = [
    "GENERATE_CONTENT",
    "PROCESS_DOCUMENT",
    "QUEUE",
    "DocumentReport",
    "Format",
    "GenerateContent",
    "GeneratedContent",
    "ProcessDocument",
    "TaskType",
    "Term",
]

QUEUE: Final = "expert-os-tasks"

Format: TypeAlias = Literal["pdf", "html", "markdown"]


class _Data(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class ProcessDocument(_Data):
    """A document to be read; the web application has put it into the store."""

    document_id: str = Field(pattern="^[0-9a-f]{64}$")
    format: Format
    name: str = Field("", max_length=200, description="As its owner calls it.")


class Term(BaseModel):
    """A word, or two words, that a document is about."""

    term: str
    count: int


class DocumentReport(BaseModel):
    """What is in a document. The pages of a text without pages are its sections."""

    title: str
    pages: int
    empty_pages: int = Field(description="Pages without text, such as scanned ones.")
    words: int
    distinct_words: int
    sentences: int
    characters: int
    reading_minutes: float
    key_terms: list[Term]


class GenerateContent(_Data):
    """A text to be written."""

    prompt: str = Field(min_length=1, max_length=8000)
    max_tokens: int = Field(200, ge=1, le=4096)


class GeneratedContent(BaseModel):
    """What was written; its tokens have gone out one by one before."""

    text: str
    tokens: int
    model: str
    finish_reason: str = Field(description="'stop', or 'length' if it was cut at max_tokens.")


Data = TypeVar("Data", bound=_Data)
Result = TypeVar("Result", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class TaskType(Generic[Data, Result]):
    """A type of task: a name, with the types of its data and of its result."""

    name: str
    data: type[Data]
    result: type[Result]


PROCESS_DOCUMENT: Final = TaskType("PROCESS_DOCUMENT", ProcessDocument, DocumentReport)
GENERATE_CONTENT: Final = TaskType("GENERATE_CONTENT", GenerateContent, GeneratedContent)
