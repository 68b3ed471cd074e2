"""Documents for runs and tests: a PDF and a page in HTML, about this project itself."""

from __future__ import annotations

from typing import Final

from fpdf import FPDF

__all__ = ["brochure", "home_page"]

_FACTS: Final = (
    "A penstock carries the stream from the gate to the turbines.",
    "Every job has one accepted outcome, and every attempt a fencing token.",
    "Workers come and go; a lost lease puts the job back into its queue.",
    "Watchers follow the stream of events from the first one on.",
    "A gateway keeps nothing in its memory that a restart could lose.",
)


def brochure(pages: int) -> bytes:
    """A PDF of some pages, with some text on each."""
    pdf = FPDF()
    pdf.set_title("The penstock, explained")
    pdf.set_font("Helvetica", size=12)
    for number in range(pages):
        pdf.add_page()
        pdf.cell(text=f"Chapter {number + 1}", new_x="LMARGIN", new_y="NEXT")
        facts = [_FACTS[(number + step) % len(_FACTS)] for step in range(40)]
        pdf.multi_cell(0, 6, " ".join(facts))
    return bytes(pdf.output())


def home_page() -> bytes:
    """A page in HTML, with what is no text of it."""
    items = "".join(f"<li>{fact}" for fact in _FACTS)
    return (
        "<!doctype html><meta charset=utf-8><title>Home</title><style>li { color: red }</style>"
        f"<script>alert('a script')</script><h1>Home</h1><ul>{items}</ul>"
        "<h2>Contact</h2><p>Caf\N{LATIN SMALL LETTER E WITH ACUTE} on the quay<!-- closed -->."
    ).encode()
