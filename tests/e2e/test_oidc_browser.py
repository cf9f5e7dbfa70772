"""Sign-in with a provider that nobody here wrote, in Chromium: cookies, redirects and all, as browsers have them."""

from urllib.parse import urlsplit

import pytest
from playwright.sync_api import expect

pytestmark = pytest.mark.needs("django-oauth-toolkit")

PASSWORD = "correct horse battery staple"


@pytest.fixture(scope="module")
def server(serve, bundle, open_provider, free_port, tmp_path_factory):
    """The address of a server with its app whose provider runs, under another name of this machine: another site."""
    theirs, ours = free_port(), free_port()
    url = f"http://localhost:{ours}"
    with open_provider(theirs, tmp_path_factory.mktemp("provider"), f"{url}/oauth/callback") as issuer:
        env = {
            "AWEIGH_STATE_DIR": str(tmp_path_factory.mktemp("state")),
            "AWEIGH_OIDC_ISSUER": issuer,
            "AWEIGH_OIDC_CLIENT_ID": "public",
            "AWEIGH_OIDC_NAME": "the Provider",
            "AWEIGH_OIDC_ROLES": "groups: data=predictor",
            "AWEIGH_PUBLIC_URL": url,
            "AWEIGH_DRAIN_DELAY_S": "0",
        }
        served = serve(bundle, "--auth", "oidc", port=ours, env=env)
        yield url
        served.stop()


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


def who(page, server):
    page.goto(f"{server}/account")
    if urlsplit(page.url).path == "/login":
        return "nobody"
    role = page.locator(".lead").inner_text().partition(":")[0]
    return f"{page.get_by_role('heading', level=1).inner_text()}, {role}"


def test_somebody_signs_in_from_another_site_and_is_where_they_wanted_to_go(page, server):
    page.goto(f"{server}/batch?a=1")
    page.get_by_role("link", name="Sign in with the Provider").click()
    assert urlsplit(page.url).hostname == "127.0.0.1"
    sign_in_there(page, "ana")
    page.wait_for_url(f"{server}/batch?a=1")
    expect(page.locator(".aw-who")).to_have_text("ana@example.org")
    cookies = {one["name"]: one for one in page.context.cookies(server)}
    cookies.pop("_streamlit_xsrf", None)  # the app's own, which its script reads
    (session,) = cookies.values()
    assert (session["httpOnly"], session["sameSite"], session["path"]) == (True, "Lax", "/")
    assert session["name"] not in page.evaluate("document.cookie")
    assert who(page, server) == "ana@example.org, Predictor"


def test_who_is_not_let_in_is_told_so(page, server):
    page.goto(f"{server}/oauth/start")
    sign_in_there(page, "ben")
    page.wait_for_url(f"{server}/login?problem=not_on_the_list")
    expect(page.get_by_role("alert")).to_contain_text("not let in here")
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
        assert who(victim, server) == "nobody"
    finally:
        other.close()
    page.context.add_cookies(kept)
    page.goto(answer)
    assert who(page, server) == "ana@example.org, Predictor", "the answer itself was good"


def test_signing_out_at_the_provider_leads_back(page, server):
    page.goto(f"{server}/oauth/start")
    sign_in_there(page, "ana")
    page.wait_for_url(f"{server}/")
    page.goto(f"{server}/logout")
    page.get_by_role("button", name="Sign out").click()
    page.wait_for_url(f"{server}/login*")
    page.goto(f"{server}/oauth/logout")
    page.locator('input[name="allow"]').click()
    page.wait_for_url(f"{server}/login*")
    page.get_by_role("link", name="the Provider").click()
    assert page.locator('input[name="password"]').is_visible()
