"""What a person types into the form, puts into an address or uploads is in no log and in no file of the server."""

import os
import signal
import socket
import subprocess
import sys
import time

import httpx
import pytest
from playwright.sync_api import expect

from aweigh.data import penguins_path

START_S = 60
DESKTOP = {"width": 1280, "height": 900}
AMOUNT, WORD = "918273.645091", "zqmarker-7f3a91"
NEEDLES = [AMOUNT.encode(), WORD.encode(), b"918273645"]
# Every logger of every library at its most talkative, as somebody who looks for a fault would have it.
TELLING = (
    "import logging, sys; logging.basicConfig(level=1, format='%(name)s %(message)s'); "
    "from aweigh.__main__ import main; sys.exit(main(sys.argv[1:]))"
)


@pytest.fixture
def telling(tmp_path, bundle):
    """Return a talkative server's address and log, and a function that stops it and returns what holds a marker."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    url, log, folder = f"http://127.0.0.1:{port}", tmp_path / "log.txt", tmp_path / "tmp"
    folder.mkdir()
    command = [sys.executable, "-c", TELLING, "serve", str(bundle), "--port", str(port)]
    env = {"TMPDIR": str(folder), "AWEIGH_STATE_DIR": str(tmp_path / "state"), "AWEIGH_DRAIN_DELAY_S": "0"}
    with log.open("wb") as out:
        process = subprocess.Popen(command, stdout=out, stderr=out, env=os.environ | env)
    end = time.monotonic() + START_S
    while time.monotonic() < end:
        try:
            if httpx.get(f"{url}/health/ready", trust_env=False).status_code == 200:
                break
        except httpx.TransportError:
            pass
        time.sleep(0.1)

    def holding():
        held = [path for path in (folder, tmp_path / "state") for path in path.rglob("*") if path.is_file()]
        process.send_signal(signal.SIGTERM)
        process.wait(60)
        found = [log, *[path for path in held if path.exists()]]
        return [path.name for path in found if any(needle in path.read_bytes() for needle in NEEDLES)]

    yield url, log, holding
    if process.poll() is None:
        process.kill()
        process.wait()


def test_what_a_person_types_and_uploads_is_in_no_log(browser, telling, tmp_path):
    url, log, holding = telling
    page = browser.new_page(viewport=DESKTOP)
    page.goto(f"{url}/?bill_length_mm={WORD}&year=2008")
    box = page.get_by_label("Bill length", exact=True)
    box.fill(AMOUNT)
    box.press("Enter")
    expect(page.get_by_text("918273").first).to_be_visible()
    lines = penguins_path().read_text(encoding="utf-8").splitlines()
    given = tmp_path / f"{WORD}.csv"
    bad = lines[1].replace("39.1", WORD)
    given.write_text("\n".join([f"{lines[0]},{WORD}", *[f"{one},{WORD}" for one in (*lines[1:20], bad)]]))
    page.goto(f"{url}/batch")
    page.locator("input[type=file]").set_input_files(given)
    expect(page.locator(".aw-bad")).to_contain_text("1 cell in 1 row cannot be read.")
    page.get_by_role("button", name="Answer 19 rows of 20").click()
    with page.expect_download() as download:
        page.get_by_role("button", name="Download CSV").click()
    assert WORD in download.value.path().read_text("utf-8-sig")
    page.close()
    assert holding() == []
    assert log.stat().st_size
