"""The docs page in a browser: readable at any width, by light and dark, by keyboard, and its form asks the real API."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from playwright.sync_api import Page, expect
from tests.partly import partly_slow

from aweigh import pack
from aweigh.cli.demo import CHOICES, NUMBERS, pipeline
from aweigh.data import penguins_path

STOP_S = 30.0


@pytest.fixture(scope="module")
def url(tmp_path_factory):
    folder: Path = tmp_path_factory.mktemp("docs")
    frame = pd.read_csv(penguins_path())
    model = pipeline().fit(frame[[*CHOICES, *NUMBERS]], frame["species"])
    packed = pack(model, frame, target="species", name="penguins", output=folder)
    command = [sys.executable, "-m", "aweigh", "serve", str(packed.path), "--port", "0", "--no-ui"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, env=os.environ | {"AWEIGH_DRAIN_DELAY_S": "0"}
    ) as server:
        assert server.stdout is not None
        told = ""
        for line in server.stdout:
            told += line
            if line.split()[:1] == ["stop"]:
                break
        found = re.search(r"http://\S+?:\d+", told)
        assert found is not None, told
        try:
            yield found[0]
        finally:
            server.terminate()
            server.wait(STOP_S)


@pytest.fixture(params=partly_slow((1280, "light"), (390, "dark"), slow=[(1280, "dark"), (390, "light")]), ids=str)
def page(browser, url, request):
    width, scheme = request.param
    page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
    page.set_default_timeout(20_000)
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    hosts: set[str] = set()
    page.on("request", lambda one: hosts.add("/".join(one.url.split("/")[:3])))
    page.goto(f"{url}/v1/docs")
    yield page
    page.close()
    # The browser itself tells of every answer from 400 on; that is the form's business.
    assert [one for one in said if "status of 422" not in one] == []
    assert hosts == {url}


def contrast(page: Page, selector: str) -> float:
    """Return the contrast of an element's text against what is behind it (WCAG 2.2, relative luminance)."""
    colours = page.eval_on_selector(
        selector,
        """element => {
            let behind = element;
            const clear = one => getComputedStyle(one).backgroundColor === "rgba(0, 0, 0, 0)";
            while (clear(behind) && behind.parentElement) behind = behind.parentElement;
            return [getComputedStyle(element).color, getComputedStyle(behind).backgroundColor];
        }""",
    )

    def luminance(colour: str) -> float:
        parts = [int(part) / 255 for part in re.findall(r"\d+", colour)[:3]]
        red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue

    low, high = sorted(luminance(one) for one in colours)
    return (high + 0.05) / (low + 0.05)


def test_the_page_fits_and_can_be_read(page):
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    for selector in ("h1", "header p", "nav a", "pre", "td", "thead th", "footer", "button", ".method"):
        assert contrast(page, selector) >= 4.5, selector


def test_the_form_asks_the_api_by_keyboard_alone(page):
    page.keyboard.press("Tab")
    for _ in range(40):
        if page.evaluate("document.activeElement.tagName") == "TEXTAREA":
            break
        page.keyboard.press("Tab")
    outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert outline == "solid", "where the focus is can be seen"
    page.keyboard.press("Control+Enter")
    expect(page.locator("output")).to_contain_text('"label": "Adelie"')
    expect(page.locator("[data-told]")).to_contain_text("200 OK")


def test_a_refusal_is_shown_as_it_came(page):
    page.fill("textarea", '{"rows": [{"island": 3}]}')
    page.click("button")
    expect(page.locator("output")).to_contain_text("invalid_rows")
    expect(page.locator("[data-told]")).to_contain_text("422 refused")
    assert page.get_attribute("output", "data-state") == "bad"
