"""The page of settings is what the settings say."""

from __future__ import annotations

from tools.configuration_page import PAGE, page


def test_the_page_is_current() -> None:
    assert PAGE.read_text() == page(), "run make docs"
