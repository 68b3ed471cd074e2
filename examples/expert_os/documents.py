"""The store of documents: a folder that the web application and the workers share."""

from __future__ import annotations

import hashlib
import os
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

if TYPE_CHECKING:
    from types import TracebackType

__all__ = ["MAX_BYTES", "Documents", "Incoming", "TooLarge"]

MAX_BYTES: Final = 20 * 1024 * 1024


class TooLarge(ValueError):  # noqa: N818 - says what is wrong.
    """A document is larger than is accepted."""


class Documents:
    """Documents by the SHA-256 of their content, so that equal ones are stored once.

    Args:
        folder: None is that of EXPERT_OS_DOCUMENTS.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder or Path(os.environ.get("EXPERT_OS_DOCUMENTS", "expert-os-documents"))
        self._folder.mkdir(parents=True, exist_ok=True)

    def receive(self) -> Incoming:
        """A document that is on its way in; to be used with ``with``."""
        return Incoming(self._folder)

    def read(self, document_id: str) -> bytes:
        """The document. Raises FileNotFoundError if it is not in the store."""
        try:
            return self._path(document_id).read_bytes()
        except FileNotFoundError:
            raise FileNotFoundError(
                f"there is no document {document_id[:80]!r} in {self._folder}: is "
                "EXPERT_OS_DOCUMENTS the same for the web application and its workers?"
            ) from None

    def save_text(self, document_id: str, text: str) -> None:
        """Keeps the text of a document. The same text twice does no harm: jobs may run twice."""
        with Incoming(self._folder, limit=None) as incoming:
            incoming.write(text.encode("utf-8", "replace"))
            incoming.keep_as(self._path(document_id, ".txt").name)

    def text(self, document_id: str) -> str | None:
        """The text of a document, if it has been read."""
        try:
            return self._path(document_id, ".txt").read_text("utf-8")
        except FileNotFoundError:
            return None

    def _path(self, document_id: str, suffix: str = "") -> Path:
        if len(document_id) != hashlib.sha256().digest_size * 2 or not document_id.isalnum():
            raise FileNotFoundError(f"{document_id[:80]!r} is no document's id")
        return self._folder / f"{document_id}{suffix}"


class Incoming:
    """A file that is being written. It appears under its name when it is whole, or never."""

    def __init__(self, folder: Path, limit: int | None = MAX_BYTES) -> None:
        self._folder = folder
        self._limit = limit
        self._size = 0
        self._digest = hashlib.sha256()
        self._cleanup = ExitStack()

    def __enter__(self) -> Self:
        self._file = self._cleanup.enter_context(
            tempfile.NamedTemporaryFile(dir=self._folder, prefix=".incoming-", delete=False)
        )
        self._cleanup.callback(Path(self._file.name).unlink, missing_ok=True)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._cleanup.close()

    def write(self, part: bytes) -> None:
        """Adds a part. Raises TooLarge."""
        self._size += len(part)
        if self._limit is not None and self._size > self._limit:
            raise TooLarge(f"a document has at most {self._limit:,} bytes")
        self._digest.update(part)
        self._file.write(part)

    def keep(self) -> str:
        """Puts it into the store; returns its id."""
        return self.keep_as(self._digest.hexdigest())

    def keep_as(self, name: str) -> str:
        """Puts it into the store under a name, in place of what had that name."""
        self._file.close()
        Path(self._file.name).replace(self._folder / name)
        return name
