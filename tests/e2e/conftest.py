"""A real browser, one Chromium for the session; and the real server, with a bundle that `aweigh.pack` made."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from urllib.parse import urlsplit

import httpx
import pandas as pd
import pytest
from playwright.sync_api import Browser, sync_playwright

from aweigh import pack, read_config
from aweigh.cli.demo import CHOICES, CONFIG, NUMBERS, pipeline
from aweigh.data import penguins_path

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


START_S = 60
DESKTOP = {"width": 1280, "height": 900}


@pytest.fixture(scope="session")
def bundle(tmp_path_factory):
    folder = tmp_path_factory.mktemp("app")
    config = folder / "aweigh.toml"
    config.write_text(CONFIG)
    frame = pd.read_csv(penguins_path())
    model = pipeline().fit(frame[[*CHOICES, *NUMBERS]], frame["species"])
    return pack(model, frame, target="species", name="penguins", output=folder, config=read_config(config)).path


def wait_until_ready(process, url, *, log):
    """Wait for a server, whose log is shown where it does not get ready."""
    end = time.monotonic() + START_S
    while time.monotonic() < end and process.poll() is None:
        try:
            if httpx.get(f"{url}/health/ready", trust_env=False).status_code == 200:
                return
        except httpx.TransportError:
            time.sleep(0.1)
    pytest.fail(log.read_text(), pytrace=False)


class Server:
    """`aweigh serve` on a port that it keeps when it is started anew."""

    def __init__(self, *arguments, port, log, env):
        self.port = port
        self.env = env
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = log
        self.command = [sys.executable, "-m", "aweigh", "serve", *map(str, arguments), "--port", str(self.port)]
        self.start()

    def start(self):
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(self.command, stdout=log, stderr=log, env=os.environ | self.env)
        wait_until_ready(self.process, self.url, log=self.log)

    def stop(self, sent=signal.SIGTERM):
        if self.process.poll() is None:
            self.process.send_signal(sent)
        self.process.wait(30)

    def predict(self, *rows):
        reply = httpx.post(f"{self.url}/v1/predict", json={"rows": rows}, trust_env=False)
        assert reply.status_code == 200, reply.text
        return reply.json()["predictions"]


@pytest.fixture(scope="session")
def serve(tmp_path_factory, free_port):
    running = []

    def start(*arguments, port=None, env=None):
        log = tmp_path_factory.mktemp("server") / "log.txt"
        running.append(Server(*arguments, port=port or free_port(), log=log, env=env or {}))
        return running[-1]

    yield start
    for one in running:
        one.stop()


@pytest.fixture(scope="session")
def server(serve, bundle):
    return serve(bundle)


@pytest.fixture
def open_page(browser, server):
    """Return a function that opens a page of the app; at the end nothing has been asked of another host."""
    contexts, asked, wrong = [], [], []

    def opened(path="/", *, viewport=DESKTOP, scheme="light", url=None):
        context = browser.new_context(
            viewport=viewport, color_scheme=scheme, permissions=["clipboard-read", "clipboard-write"]
        )
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(20_000)
        page.on("request", lambda request: asked.append(request.url))
        page.on("console", lambda message: wrong.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.goto((url or server.url) + path)
        return page

    yield opened
    for context in contexts:
        context.close()
    hosts = {urlsplit(url).hostname for url in asked if not url.startswith(("data:", "blob:"))}
    assert hosts == {"127.0.0.1"}
    assert wrong == []
