"""Fenced blocks of a document, with the note (an HTML comment) that stands above each."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["Block", "blocks_of", "relative_links_of"]

_BLOCK: Final = re.compile(
    r"(?:<!-- (?P<note>[^>]*) -->\n+)?```(?P<language>\w*)\n(?P<text>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)
_LINK: Final = re.compile(r"\]\((?!https?:|#)([^)#\s]+)")


@dataclass(frozen=True)
class Block:
    """One fenced block; its note is empty if it has none."""

    language: str
    text: str
    note: str


def blocks_of(document: Path) -> Iterator[Block]:
    """All fenced blocks, in order."""
    for match in _BLOCK.finditer(document.read_text()):
        yield Block(match["language"], match["text"], match["note"] or "")


def relative_links_of(document: Path) -> list[str]:
    """Targets of links to other files, without their anchors."""
    return _LINK.findall(document.read_text())
