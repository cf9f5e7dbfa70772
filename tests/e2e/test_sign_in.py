"""The door in a browser: people sign in, with one step and with two, are invited, change things, and sign out.

At two widths, by light and dark, by keyboard, and with scripts turned off. What is asked of a page is its own document
alone, and nothing is said on the console.
"""

import os
import signal
import socket
import subprocess
import sys
import time
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import expect
from tests.e2e.conftest import wait_until_ready
from tests.partly import partly_slow

from aweigh.data import penguins_path
from aweigh.guard.guard import open_guard
from aweigh.guard.identity import Role
from aweigh.guard.rules import is_access_page
from aweigh.guard.totp import STEP_S, code_at

START_S = 60.0
STOP_S = 30.0
PASSWORD = "otter gravel ninety lamp"
OTHER_PASSWORD = "velvet anchor nine rivers"
WIDTHS = (1280, 390)
PAGES = (
    "/account", "/account/keys", "/account/two-step", "/admin", "/admin/keys", "/admin/log", "/admin/people/{}",
    "/admin/people/{}/remove", "/logout", "/account/nothing",
)  # fmt: skip

# Of every element with text of its own, the text and the contrast with what is behind it (WCAG 2.2).
CONTRASTS = """() => {
    const parts = colour => (colour.match(/[\\d.]+/g) || []).map(Number)
    const light = colour => {
        const [r, g, b] = parts(colour).slice(0, 3).map(part => part / 255)
            .map(part => part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4)
        return 0.2126 * r + 0.7152 * g + 0.0722 * b
    }
    const clear = element => { const found = parts(getComputedStyle(element).backgroundColor); return found[3] === 0 }
    return [...document.querySelectorAll("body *")].filter(element => {
        const own = [...element.childNodes].some(node => node.nodeType === 3 && node.data.trim())
        return own && element.checkVisibility({ visibilityProperty: true }) && element.localName !== "option"
    }).map(element => {
        let behind = element
        while (clear(behind) && behind.parentElement) behind = behind.parentElement
        const pair = [light(getComputedStyle(element).color), light(getComputedStyle(behind).backgroundColor)]
        return [element.textContent.trim(), (Math.max(...pair) + 0.05) / (Math.min(...pair) + 0.05)]
    })
}"""


class Served:
    """A server with a door, and the guard of the same people."""

    def __init__(self, bundle, folder):
        self.bundle = bundle
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = folder / "log.txt"
        self.state = folder / "state"
        self.state.mkdir(mode=0o700)
        self.guard = open_guard({}, state_dir=str(self.state))
        self.guard.set_password(self.guard.add_person("root", Role.ADMIN, by=None).id, PASSWORD, by=None)
        with self.log.open("wb") as log:
            environ = os.environ | {"AWEIGH_STATE_DIR": str(self.state), "AWEIGH_PROXIES": "1"}
            self.process = subprocess.Popen(self.command(), stdout=log, stderr=log, env=environ)
        wait_until_ready(self.process, self.url, log=self.log)

    def command(self):
        """Return what is run."""
        serve = [sys.executable, "-m", "aweigh", "serve", str(self.bundle)]
        return [*serve, "--auth", "password", "--port", str(self.port)]

    def person(self, name, role=Role.PREDICTOR, *, password=PASSWORD):
        person = self.guard.add_person(name, role, by=None)
        if password:
            self.guard.set_password(person.id, password, by=None)
        return person

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(STOP_S)
        self.guard.close()


@pytest.fixture(scope="module")
def served(bundle, tmp_path_factory):
    served = Served(bundle, tmp_path_factory.mktemp("door"))
    yield served
    served.stop()


_numbers = iter(range(1000))


@pytest.fixture
def ana(served):
    return served.person(f"ana{next(_numbers)}@example.org")


@pytest.fixture
def open_door(browser, served):
    """Return a function that opens a page in a browser of its own, which must say nothing and ask nobody else."""
    contexts, asked, said = [], [], []

    def opened(path, *, width=1280, scheme="light", script=True):
        context = browser.new_context(
            viewport={"width": width, "height": 800},
            color_scheme=scheme,
            java_script_enabled=script,
            permissions=["clipboard-read", "clipboard-write"],
        )
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(20_000)
        page.on("request", lambda request: asked.append(request))
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.goto(served.url + path)
        return page

    yield opened
    for context in contexts:
        context.close()
    # The browser itself tells of every answer from 400 on, which is how a form is refused; and Streamlit of a session
    # that was ended.
    expected = ("the server responded with a status of 4", "signed out", "with status 401")
    assert [one for one in said if not any(part in one for part in expected)] == []
    ours = [one for one in asked if not one.url.startswith("data:")]
    assert {urlsplit(one.url).netloc for one in ours} == {f"127.0.0.1:{served.port}"}
    loaded = {urlsplit(one.headers.get("referer", "")).path for one in ours if one.resource_type != "document"}
    assert not any(is_access_page(path) for path in loaded), "the door's pages load no asset of the app"


def submit(page):
    page.locator("main button[type=submit]").first.click()


def sign_in(page, name, password=PASSWORD):
    page.get_by_label("Name", exact=True).fill(name)
    page.get_by_label("Password", exact=True).fill(password)
    submit(page)


def path_of(page):
    return urlsplit(page.url).path


def focused(page):
    return page.evaluate("document.activeElement.name || document.activeElement.textContent")


def test_signing_in_by_keyboard_with_the_wrong_and_the_right_password(served, open_door, ana):
    page = open_door("/account/keys")
    expect(page).to_have_title("Sign in · Penguins of the Palmer Archipelago")
    assert focused(page) == "name"
    page.keyboard.type(ana.name)
    page.keyboard.press("Tab")
    page.keyboard.type("not the password")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_contain_text("Name or password is not right.")
    expect(page).to_have_title("Problem: Sign in · Penguins of the Palmer Archipelago")
    assert focused(page) == "password", "the name is kept, and the password typed anew"
    expect(page.get_by_label("Name", exact=True)).to_have_value(ana.name)
    expect(page.get_by_label("Password", exact=True)).to_have_value("")
    page.keyboard.type(PASSWORD)
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("API keys")
    assert path_of(page) == "/account/keys", "where the person wanted to go"


def test_a_password_is_shown_on_demand_and_never_sent_from_a_clear_field(open_door, ana):
    page = open_door("/login")
    field = page.get_by_label("Password", exact=True)
    field.fill(PASSWORD)
    page.get_by_role("button", name="Show password").click()
    assert field.get_attribute("type") == "text"
    expect(page.locator("button.show")).to_have_text("Hide")
    page.locator("button.show").click()
    assert field.get_attribute("type") == "password"
    page.locator("button.show").click()
    page.get_by_label("Name", exact=True).fill("nobody")
    page.evaluate("document.forms[0].addEventListener('submit', () => sessionStorage.setItem('sent', password.type))")
    with page.expect_navigation():
        submit(page)
    assert page.evaluate("sessionStorage.getItem('sent')") == "password"


def test_two_steps(served, open_door, ana):
    page = open_door("/account/two-step")
    sign_in(page, ana.name)
    expect(page.get_by_role("img", name="QR code")).to_be_visible()
    secret = page.locator(".groups").inner_text().replace(" ", "")
    page.locator("#code").fill("000000")
    page.locator("#current").fill(PASSWORD)
    submit(page)
    expect(page.locator("#code-fault")).to_be_visible()
    assert focused(page) == "code"
    assert page.locator(".groups").inner_text().replace(" ", "") == secret
    page.locator("#code").fill(code_at(secret, int(time.time()) // STEP_S))
    page.locator("#current").fill(PASSWORD)
    submit(page)
    expect(page.get_by_role("heading", level=1)).to_have_text("Keep these recovery codes")
    recovery = page.locator(".codes span").all_inner_texts()
    assert len(recovery) == 10
    page.get_by_role("button", name="Copy").click()
    expect(page.get_by_role("button", name="Copied")).to_be_visible()
    assert page.evaluate("navigator.clipboard.readText()").split() == recovery

    page = open_door("/login")
    sign_in(page, ana.name)
    expect(page.get_by_role("heading", level=1)).to_have_text("Type your code")
    assert focused(page) == "code"
    page.keyboard.type("123456")
    page.keyboard.press("Enter")
    expect(page.locator("#code-fault")).to_be_visible()
    # The code of now was used for setting up: the app shows the next one soon.
    page.keyboard.type(code_at(secret, int(time.time()) // STEP_S + 1))
    page.keyboard.press("Enter")
    expect(page).to_have_url(f"{served.url}/")

    page = open_door("/login")
    sign_in(page, ana.name)
    page.get_by_text("My phone is not at hand").click()
    page.get_by_label("Recovery code").fill(recovery[0])
    page.get_by_role("button", name="Use recovery code").click()
    expect(page).to_have_url(f"{served.url}/")


@pytest.mark.parametrize("scheme", partly_slow("dark", slow=["light"]))
def test_the_qr_code_is_drawn_dark_on_light_as_scanners_want_it(served, open_door, scheme):
    import io

    import segno
    from PIL import Image

    person = served.person(f"qr {scheme}")
    page = open_door("/account/two-step", scheme=scheme)
    sign_in(page, person.name)
    uri = page.get_by_text("Open it in the app").get_attribute("href")
    assert uri.startswith("otpauth://totp/")
    rows = [list(row) for row in segno.make(uri, error="m", micro=False).matrix]
    size = len(rows) + 8
    picture = Image.open(io.BytesIO(page.locator("svg.qr").screenshot())).convert("L")
    step = (picture.width - 2) / size  # a line of one pixel runs around it
    for y in range(size):
        for x in range(size):
            dark = 4 <= x < size - 4 and 4 <= y < size - 4 and rows[y - 4][x - 4]
            seen = picture.getpixel((int(1 + (x + 0.5) * step), int(1 + (y + 0.5) * step)))
            assert (seen < 64) if dark else (seen > 192), (x, y, seen)


@pytest.mark.parametrize("script", [True, False])
def test_an_invitation_a_new_password_and_sign_out(served, open_door, script):
    """With scripts and without: the pages do not need them."""
    name = f"bo {script}"
    person = served.person(name, password="")
    page = open_door(f"/invite/{served.guard.invite(person.id, by=None)}", script=script, width=390)
    assert page.locator("button.show").first.is_visible() == script
    page.locator("#password").fill(PASSWORD)
    page.locator("#again").fill("something else")
    submit(page)
    expect(page.locator("#again-fault")).to_have_text("The two are not the same. Type both again.")
    page.locator("#password").fill(PASSWORD)
    page.locator("#again").fill(PASSWORD)
    submit(page)
    expect(page).to_have_url(f"{served.url}/")

    page.goto(f"{served.url}/account")
    page.locator("#current").fill(PASSWORD)
    page.locator("#password").fill("short")
    page.locator("#again").fill("short")
    submit(page)
    expect(page.locator("#password-fault")).to_contain_text("A password has 12 to 1,024 characters.")
    page.locator("#current").fill(PASSWORD)
    page.locator("#password").fill(OTHER_PASSWORD)
    page.locator("#again").fill(OTHER_PASSWORD)
    submit(page)
    expect(page.get_by_role("status").first).to_contain_text("Your password is changed.")

    page.get_by_role("link", name="Sign out").click()
    submit(page)
    expect(page.get_by_role("status").first).to_have_text("You are signed out.")
    page.goto(f"{served.url}/account")
    assert path_of(page) == "/login"
    sign_in(page, name, OTHER_PASSWORD)
    assert path_of(page) == "/account"


def test_a_key_is_made_copied_once_and_revoked(served, open_door, ana):
    page = open_door("/account/keys")
    sign_in(page, ana.name)
    page.get_by_label("Label").fill("nightly scoring")
    page.get_by_label("It lasts").select_option("365")
    submit(page)
    shown = page.locator("#value").inner_text()
    before = page.locator(".once").bounding_box()
    page.get_by_role("button", name="Copy").click()
    expect(page.get_by_role("button", name="Copied")).to_be_visible()
    assert page.evaluate("navigator.clipboard.readText()") == shown
    assert page.locator(".once").bounding_box() == before, "nothing moves"
    assert served.guard.identify(shown.encode(), "key").scopes == {"read", "predict"}
    page.reload()
    expect(page.get_by_role("heading", level=1)).to_have_text("nightly scoring")
    assert shown not in page.content()
    page.get_by_role("link", name="Revoke").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Revoke nightly scoring?")
    submit(page)
    expect(page.get_by_role("status").first).to_contain_text("The key is revoked.")


def test_an_admin_changes_a_role_and_reads_it_in_the_log(served, open_door, ana):
    page = open_door("/admin")
    sign_in(page, "root")
    page.get_by_role("link", name=ana.name).click()
    page.get_by_label("Role").select_option("operator")
    page.get_by_role("button", name="Change role").click()
    expect(page.get_by_role("status").first).to_contain_text("The role is changed.")
    assert served.guard.person(ana.id).role is Role.OPERATOR
    page.get_by_role("link", name="Disable").click()
    page.get_by_role("link", name="Back").click()
    assert not served.guard.person(ana.id).disabled
    page.get_by_role("link", name="Audit log").click()
    page.get_by_label("What").fill("person.role")
    page.get_by_role("button", name="Filter").click()
    expect(page.locator("tbody tr").first).to_contain_text(ana.name)


def test_a_name_that_is_a_script_is_read_and_not_run(served, open_door):
    name = "<img src=x onerror=alert(1)>\"'<script>alert(2)</script>"
    person = served.person(name, Role.ADMIN)
    served.guard.add_key(person, name, frozenset({"read"}), expires_days=1, by=None)
    page = open_door("/admin")
    page.on("dialog", lambda dialog: pytest.fail(dialog.message))
    sign_in(page, name)
    for path in (
        "/admin",
        "/account",
        "/account/keys",
        "/admin/keys",
        "/admin/log",
        f"/admin/people/{person.id}",
        "/logout",
    ):
        page.goto(served.url + path)
        assert page.locator("img").count() == 0
        assert page.get_by_text(name).count() >= 1, path


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("scheme", partly_slow("light", slow=["dark"]))
def test_every_page_fits_and_can_be_read(served, open_door, width, scheme):
    person = served.person(f"{width}{scheme} with.a.rather.long.name@a-department.of-some.example.org", Role.OPERATOR)
    served.guard.add_key(person, "k" * 128, frozenset({"read"}), expires_days=3, by=None)
    served.guard.set_disabled(person.id, True, by=None)
    admin = served.guard.person("root")
    key, _ = served.guard.add_key(admin, "notebook", frozenset({"read"}), expires_days=30, by=None)
    page = open_door("/login", width=width, scheme=scheme)

    def look(what):
        page.wait_for_load_state()
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), what
        poor = [one for one in page.evaluate(CONTRASTS) if one[1] < 4.5]
        assert poor == [], what

    look("sign-in")
    sign_in(page, "root", "wrong")
    look("refused")
    sign_in(page, "root")
    for path in (*PAGES, f"/account/keys/{key.id}", f"/account/keys/{key.id}/revoke"):
        page.goto(served.url + path.format(person.id))
        look(path)
    page.goto(f"{served.url}/account/keys")
    page.get_by_label("Label").fill("shown")
    submit(page)
    look("a new key")


@pytest.mark.parametrize("path", partly_slow("/account", slow=["/login", "/account/keys"]))
def test_nothing_moves_when_the_script_has_run(served, open_door, path):
    places = []
    for script in (True, False):
        page = open_door(path, script=script)
        if path != "/login":
            sign_in(page, "root")
            page.goto(served.url + path)
        places.append([one.bounding_box() for one in page.locator("main input:visible, h1, h2").all()])
    assert places[0] == places[1]


def test_every_control_is_reached_by_tab_and_shows_it(served, open_door):
    page = open_door("/account")
    sign_in(page, "root")
    wanted = page.locator("a[href]:visible, button:visible, input:visible").count() + 1  # the link to the content
    seen = set()
    for _ in range(wanted + 2):
        page.keyboard.press("Tab")
        at = page.evaluate(
            "[...document.querySelectorAll('*')].indexOf(document.activeElement) + ' ' + "
            "getComputedStyle(document.activeElement).outlineStyle"
        )
        if not at.endswith("solid"):
            break
        seen.add(at)
    assert len(seen) >= wanted - 1


def test_the_app_knows_its_visitor_and_no_policy_is_broken(served, open_door):
    """The app's own pages under our content security policy: a form, a file, charts, and not a word on the console."""
    admin, viewer = served.person("chief", Role.ADMIN), served.person("guest", Role.VIEWER)
    page = open_door("/")
    sign_in(page, admin.name)
    expect(page.locator("[data-copy-text*='curl']")).to_be_visible()
    expect(page.locator(".aw-who")).to_have_text("Adminchief")
    page.get_by_role("link", name="Model").click()
    expect(page.get_by_role("heading", level=1).first).to_be_visible()
    page.goto(served.url + "/batch")
    page.locator("input[type=file]").set_input_files(penguins_path())
    page.get_by_role("button", name="Answer").click()
    expect(page.get_by_text("344").first).to_be_visible()
    page = open_door("/")
    sign_in(page, viewer.name)
    expect(page.locator(".aw-who")).to_have_text("guest")
    assert path_of(page) == "/model"
    expect(page.locator('[class*="st-key-nav-"] a')).to_have_text(["Model"])


def test_signing_out_leaves_every_open_page(served, open_door, ana):
    page = open_door("/")
    sign_in(page, ana.name)
    expect(page.locator("[data-copy-text*='curl']")).to_be_visible()
    box = page.get_by_label("Bill length", exact=True)
    box.fill("51.3")
    box.press("Enter")
    expect(page.locator("[data-row*='51.3']")).to_be_attached()
    session = served.guard.sessions(ana.id)[0]
    served.guard.sign_out_everywhere(ana.id, by=None)
    assert session is not None
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible(timeout=30_000)
    sign_in(page, ana.name)
    expect(page.get_by_label("Bill length", exact=True)).to_have_value("51.3")


@pytest.mark.parametrize("way", partly_slow("/batch", slow=["/"]))
def test_who_signs_in_next_in_the_same_browser_is_not_shown_what_was_open(served, browser, way):
    """The next one is signed in before the open page has been told that its session has ended.

    What the page was about to load when it left is on the console, and is no fault.
    """
    pru, pip = (served.person(f"{name}{next(_numbers)}@example.org") for name in ("pru", "pip"))
    context = browser.new_context()
    page = context.new_page()
    page.set_default_timeout(20_000)
    page.goto(served.url)
    sign_in(page, pru.name)
    expect(page.locator(".aw-who")).to_have_text(pru.name)
    page.goto(served.url + way)
    if way == "/batch":
        page.locator("input[type=file]").set_input_files(penguins_path())
        page.get_by_role("button", name="Answer").click()
        expect(page.get_by_text("344").first).to_be_visible()
        shown = page.get_by_text(penguins_path().name)
        expect(shown.first).to_be_visible()
    else:
        box = page.get_by_label("Bill length", exact=True)
        box.fill("51.3")
        box.press("Enter")
        shown = page.locator("[data-row*='51.3']")
        expect(shown).to_be_attached()
    other = context.new_page()
    other.goto(f"{served.url}/logout")
    submit(other)
    other.goto(f"{served.url}/login")
    sign_in(other, pip.name)
    expect(page.locator(".aw-who")).to_have_text(pip.name, timeout=30_000)
    page.wait_for_load_state("networkidle")
    expect(page.locator(".aw-who")).to_have_text(pip.name)
    expect(shown).to_have_count(0)
    if way == "/":
        expect(page.get_by_label("Bill length", exact=True)).not_to_have_value("51.3")
        assert "51.3" not in page.url
    context.close()
