"""Documents: what is read out of them, whatever they are, and what is counted."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from fpdf import FPDF

from examples.expert_os.documents import MAX_BYTES, Documents, TooLarge
from examples.expert_os.extraction import Unreadable, open_source
from examples.expert_os.samples import brochure, home_page
from examples.expert_os.tally import Tally

if TYPE_CHECKING:
    from pathlib import Path

    from examples.expert_os.tasks import Format


def pages_of(form: Format, data: bytes | str) -> list[str]:
    source = open_source(form, data.encode() if isinstance(data, str) else data)
    pages = list(source.pages)
    assert len(pages) == source.count
    return pages


def pdf_of(*pages: str, password: str | None = None) -> bytes:
    pdf = FPDF()
    if password is not None:
        pdf.set_encryption("owner", password)
    pdf.set_font("Helvetica")
    for text in pages:
        pdf.add_page()
        if text:
            pdf.multi_cell(0, 6, text)
    return bytes(pdf.output())


def test_a_pdf_has_pages_and_a_title() -> None:
    source = open_source("pdf", brochure(3))
    assert (source.title, source.count) == ("The penstock, explained", 3)
    assert [page.split("\n")[0] for page in source.pages] == ["Chapter 1", "Chapter 2", "Chapter 3"]


def test_pages_without_text_are_counted() -> None:
    tally = Tally()
    for page in pages_of("pdf", pdf_of("Text.", "", "More of it.")):
        tally.add(page)
    report = tally.report("")
    assert (report.pages, report.empty_pages, report.words) == (3, 1, 4)


def test_a_word_that_is_broken_at_the_end_of_a_line_is_one() -> None:
    assert pages_of("pdf", pdf_of("a turbo-\ngenerator")) == ["a turbogenerator"]


def test_a_pdf_that_needs_no_password_to_be_read_is_read() -> None:
    assert pages_of("pdf", pdf_of("Open to all.", password="")) == ["Open to all."]


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "empty"),
        (b"# A document in Markdown", "no PDF"),
        (brochure(2)[:900], "no PDF"),
        (pdf_of("Secret.", password="sesame"), "password"),
    ],
)
def test_a_pdf_that_cannot_be_read_says_why(data: bytes, why: str) -> None:
    with pytest.raises(Unreadable, match=why):
        pages_of("pdf", data)


def test_a_damaged_page_costs_no_other() -> None:
    sound = pdf_of("One.", "Two.")
    second = [match.end() for match in re.finditer(rb"stream\n(?!endobj)", sound)][1]
    damaged = sound[:second] + bytes(20) + sound[second + 20 :]
    assert pages_of("pdf", damaged) == ["One.", ""]


def test_html_is_read_without_what_is_no_text() -> None:
    sections = pages_of("html", home_page())
    assert len(sections) == 2
    assert sections[0].startswith("Home\nA penstock carries")
    assert sections[1] == "Contact\nCafé on the quay."


@pytest.mark.parametrize(
    ("markup", "text"),
    [
        ("<p>one<b>two</b> three<p>four<br>five", "onetwo three\nfour\nfive"),
        ("<ul><li>a<li>b</ul>c", "a\nb\nc"),
        ("<table><tr><td>1<td>2</table>", "1\n2"),
        ("a &amp; b &lt; c", "a & b < c"),
        ("<template>no</template><noscript>yes</noscript>", "yes"),
        ("\N{LATIN SMALL LIGATURE FI}ne \N{FULLWIDTH DIGIT ONE}", "fine 1"),
        ("no tags\n   at all", "no tags at all"),
        ("", ""),
    ],
)
def test_text_of_html(markup: str, text: str) -> None:
    assert pages_of("html", markup) == [text]


@pytest.mark.parametrize("tag", ["b", "div"])
def test_tags_in_tags_without_end_are_no_trouble(tag: str) -> None:
    assert len(pages_of("html", f"<{tag}>x" * 3000)[0].replace("\n", "")) == 3000


@pytest.mark.parametrize(
    "data",
    [
        "café".encode("latin-1"),
        "<meta charset=iso-8859-15>café".encode("iso-8859-15"),
        "café".encode("utf-8-sig"),
        "café".encode("utf-16"),
    ],
)
def test_encodings_are_recognised(data: bytes) -> None:
    assert pages_of("html", data) == ["café"]


def test_xhtml_is_read_as_html() -> None:
    prolog = '<?xml version="1.0"?><html xmlns="http://www.w3.org/1999/xhtml"><body>'
    assert pages_of("html", f"{prolog}<p>x</p></body></html>") == ["x"]


def test_sections_of_markdown_begin_with_headings() -> None:
    text = "intro\n\n# One\n\n*a* `b`\n\n| t |\n|---|\n| u |\n\n## Two\n\n### not three\n"
    assert pages_of("markdown", text) == ["intro", "One\na b\nt\nu", "Two\nnot three"]


def test_what_a_document_is_about() -> None:
    tally = Tally()
    tally.add("Migratory ducks fly south. Most of them fly fast! Migratory ducks, however, rest…")
    tally.add("What would they eat? Duckweed.")
    report = tally.report("Ducks")
    assert (report.words, report.sentences, report.distinct_words) == (18, 5, 15)
    assert report.key_terms[0].term == "migratory ducks"
    assert report.key_terms[0].count == 2
    terms = {term.term for term in report.key_terms}
    assert "duckweed" in terms
    assert not {"ducks", "migratory", "what", "would", "however", "most"} & terms


def test_a_document_is_stored_once_and_whole(tmp_path: Path) -> None:
    documents = Documents(tmp_path)
    ids = []
    for parts in ([b"ab", b"c"], [b"abc"]):
        with documents.receive() as incoming:
            for part in parts:
                incoming.write(part)
            ids.append(incoming.keep())
    assert ids[0] == ids[1]
    assert documents.read(ids[0]) == b"abc"
    assert documents.text(ids[0]) is None
    documents.save_text(ids[0], "text")
    assert documents.text(ids[0]) == "text"
    assert len(list(tmp_path.iterdir())) == 2


def test_a_document_that_is_not_kept_leaves_nothing(tmp_path: Path) -> None:
    documents = Documents(tmp_path)
    with documents.receive() as incoming:
        incoming.write(b"half of it")
    with documents.receive() as incoming:
        incoming.write(bytes(MAX_BYTES))
        with pytest.raises(TooLarge):
            incoming.write(b"x")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("document_id", ["", "../secret", "0" * 63 + "/", "0" * 64])
def test_what_is_not_there_is_not_found(tmp_path: Path, document_id: str) -> None:
    with pytest.raises(FileNotFoundError, match="there is no document"):
        Documents(tmp_path).read(document_id)
