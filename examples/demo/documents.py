"""What the documents of this repository hold: plain functions, no Penstock."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

__all__ = ["REPOSITORY", "Survey", "documents", "without_code"]

REPOSITORY: Final = Path(__file__).resolve().parents[2]
"""The root of the checkout."""

_FENCE: Final = re.compile(r"^(```|~~~).*?^\1", re.MULTILINE | re.DOTALL)
_HEADING: Final = re.compile(r"^#{1,6} ", re.MULTILINE)
_LINK: Final = re.compile(r"\[[^\]]*\]\(([^)\s]+)(?:\s+\"[^\"]*\")?\)")
_ELSEWHERE: Final = re.compile(r"[a-z][a-z0-9+.-]*:|#", re.IGNORECASE)


@dataclass(slots=True)
class Survey:
    """The counts of a set of documents.

    Attributes:
        documents: Files read.
        words: Words in them, code left out.
        headings: Headings of all levels.
        links: Relative links.
        broken: Those that lead nowhere, as ``file -> target``.
    """

    documents: int = 0
    words: int = 0
    headings: int = 0
    links: int = 0
    broken: list[str] = field(default_factory=list)

    def add(self, path: Path) -> None:
        """Count one document."""
        text = without_code(path.read_text(encoding="utf-8"))
        self.documents += 1
        self.words += len(text.split())
        self.headings += len(_HEADING.findall(text))
        for target in _LINK.findall(text):
            if _ELSEWHERE.match(target):
                continue
            self.links += 1
            if not (path.parent / target.partition("#")[0]).exists():
                self.broken.append(f"{path.relative_to(REPOSITORY)} -> {target}")


def documents() -> list[Path]:
    """Return the Markdown files of this repository, by path."""
    return sorted([*REPOSITORY.glob("*.md"), *(REPOSITORY / "docs").rglob("*.md")])


def without_code(text: str) -> str:
    """Return a document without its fenced blocks of code."""
    return _FENCE.sub("", text)
