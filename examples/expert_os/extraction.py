"""From a document to its text, page by page.

PDF is read by pypdf, HTML by Beautiful Soup, Markdown by way of HTML. A text without pages has
sections instead, which begin with its headings of the upper two levels.
"""

from __future__ import annotations

import io
import re
import unicodedata
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from bs4 import BeautifulSoup, Tag, UnicodeDammit, XMLParsedAsHTMLWarning
from bs4.dammit import EncodingDetector
from bs4.element import NavigableString
from markdown_it import MarkdownIt
from pypdf import PasswordType, PdfReader

if TYPE_CHECKING:
    from collections.abc import Iterator

    from examples.expert_os.tasks import Format

__all__ = ["Source", "Unreadable", "open_source"]

_HEADINGS: Final = frozenset({"h1", "h2"})
_BLOCK_NAMES: Final = """
address article aside blockquote body br caption dd details div dl dt fieldset figcaption figure
footer form h1 h2 h3 h4 h5 h6 header hr html legend li main nav ol option p pre section summary
table tbody td tfoot th thead tr ul
"""
_BLOCKS: Final = frozenset(_BLOCK_NAMES.split())


class Unreadable(ValueError):  # noqa: N818 - says what is wrong.
    """There is no text to be had from a document, however often one tries; the message says why."""


@dataclass(frozen=True, slots=True)
class Source:
    """A document that is open.

    Attributes:
        title: '' if it has none.
        count: How many pages it has.
        pages: Their texts, read one by one; raises Unreadable.
    """

    title: str
    count: int
    pages: Iterator[str]


def open_source(form: Format, data: bytes) -> Source:
    """Opens a document. Raises Unreadable."""
    match form:
        case "pdf":
            return _pdf(data)
        case "html":
            return _html(_decoded(data, is_html=True))
        case "markdown":
            text = _decoded(data, is_html=False)
            return _html(MarkdownIt("commonmark").enable("table").render(text))


def _pdf(data: bytes) -> Source:
    try:
        reader = PdfReader(io.BytesIO(data))
        locked = reader.is_encrypted and reader.decrypt("") is PasswordType.NOT_DECRYPTED
        title = "" if locked else (reader.metadata and reader.metadata.title) or ""
        count = 0 if locked else len(reader.pages)
    except Exception as error:  # A malformed file makes pypdf raise whatever comes of it.
        raise Unreadable(f"it is no PDF that can be read: {error}") from error
    if locked:
        raise Unreadable("it is protected by a password")
    return Source(clean(title).strip(), count, _pdf_pages(reader))


def _pdf_pages(reader: PdfReader) -> Iterator[str]:
    for number, page in enumerate(reader.pages, 1):
        try:
            text = page.extract_text()
        except Exception as error:  # As above.
            raise Unreadable(f"page {number} cannot be read: {error}") from error
        # A word that is broken at the end of a line is one word.
        yield re.sub(r"(\w)-\n(\w)", r"\1\2", clean(text))


def _html(markup: str) -> Source:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", XMLParsedAsHTMLWarning)  # XHTML is read as HTML, too.
        soup = BeautifulSoup(markup, "html.parser")
    sections = [text for section in _sections(soup) if (text := clean(section))] or [""]
    heading = soup.find(["title", "h1"])
    title = " ".join(clean(heading.get_text()).split()) if heading else ""
    return Source(title, len(sections), iter(sections))


def _sections(soup: BeautifulSoup) -> Iterator[str]:
    """The texts between headings: a line for each block, without scripts, styles and comments."""
    parts: list[str] = []
    block_of: dict[int, Tag] = {id(soup): soup}  # Of each tag, the block that it is in.
    block: Tag = soup
    for node in soup.descendants:
        parent = node.parent or soup
        if isinstance(node, Tag):
            is_block = node.name in _BLOCKS
            block_of[id(node)] = node if is_block else block_of[id(parent)]
            if node.name in _HEADINGS:
                yield _lines(parts)
                parts = []
            if is_block:
                parts.append("\n")
        elif type(node) is NavigableString and parent.name != "title":
            if block_of[id(parent)] is not block:
                block = block_of[id(parent)]
                parts.append("\n")
            parts.append(re.sub(r"\s+", " ", node))
    yield _lines(parts)


def _lines(parts: list[str]) -> str:
    lines = (line.strip() for line in "".join(parts).split("\n"))
    return "\n".join(line for line in lines if line)


def _decoded(data: bytes, *, is_html: bool) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        declared = EncodingDetector.find_declared_encoding(data, is_html=is_html)
        # What browsers take it for where nothing is said; a byte order mark comes before both.
        dammit = UnicodeDammit(data, user_encodings=[declared or "windows-1252"], is_html=is_html)
    if dammit.unicode_markup is None:
        raise Unreadable("its character encoding is not known")
    return str(dammit.unicode_markup)


def clean(text: str) -> str:
    """Text in which ligatures and wide forms are letters, and all that is there can be written."""
    return unicodedata.normalize("NFKC", text).encode("utf-8", "replace").decode().replace("\0", "")
