"""The app on two processes in a real browser: one is killed under the page, and the page goes on in the other."""

import re
import time

import psutil
import pytest
from playwright.sync_api import expect

from aweigh.data import penguins_path

pytestmark = pytest.mark.needs("chromium")

FRONT = 2


def cookie_of(context):
    """Return our cookie, which says where the session is."""
    (found,) = [one for one in context.cookies() if one["name"].startswith("aweigh_app")]
    return found


def expect_asked(page, name, value):
    """Wait until the page has asked for a row with this value."""
    copied = page.locator("[data-copy-text*='curl']")
    expect(copied).to_have_attribute("data-copy-text", re.compile(rf'"{name}": ?{value}[,}}]'))


def test_a_page_goes_on_when_its_process_is_killed(serve, bundle, browser):
    server = serve(bundle, "--workers", FRONT, "--ui-processes", 2)
    context = browser.new_context()
    page = context.new_page()
    page.set_default_timeout(30_000)
    opened = []
    page.on("websocket", lambda one: opened.append(one))  # playwright takes no method of a list
    page.goto(server.url)  # perhaps before the app is up: its page opens it by itself then
    box = page.get_by_label("Bill length", exact=True)
    box.fill("51.3")
    box.press("Enter")
    expect_asked(page, "bill_length_mm", 51.3)
    before = cookie_of(context)
    assert (before["httpOnly"], before["sameSite"], before["path"]) == (True, "Lax", "/")
    children = sorted(psutil.Process(server.process.pid).children(), key=lambda one: one.pid)
    sessions = len(opened)
    children[int(before["value"])].kill()
    end = time.monotonic() + 20
    # In the other process, or in the next one of the same place: it may be there before the browser asks again.
    while len(opened) == sessions:
        assert time.monotonic() < end
        page.wait_for_timeout(50)
    live = page.locator("[data-testid=stApp][data-test-connection-state=CONNECTED][data-test-script-state=notRunning]")
    expect(live).to_be_attached(timeout=20_000)
    page.wait_for_timeout(1000)  # Streamlit drops what is typed while it builds the page of its new session
    expect(box).to_have_value("51.3")
    mass = page.get_by_label("Body mass", exact=True)
    mass.fill("4321")
    mass.press("Enter")
    expect_asked(page, "body_mass_g", "4321(.0)?")
    expect_asked(page, "bill_length_mm", 51.3)
    page.goto(server.url + "/batch")
    page.locator("input[type=file]").set_input_files(penguins_path())
    expect(page.get_by_text("344").first).to_be_visible()
    context.close()
