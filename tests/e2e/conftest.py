"""A real browser: one Chromium for the session, a clean profile for each test."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, sync_playwright

# Nothing calls home, nothing needs a display or a GPU, and root may run it (continuous integration does).
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


@pytest.fixture(scope="session")
def browser(chromium: str) -> Iterator[Browser]:
    """Return a headless Chromium; `browser.new_page(viewport=...)` opens a page with a profile of its own."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, headless=True, args=list(FLAGS))
        yield browser
        browser.close()
