"""The page, in a real browser: progress appears by itself, and the article at its end."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import Page, expect, sync_playwright

if TYPE_CHECKING:
    from collections.abc import Iterator

    from examples.harness.stack import Stack

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
SILENT = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]

pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="chromium not found: apt install chromium"),
    pytest.mark.timeout(120),
]


@pytest.fixture
def page(stack: Stack, api_url: str, web_port: int) -> Iterator[Page]:
    _, url = stack.start_web(
        "web", "examples.opad.web:web", port=web_port, settings={"OPAD_API_URL": api_url}
    )
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=SILENT)
        page = browser.new_page()
        page.goto(url)
        yield page
        browser.close()


def test_an_article_appears_while_one_watches(page: Page) -> None:
    seen = page.evaluate_handle(
        """() => {
          const seen = [];
          const bar = document.querySelector("progress");
          new MutationObserver(() => seen.push(bar.value)).observe(bar, { attributes: true });
          return seen;
        }"""
    )
    page.fill("[name=topic]", "Bridges & <tunnels>")
    page.fill("[name=length]", "10")
    page.click("button")
    expect(page.locator("#status")).to_have_text("succeeded", timeout=30_000)
    expect(page.locator("article")).to_contain_text("# Bridges & <tunnels> (B1)")
    values = seen.json_value()
    assert values == sorted(values), "progress only grows"
    assert len(set(values)) > 3, "it was seen on its way"
    assert values[-1] == 100
