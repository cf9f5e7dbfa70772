"""Sign-in with a provider that nobody here wrote, in Chromium: cookies, redirects and all, as browsers have them."""

import os
import socket
import subprocess
import sys
import time
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

pytestmark = pytest.mark.needs("django-oauth-toolkit")

TESTS = Path(__file__).parents[1]
START_S = 60
PASSWORD = "correct horse battery staple"


def free_port():
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


@contextmanager
def running(script, port, *arguments, env):
    command = [sys.executable, str(TESTS / script), str(port), *map(str, arguments)]
    process = subprocess.Popen(command, env=os.environ | env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        end = time.monotonic() + START_S
        while process.poll() is None and time.monotonic() < end:
            with suppress(httpx.TransportError):
                httpx.get(f"http://127.0.0.1:{port}/", trust_env=False, timeout=5)
                break
            time.sleep(0.1)
        yield
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """The address of a server of ours whose provider runs, under another name of this machine: another site."""
    theirs, ours = free_port(), free_port()
    url, issuer = f"http://localhost:{ours}", f"http://127.0.0.1:{theirs}/o"
    env = {
        "AWEIGH_STATE_DIR": str(tmp_path_factory.mktemp("state")),
        "AWEIGH_OIDC_ISSUER": issuer,
        "AWEIGH_OIDC_CLIENT_ID": "public",
        "AWEIGH_OIDC_ROLES": "groups: data=predictor",
        "AWEIGH_PUBLIC_URL": url,
    }
    with ExitStack() as stack:
        folder = tmp_path_factory.mktemp("provider")
        stack.enter_context(running("oidc_server.py", theirs, folder, f"{url}/oauth/callback", env={}))
        stack.enter_context(running("oidc_app.py", ours, env=env))
        yield url


@pytest.fixture
def page(browser):
    context = browser.new_context()
    page = context.new_page()
    page.set_default_timeout(20_000)
    yield page
    context.close()


def sign_in_there(page, name):
    page.locator('input[name="username"]').fill(name)
    page.locator('input[name="password"]').fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()


def test_somebody_signs_in_from_another_site_and_is_where_they_wanted_to_go(page, server):
    page.goto(f"{server}/login")
    page.get_by_role("link", name="Provider").click()
    assert urlsplit(page.url).hostname == "127.0.0.1"
    sign_in_there(page, "ana")
    page.wait_for_url(f"{server}/batch?a=1")
    assert page.locator("#who").inner_text() == "ana@example.org, predictor"
    cookies = {one["name"]: one for one in page.context.cookies(server)}
    (session,) = cookies.values()
    assert (session["httpOnly"], session["sameSite"], session["path"]) == (True, "Lax", "/")
    assert page.evaluate("document.cookie") == ""


def test_who_is_not_let_in_is_told_so(page, server):
    page.goto(f"{server}/oauth/start")
    sign_in_there(page, "ben")
    page.wait_for_url(f"{server}/login?problem=not_on_the_list")
    assert "not let in here" in page.locator("#told").inner_text()
    assert page.context.cookies(server) == []


def test_the_way_back_in_another_browser_signs_nobody_in(page, server, browser):
    """A login CSRF: the attacker keeps the answer for themselves, unused, and lures a victim to it."""
    asked = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(f"{server}/oauth/start")
    kept = page.context.cookies(server)
    page.context.clear_cookies(domain="localhost")
    sign_in_there(page, "ana")
    page.wait_for_url(f"{server}/login?problem=sign_in_stale")
    (answer,) = [url for url in asked if url.startswith(f"{server}/oauth/callback?")]
    other = browser.new_context()
    try:
        victim = other.new_page()
        victim.goto(f"{server}/oauth/start")
        victim.goto(answer)
        assert victim.url == f"{server}/login?problem=sign_in_stale"
        victim.goto(f"{server}/")
        assert victim.locator("#who").inner_text() == "nobody"
    finally:
        other.close()
    page.context.add_cookies(kept)
    page.goto(answer)
    assert page.locator("#who").inner_text() == "ana@example.org, predictor", "the answer itself was good"


def test_signing_out_at_the_provider_leads_back(page, server):
    page.goto(f"{server}/oauth/start")
    sign_in_there(page, "ana")
    page.wait_for_url(f"{server}/")
    page.goto(f"{server}/oauth/logout")
    page.locator('input[name="allow"]').click()
    page.wait_for_url(f"{server}/login*")
    page.get_by_role("link", name="Provider").click()
    assert page.locator('input[name="password"]').is_visible()
