"""The browser that the other tests of this folder drive: it starts, lays out a page and can be looked at."""

import io

import pytest
from PIL import Image

PAGE = """<!doctype html><html lang="en"><title>aweigh</title><meta name="viewport" content="width=device-width">
<body style="margin:0;background:canvas;color-scheme:light dark">
<button onclick="this.textContent = 'aweigh'">anchor</button>"""


@pytest.mark.needs("chromium")
@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")])
def test_the_browser_draws_runs_scripts_and_takes_pictures(browser, width, scheme):
    page = browser.new_page(viewport={"width": width, "height": 600}, color_scheme=scheme)
    page.set_content(PAGE)
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    assert page.get_by_role("button").text_content() == "aweigh"
    picture = Image.open(io.BytesIO(page.screenshot())).convert("L")
    page.close()
    assert picture.size == (width, 600)
    assert (picture.getpixel((width - 1, 599)) > 128) == (scheme == "light")
