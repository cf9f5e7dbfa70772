"""The door's pages over HTTP, with the real guard on SQLite: what they let in, what they say, what they never show."""

import html.parser
import os
import re
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from tests.partly import partly_slow

from aweigh.guard.guard import open_guard
from aweigh.guard.identity import Role
from aweigh.guard.totp import STEP_S, code_at

START_S = 30.0
PASSWORD = "otter gravel ninety lamp"
OTHER_PASSWORD = "velvet anchor nine rivers"
HOSTILE = "\"><script>alert('x')</script><img src=x onerror=alert(1)>{{7*7}}${7*7}</title></textarea>"
NOTHING = "There is no page here"


class Page(html.parser.HTMLParser):
    """A page as a browser reads it: its elements, its fields by name, the text that is seen."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.fields, self.focused, self.options = [], {}, [], {}
        self._words, self._select = [], ""
        self.feed(text)

    def handle_starttag(self, name, attributes):
        attributes = dict(attributes)
        self.tags.append((name, attributes))
        if "autofocus" in attributes:
            self.focused.append(attributes["name"])
        if name == "select":
            self._select = attributes["name"]
        if name == "option" and "selected" in attributes:
            self.fields[self._select] = attributes["value"]
        if name == "option":
            self.options.setdefault(self._select, []).append(attributes["value"])
        if name == "input" and attributes.get("type") not in {"checkbox", "radio"}:
            self.fields[attributes["name"]] = attributes.get("value") or ""

    def handle_data(self, data):
        if self.tags[-1:] and self.tags[-1][0] not in {"style", "script"}:
            self._words.append(data)

    @property
    def text(self):
        return " ".join(" ".join(self._words).split())

    def named(self, name):
        return [attributes for tag, attributes in self.tags if tag == name]


class Browser:
    """A client at some place that keeps cookies and follows redirects."""

    def __init__(self, url, place):
        self.client = httpx.Client(
            base_url=url,
            follow_redirects=True,
            trust_env=False,
            headers={"accept": "text/html", "x-forwarded-for": place},
        )

    def get(self, path, **options):
        self.reply = self.client.get(path, **options)
        return Page(self.reply.text)

    def post(self, path, data=None, **options):
        self.reply = self.client.post(path, data=data or {}, **options)
        return Page(self.reply.text)

    def sign_in(self, name, password=PASSWORD, **more):
        page = self.post("/login", {"name": name, "password": password} | more)
        assert self.reply.status_code == 200, page.text
        return page

    @property
    def at(self):
        return self.reply.url.raw_path.decode()


class Door:
    def __init__(self, bundle, folder, *, auth="password", **environ):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.guard = open_guard({}, state_dir=str(folder))
        self.log = folder / "log.txt"
        self.browsers = []
        command = [sys.executable, "-m", "aweigh", "serve", str(bundle), "--no-ui", "--auth", auth]
        # One proxy, that says where each browser is.
        environ |= {"AWEIGH_STATE_DIR": str(folder), "AWEIGH_PROXIES": "1", "AWEIGH_JOBS": "off"}
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [*command, "--port", str(self.port)], stdout=log, stderr=log, env=os.environ | environ
            )
        end = time.monotonic() + START_S
        while time.monotonic() < end and self.process.poll() is None:
            try:
                httpx.get(f"{self.url}/login", trust_env=False)
            except httpx.TransportError:
                time.sleep(0.05)
            else:
                return
        pytest.fail(self.log.read_text(), pytrace=False)

    def person(self, name, role=Role.PREDICTOR, *, password=PASSWORD):
        person = self.guard.add_person(name, role, by=None)
        if password:
            self.guard.set_password(person.id, password, by=None)
        return person

    def browser(self, name="", **more):
        number = len(self.browsers)
        browser = Browser(self.url, f"10.0.{number // 250}.{number % 250 + 1}")
        self.browsers.append(browser)
        if name:
            browser.sign_in(name, **more)
        return browser

    def stop(self):
        for browser in self.browsers:
            browser.client.close()
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(20)
        self.guard.close()


@pytest.fixture(scope="module")
def door(penguins, tmp_path_factory):
    door = Door(penguins.path, tmp_path_factory.mktemp("door"))
    door.person("root", Role.ADMIN)
    door.person("second root", Role.ADMIN)
    yield door
    door.stop()
    assert "Traceback" not in door.log.read_text(), door.log.read_text()


@pytest.fixture
def root(door):
    return door.browser("root")


_names = iter(range(10_000))


@pytest.fixture
def ana(door):
    """Return somebody new who may predict."""
    return door.person(f"ana{next(_names)}@example.org")


# -- every page


PAGES = ["/login", "/logout", "/account", "/account/keys", "/account/two-step", "/admin", "/admin/keys", "/admin/log"]


@pytest.mark.parametrize("path", [*PAGES, "/invite/nothing", "/account/nothing", "/admin/people/p_nobody"])
def test_every_page_forbids_what_it_does_not_need(door, root, path):
    browser = root if path != "/login" else door.browser()
    browser.get(path)
    reply = browser.reply
    policy = dict(part.strip().partition(" ")[::2] for part in reply.headers["content-security-policy"].split(";"))
    assert policy["default-src"] == "'none'"
    assert policy["base-uri"] == policy["frame-ancestors"] == "'none'"
    assert policy["form-action"] == "'self'"
    assert re.fullmatch(r"'sha256-[A-Za-z0-9+/=]{44}'", policy["style-src"])
    assert policy["img-src"] == "data:"
    scripts = reply.text.count("<script")
    assert ("script-src" in policy) == (scripts == 1)
    assert scripts <= 1
    assert set(policy) <= {
        "default-src", "base-uri", "frame-ancestors", "form-action", "style-src", "img-src", "script-src",
    }  # fmt: skip
    assert reply.headers["cache-control"] == "no-store"
    assert reply.headers["x-frame-options"] == "DENY"
    assert reply.headers["content-type"] == "text/html; charset=utf-8"
    assert not re.search(r"\sstyle=|\son[a-z]+=|javascript:", reply.text)


@pytest.mark.parametrize("path", PAGES)
def test_every_field_has_a_label_and_every_page_a_language_a_title_and_one_heading(door, root, path):
    page = root.get(path) if path != "/login" else door.browser().get(path)
    labels = {one.get("for") for one in page.named("label")}
    for field in [*page.named("input"), *page.named("select")]:
        if field.get("type") not in {"hidden", "checkbox"} and "hidden" not in field:
            assert field["id"] in labels, field
            assert "autocomplete" in field
    assert len(page.named("h1")) == 1
    assert page.named("html") == [{"lang": "en"}]
    assert " · penguins" in page.text
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(ids) == len(set(ids))


@pytest.mark.parametrize("path", ["/account", "/account/keys", "/account/two-step", "/admin", "/admin/log", "/admin/x"])
def test_who_is_not_signed_in_is_sent_to_sign_in_and_back(door, path):
    reply = httpx.get(door.url + path, headers={"accept": "text/html"}, trust_env=False)
    assert reply.status_code == 303
    browser = door.browser()
    page = browser.get(path)
    assert browser.reply.url.path == "/login"
    assert page.fields["next"] == path
    for ask in (httpx.get, httpx.post):
        assert ask(door.url + path, trust_env=False).status_code == 401, "a program is told"


@pytest.mark.parametrize("path", ["/admin", "/admin/keys", "/admin/log", "/admin/people/p_1", "/admin/nothing"])
@pytest.mark.parametrize("role", partly_slow(Role.OPERATOR, slow=[Role.VIEWER, Role.PREDICTOR]))
def test_administration_is_for_admins(door, path, role):
    name = f"{role.label}{next(_names)}"
    door.person(name, role)
    browser = door.browser(name)
    for ask in (browser.get, browser.post):
        page = ask(path)
        assert browser.reply.status_code == 403, path
        assert "This page is for admins." in (page.text if ask == browser.get else browser.reply.json()["detail"])
    assert "Admin" not in browser.get("/account").text


def test_a_key_opens_no_page_for_people(door):
    owner = door.guard.person("root")
    _, text = door.guard.add_key(owner, "all", frozenset({"read", "admin"}), expires_days=1, by=None)
    headers = {"authorization": f"Bearer {text.reveal()}"}
    for path in ("/admin", "/account", "/account/keys", "/admin/keys"):
        for method in ("GET", "POST"):
            reply = httpx.request(method, door.url + path, headers=headers, trust_env=False)
            assert reply.status_code == 401, path


def test_each_change_is_refused_to_those_who_may_not(door, ana):
    """Every address that changes something, asked by somebody who is no admin, and by nobody."""
    victim = door.guard.person("root")
    key, _ = door.guard.add_key(victim, "theirs", frozenset({"read"}), expires_days=1, by=None)
    deeds = [
        f"/admin/people/{victim.id}/{what}"
        for what in ("role", "invite", "enable", "disable", "sign-out", "reset", "remove")
    ]
    deeds += [f"/{part}/keys/{key.id}/{what}" for part in ("admin", "account") for what in ("rotate", "revoke")]
    browser = door.browser(ana.name)
    for deed in deeds:
        browser.post(deed, {"role": "viewer"})
        assert browser.reply.status_code in {403, 404}, deed
        assert httpx.post(door.url + deed, trust_env=False).status_code == 401
    assert door.guard.person("root") == victim
    assert next(one for one in door.guard.keys(victim.id) if one.id == key.id).revoked is None


def test_another_sites_link_tells_nobody_that_something_was_done(root):
    for path in ("/account?done=password", "/admin?done=remove", "/account/keys?done=revoked"):
        assert root.get(path).named("div"), "told to whoever comes from here"
        told = root.get(path).text
        assert root.get(path, headers={"sec-fetch-site": "same-origin"}).text == told
        silent = root.get(path, headers={"sec-fetch-site": "cross-site"}).text
        assert len(silent) < len(told)


def test_what_is_no_page_says_so(root):
    for path in ("/login/x", "/invite", "/invite/a/b", "/account/nothing", "/admin/people", "/admin/keys/k_nothing/x"):
        page = root.get(path)
        assert root.reply.status_code == 404, path
        assert NOTHING in page.text


def test_a_method_that_a_page_does_not_take_is_told_those_that_it_takes(root):
    root.get("/account/password")
    assert root.reply.status_code == 405
    assert root.reply.headers["allow"] == "POST"
    reply = root.client.put("/login")
    assert (reply.status_code, reply.headers["allow"]) == (405, "GET, HEAD, POST")


def test_head_has_the_headers_and_no_body(door):
    reply = httpx.head(f"{door.url}/login", trust_env=False)
    assert reply.status_code == 200
    assert reply.content == b""
    assert "content-security-policy" in reply.headers


def test_forms_have_a_limit_a_type_and_an_encoding(door):
    reply = httpx.post(f"{door.url}/login", data={"name": "a" * 20_000}, trust_env=False)
    assert reply.status_code == 413
    assert "default-src 'none'" in reply.headers["content-security-policy"]
    assert reply.headers["cache-control"] == "no-store"
    reply = httpx.post(f"{door.url}/login", json={"name": "a"}, trust_env=False)
    assert reply.status_code == 415
    headers = {"content-type": "application/x-www-form-urlencoded"}
    for body in (b"name=%ED%A0%80", b"name=%FF", b"name=\xff", b"a=b&" * 100):
        assert httpx.post(f"{door.url}/login", content=body, headers=headers, trust_env=False).status_code == 400, body
    gzip = headers | {"content-encoding": "gzip"}
    assert httpx.post(f"{door.url}/login", content=b"x", headers=gzip, trust_env=False).status_code == 415


# -- sign-in


def test_the_right_password_lets_in_and_leads_on(door, ana):
    browser = door.browser()
    page = browser.get("/predict?island=Biscoe")
    assert page.fields["next"] == "/predict?island=Biscoe"
    browser.sign_in(ana.name, next="/v1/model?island=Biscoe")
    assert browser.at == "/v1/model?island=Biscoe"
    cookie = next(one for one in browser.client.cookies.jar)
    assert cookie.name == f"aweigh_{door.port}"
    assert cookie.has_nonstandard_attr("HttpOnly")
    assert not browser.get("/login").named("form"), "who is signed in goes on"


@pytest.mark.parametrize(
    "goal",
    [
        "//evil.example",
        "/\\evil.example",
        "javascript:alert(1)",
        "%2f%2fevil.example",
        "/%2f%2fevil.example",
        "/\r\nset-cookie: a=b",
        "https://evil.example",
    ],
)
def test_sign_in_leads_to_no_other_site(door, ana, goal):
    for ask in ("get", "post"):
        browser = door.browser()
        if ask == "get":
            page = browser.get("/login", params={"next": goal})
            assert "next" not in page.fields
        browser.client.follow_redirects = False
        reply = browser.client.post("/login", data={"name": ana.name, "password": PASSWORD, "next": goal})
        assert reply.headers["location"] == "/"
        assert len(reply.headers.get_list("set-cookie")) == 1


def test_the_session_id_is_new_at_each_sign_in(door, ana):
    browser = door.browser()
    browser.client.cookies.set(f"aweigh_{door.port}", "A" * 43)
    browser.sign_in(ana.name)
    first = browser.client.cookies.get(f"aweigh_{door.port}", domain="127.0.0.1")
    assert first != "A" * 43
    again = door.browser(ana.name).client.cookies.get(f"aweigh_{door.port}")
    assert again != first


def test_who_signs_in_as_somebody_else_leaves_no_session_behind(door, ana):
    browser = door.browser("second root")
    before = len(door.guard.sessions(door.guard.person("second root").id))
    browser.sign_in(ana.name)
    assert len(door.guard.sessions(door.guard.person("second root").id)) == before - 1
    assert ana.name in browser.get("/account").text


@pytest.mark.slow
def test_those_at_the_door_do_not_keep_up_those_who_are_in(door, root):
    """Passwords are checked two at a time; a crowd of them waits, and nobody who is signed in waits with it."""

    def knock(number):
        headers = {"x-forwarded-for": f"10.9.{number}.1"}
        typed = {"name": f"crowd {number}", "password": "x"}
        return httpx.post(f"{door.url}/login", data=typed, headers=headers, trust_env=False, timeout=60).status_code

    with ThreadPoolExecutor(60) as crowd:
        knocking = [crowd.submit(knock, number) for number in range(60)]
        began = time.monotonic()
        root.get("/account/keys")
        waited_s, still_there = time.monotonic() - began, sum(not one.done() for one in knocking)
        assert root.reply.status_code == 200
        answers = {one.result() for one in knocking}
    assert still_there > 0
    assert waited_s < 2.0
    assert answers <= {403, 429}


def test_a_refusal_does_not_say_whether_the_name_is_known(door, ana):
    disabled = door.person(f"gone{next(_names)}")
    door.guard.set_disabled(disabled.id, True, by=None)
    invited = door.person(f"new{next(_names)}", password="")
    told = set()
    for name, password in [
        (ana.name, "wrong"),
        ("nobody at all", PASSWORD),
        (disabled.name, PASSWORD),
        (invited.name, PASSWORD),
    ]:
        browser = door.browser()
        page = browser.post("/login", {"name": name, "password": password})
        assert page.fields["name"] == name
        assert "value" not in next(one for one in page.named("input") if one["name"] == "password")
        told.add((browser.reply.status_code, browser.reply.text.replace(name, "NAME")))
    assert len(told) == 1
    (status, text) = told.pop()
    assert status == 403
    page = Page(text)
    assert "Name or password is not right" in page.text
    assert page.focused == ["password"]
    assert [one["name"] for one in page.named("input") if one.get("aria-invalid")] == ["name", "password"]
    assert page.text.startswith("Problem: ")


def test_what_is_missing_is_told_at_its_field(door):
    browser = door.browser()
    page = browser.post("/login", {"name": " ", "password": "x"})
    assert browser.reply.status_code == 422
    assert page.focused == ["name"]
    field = next(one for one in page.named("input") if one["name"] == "name")
    assert field["aria-invalid"] == "true"
    assert field["aria-describedby"] == "name-fault"
    assert any(one.get("id") == "name-fault" and one["role"] == "alert" for one in page.named("p"))
    assert browser.post("/login", {"name": "x"}).focused == ["password"]


def test_who_tries_too_often_is_told_how_long_to_wait(door):
    browser = door.browser()
    for _ in range(12):
        page = browser.post("/login", {"name": "somebody else", "password": "wrong"})
        if browser.reply.status_code == 429:
            break
    assert browser.reply.status_code == 429
    assert int(browser.reply.headers["retry-after"]) >= 1
    assert re.search(r"Wait \d+ seconds?, then try again", page.text)
    assert page.fields["name"] == "somebody else"


def test_sign_out_asks_once_and_ends_the_session_on_the_server(door, ana):
    browser = door.browser(ana.name)
    kept = browser.client.cookies.get(f"aweigh_{door.port}")
    page = browser.get("/logout")
    assert "Sign out?" in page.text
    assert browser.get("/account").named("h1"), "a link alone signs nobody out"
    page = browser.post("/logout")
    assert "You are signed out." in page.text
    assert not browser.client.cookies.get(f"aweigh_{door.port}")
    old = httpx.get(f"{door.url}/account", cookies={f"aweigh_{door.port}": kept}, trust_env=False)
    assert old.status_code == 401
    assert door.browser().get("/logout").named("form"), "it leads to the form to sign in"


def test_who_shows_again_who_they_are_gets_another_session(door, ana):
    browser = door.browser(ana.name)
    name = f"aweigh_{door.port}"

    def is_in(kept):
        return httpx.get(f"{door.url}/account", cookies={name: kept}, trust_env=False).status_code == 200

    first = browser.client.cookies.get(name)
    browser.post("/account/password", {"current": PASSWORD, "password": OTHER_PASSWORD, "again": OTHER_PASSWORD})
    second = browser.client.cookies.get(name)
    secret = browser.get("/account/two-step").fields["secret"]
    code = code_at(secret, int(time.time()) // STEP_S)
    page = browser.post("/account/two-step", {"secret": secret, "code": code, "current": OTHER_PASSWORD})
    third = browser.client.cookies.get(name)
    assert "recovery codes" in page.text, "shown to the new session"
    assert len({first, second, third}) == 3
    assert [is_in(one) for one in (first, second, third)] == [False, False, True]
    assert len(door.guard.sessions(ana.id)) == 1


def test_another_sites_form_is_refused(door, ana):
    browser = door.browser()
    reply = browser.client.post(
        "/login", data={"name": ana.name, "password": PASSWORD}, headers={"origin": "https://evil.example"}
    )
    assert reply.status_code == 403
    assert not browser.client.cookies


# -- the second step


def enrol(browser, person, door):
    page = browser.get("/account/two-step")
    secret = page.fields["secret"]
    assert page.named("svg")
    code = code_at(secret, int(time.time()) // STEP_S)
    page = browser.post("/account/two-step", {"secret": secret, "code": code, "current": PASSWORD})
    assert browser.at == "/account/two-step/codes", page.text
    return secret, re.findall(r"\b(?:[A-Z2-7]{4}-){3}[A-Z2-7]{4}\b", page.text)


def next_code(secret):
    """Return a code that was not used for enrolling: each counts once."""
    return code_at(secret, int(time.time()) // STEP_S + 1)


def test_a_second_step_is_set_up_and_asked_for(door, ana):
    browser = door.browser(ana.name)
    secret, recovery = enrol(browser, ana, door)
    assert len(recovery) == 10
    assert browser.get("/account/two-step/codes").text.count(recovery[0]) == 0, "shown once"
    assert browser.at == "/account"
    assert "10 recovery codes left" in browser.get("/account").text

    browser = door.browser()
    page = browser.sign_in(ana.name, next="/predict")
    assert "Type your code" in page.text
    assert page.focused == ["code"]
    assert PASSWORD not in browser.reply.text
    assert not browser.client.cookies, "nobody is signed in yet"
    ticket = page.fields["ticket"]

    page = browser.post("/login", {"ticket": ticket, "code": "000000", "next": "/predict"})
    assert browser.reply.status_code == 403
    assert page.focused == ["code"]
    assert page.fields["ticket"] == ticket
    code = next_code(secret)
    browser.post("/login", {"ticket": ticket, "code": f"{code[:3]} {code[3:]}", "next": "/predict"})
    assert browser.at == "/predict"

    browser = door.browser()
    page = browser.sign_in(ana.name)
    browser.post("/login", {"ticket": page.fields["ticket"], "code": code})
    assert browser.reply.status_code == 403, "each code once"
    browser.post("/login", {"ticket": page.fields["ticket"], "recovery": recovery[3].lower()})
    assert browser.at == "/"
    assert "9 recovery codes left" in browser.get("/account").text
    browser = door.browser()
    page = browser.sign_in(ana.name)
    page = browser.post("/login", {"ticket": page.fields["ticket"], "recovery": recovery[3]})
    assert browser.reply.status_code == 403, "each recovery code once"
    assert page.focused == ["recovery"]
    assert "open" in page.named("details")[0]


@pytest.mark.parametrize("ticket", ["x", "x.y", "cF8xIDk5OTk5OTk5OTk.x", HOSTILE])
def test_a_ticket_that_was_made_up_leads_back_to_the_first_step(door, ticket):
    browser = door.browser()
    page = browser.post("/login", {"ticket": ticket, "code": "000000"})
    assert browser.reply.status_code == 403
    assert "That took too long" in page.text
    assert "ticket" not in page.fields


def test_a_wrong_code_while_setting_up_keeps_the_secret_that_the_phone_has(door, ana):
    browser = door.browser(ana.name)
    secret = browser.get("/account/two-step").fields["secret"]
    page = browser.post("/account/two-step", {"secret": secret, "code": "000000", "current": PASSWORD})
    assert browser.reply.status_code == 422
    assert page.fields["secret"] == secret
    assert page.focused == ["code"]
    code = code_at(secret, int(time.time()) // STEP_S)
    page = browser.post("/account/two-step", {"secret": secret, "code": code, "current": "wrong"})
    assert browser.reply.status_code == 422
    assert page.fields["secret"] == secret
    assert page.focused == ["current"], "whoever finds a screen unlocked does not lock its owner out"
    browser.post("/account/two-step", {"secret": HOSTILE, "code": "000000", "current": PASSWORD})
    assert browser.at == "/account/two-step"
    assert HOSTILE not in browser.reply.text
    assert browser.post("/account/two-step", {"secret": secret}).focused == ["code"]
    assert not door.guard.person(ana.id).has_totp


def test_the_second_step_is_turned_off_with_the_password_only(door, ana):
    browser = door.browser(ana.name)
    enrol(browser, ana, door)
    page = browser.post("/account/two-step/off", {"current": "wrong"})
    assert (browser.reply.status_code, page.focused) == (422, ["current"])
    assert door.guard.person(ana.id).has_totp
    assert browser.get("/account/two-step").text.count("Two-step sign-in"), "who has it is led to the account"
    assert browser.at == "/account"
    browser.post("/account/two-step/off", {"current": PASSWORD})
    assert not door.guard.person(ana.id).has_totp


# -- invitations


def test_an_invitation_gives_a_password_once(door):
    person = door.person(f"bo{next(_names)}", password="")
    path = f"/invite/{door.guard.invite(person.id, by=None)}"
    browser = door.browser()
    page = browser.get(path)
    assert page.fields["username"] == person.name
    assert [one["autocomplete"] for one in page.named("input")] == ["username", "new-password", "new-password"]
    for typed, wrong in [
        ({}, "password"),
        ({"password": OTHER_PASSWORD}, "again"),
        ({"password": OTHER_PASSWORD, "again": PASSWORD}, "again"),
        ({"password": "short", "again": "short"}, "password"),
        ({"password": "password12345", "again": "password12345"}, "password"),
    ]:
        page = browser.post(path, typed)
        assert (browser.reply.status_code, page.focused) == (422, [wrong])
    browser.post(path, {"password": OTHER_PASSWORD, "again": OTHER_PASSWORD})
    assert browser.at == "/"
    page = browser.get(path)
    assert browser.reply.status_code == 404
    assert "does not work any more" in page.text
    browser.post(path, {"password": PASSWORD, "again": PASSWORD})
    assert browser.reply.status_code == 404
    door.browser(person.name, password=OTHER_PASSWORD)


def test_a_link_that_was_made_up_says_nothing(door):
    for token in ("x", "A" * 43, "%00", "..%2f..", HOSTILE.replace("/", "")):
        browser = door.browser()
        browser.get(f"/invite/{token}")
        assert browser.reply.status_code == 404, token


def test_a_new_password_by_a_link_does_not_pass_the_second_step(door, ana):
    enrol(door.browser(ana.name), ana, door)
    path = f"/invite/{door.guard.invite(ana.id, by=None)}"
    browser = door.browser()
    page = browser.post(path, {"password": OTHER_PASSWORD, "again": OTHER_PASSWORD})
    assert browser.reply.url.path == "/login"
    assert "Your password is saved" in page.text
    assert not browser.client.cookies


# -- the account


def test_a_new_password_takes_the_old_one_and_ends_other_sessions(door, ana):
    here, elsewhere = door.browser(ana.name), door.browser(ana.name)
    for typed, wrong in [
        ({"password": OTHER_PASSWORD, "again": OTHER_PASSWORD}, "current"),
        ({"current": "wrong", "password": OTHER_PASSWORD, "again": OTHER_PASSWORD}, "current"),
        ({"current": PASSWORD, "password": "short", "again": "short"}, "password"),
        ({"current": PASSWORD, "password": ana.name, "again": ana.name}, "password"),
    ]:
        page = here.post("/account/password", typed)
        assert (here.reply.status_code, page.focused) == (422, [wrong]), page.text
    page = here.post("/account/password", {"current": PASSWORD, "password": OTHER_PASSWORD, "again": OTHER_PASSWORD})
    assert here.at == "/account?done=password"
    assert "Your password is changed." in page.text
    time.sleep(5.2)  # another process may remember a session for so long
    elsewhere.get("/account")
    assert elsewhere.reply.url.path == "/login"
    here.get("/account")
    assert here.reply.url.path == "/account"


def test_sessions_are_listed_and_ended(door, ana):
    here, *_ = (door.browser(ana.name) for _ in range(3))
    page = here.get("/account")
    assert len(re.findall(r"10\.0\.\d+\.\d+", page.text)) == 3
    assert page.text.count("this one") == 1
    named = [field["value"] for field in page.named("input") if field["name"] == "session"]
    assert len(named) == 2
    here.post("/account/sessions/end", {"session": named[0]})
    assert len(door.guard.sessions(ana.id)) == 2
    here.post("/account/sessions/end")
    assert len(door.guard.sessions(ana.id)) == 1
    stranger = door.browser("root")
    mine = door.guard.sessions(ana.id)[0].id
    stranger.post("/account/sessions/end", {"session": mine})
    assert [one.id for one in door.guard.sessions(ana.id)] == [mine], "only one's own"


def test_a_key_is_shown_once_and_works(door, ana):
    browser = door.browser(ana.name)
    page = browser.get("/account/keys")
    assert [one["value"] for one in page.named("input") if one.get("type") == "checkbox"] == ["read", "predict"]
    page = browser.post("/account/keys", {"label": "nightly", "scopes": ["predict"], "lasts": "30"})
    (text,) = re.findall(r"aw_[0-9a-z]{12}_[A-Za-z0-9_-]{49}", page.text)
    identity = door.guard.identify(text.encode(), "key")
    assert identity.scopes == {"predict"}
    at = browser.at
    assert re.fullmatch(r"/account/keys/k_[0-9a-z]{12}", at), "a redirect: a reload makes no second key"
    assert text not in browser.get(at).text + browser.reply.text
    assert len(door.guard.keys(ana.id)) == 1
    assert "in 30 days" in browser.get(at).text

    assert "Revoke nightly?" in browser.get(f"{at}/revoke").text
    page = browser.post(f"{at}/rotate")
    (rotated,) = re.findall(r"aw_[0-9a-z]{12}_[A-Za-z0-9_-]{49}", page.text)
    assert rotated != text
    assert browser.at != at
    browser.post(f"{browser.at}/revoke")
    assert browser.at == "/account/keys?done=revoked"
    door.guard.identify(rotated.encode(), "key")
    assert door.guard.identify(rotated.encode(), "key") is None
    assert door.guard.identify(text.encode(), "key"), "the old one goes on for a day"


@pytest.mark.parametrize(
    ("typed", "wrong"),
    [
        ({"scopes": ["read"], "lasts": "30"}, "label"),
        ({"label": "x", "lasts": "30"}, "scopes"),
        ({"label": "x", "scopes": ["admin"], "lasts": "30"}, "scopes"),
        ({"label": "x", "scopes": ["read", "everything"], "lasts": "30"}, "scopes"),
        ({"label": "x", "scopes": ["read"], "lasts": "31"}, "lasts"),
        ({"label": "x\u202e", "scopes": ["read"], "lasts": "30"}, "label"),
    ],
)
def test_what_is_wrong_with_a_new_key_is_told_at_its_field(door, ana, typed, wrong):
    browser = door.browser(ana.name)
    page = browser.post("/account/keys", typed)
    assert (browser.reply.status_code, page.focused) == (422, [wrong])
    assert page.fields["label"] == typed.get("label", "")
    assert door.guard.keys(ana.id) == []


def test_somebody_elses_key_is_not_there(door, ana):
    owner = door.guard.person("root")
    key, _ = door.guard.add_key(owner, "theirs", frozenset({"read"}), expires_days=1, by=None)
    browser = door.browser(ana.name)
    for path in (f"/account/keys/{key.id}", f"/account/keys/{key.id}/revoke", f"/account/keys/{key.id}/rotate"):
        browser.get(path)
        assert browser.reply.status_code == 404
    assert "theirs" not in browser.get("/account/keys").text


# -- administration


def test_an_admin_adds_somebody_who_then_signs_in(door, root):
    name = f"bo{next(_names)}@example.org"
    page = root.post("/admin", {"name": name, "role": "operator"})
    (link,) = re.findall(r"http://127\.0\.0\.1:\d+/invite/[A-Za-z0-9_-]{43}", page.text)
    assert link.startswith(door.url)
    assert link not in root.get(root.at).text, "shown once"
    assert door.guard.person(name).role is Role.OPERATOR
    browser = door.browser()
    browser.post(link, {"password": PASSWORD, "again": PASSWORD})
    assert browser.at == "/"
    assert browser.get("/account").text.count("Operator") == 1
    for typed, wrong in [
        ({"name": "", "role": "viewer"}, "name"),
        ({"name": name.upper(), "role": "viewer"}, "name"),
        ({"name": "x", "role": "root"}, "role"),
    ]:
        page = root.post("/admin", typed)
        assert (root.reply.status_code, page.focused) == (422, [wrong])


def test_an_admin_changes_a_role_and_it_holds(door, root, ana):
    browser = door.browser(ana.name)
    page = root.post(f"/admin/people/{ana.id}/role", {"role": "admin"})
    assert "The role is changed." in page.text
    assert page.fields["role"] == "admin"
    browser.sign_in(ana.name)
    browser.get("/admin")
    assert browser.reply.status_code == 200
    assert root.post(f"/admin/people/{ana.id}/role", {"role": "king"}).focused == ["role"]


@pytest.mark.parametrize("deed", ["disable", "sign-out", "reset", "remove"])
def test_what_hurts_is_asked_once_more(door, root, ana, deed):
    browser = door.browser(ana.name)
    enrol(browser, ana, door)
    page = root.get(f"/admin/people/{ana.id}/{deed}")
    assert ana.name in page.text
    assert "?" in page.text
    assert door.guard.person(ana.id) == door.guard.person(ana.name), "nothing was done by looking"
    assert len(door.guard.sessions(ana.id)) == 1
    root.post(f"/admin/people/{ana.id}/{deed}")
    assert root.reply.status_code == 200
    person = door.guard.person(ana.id)
    assert {
        "disable": lambda: person.disabled and not door.guard.sessions(ana.id),
        "sign-out": lambda: not door.guard.sessions(ana.id),
        "reset": lambda: not person.has_totp,
        "remove": lambda: person is None,
    }[deed]()


def test_somebody_disabled_is_enabled_again(door, root, ana):
    root.post(f"/admin/people/{ana.id}/disable")
    assert "disabled" in root.get("/admin").text
    root.post(f"/admin/people/{ana.id}/enable")
    door.browser(ana.name)


def test_the_last_admin_stays(penguins, tmp_path):
    door = Door(penguins.path, tmp_path)
    try:
        person = door.person("only", Role.ADMIN)
        browser = door.browser("only")
        for deed in ("disable", "remove"):
            page = browser.post(f"/admin/people/{person.id}/{deed}")
            assert browser.reply.status_code == 422
            assert "This is the last admin who can sign in: the others have been invited" in page.text
        page = browser.post(f"/admin/people/{person.id}/role", {"role": "viewer"})
        assert (browser.reply.status_code, page.focused) == (422, ["role"])
        assert door.guard.person("only").role is Role.ADMIN
    finally:
        door.stop()


def test_an_admin_makes_and_revokes_keys_of_others(door, root, ana):
    page = root.post("/admin/keys", {"label": "batch", "scopes": ["predict"], "lasts": "never"})
    assert page.focused == ["owner"]
    page = root.post("/admin/keys", {"owner": ana.id, "label": "batch", "scopes": ["admin"], "lasts": "never"})
    assert page.focused == ["scopes"], "no more than its owner may"
    page = root.post("/admin/keys", {"owner": ana.id, "label": "batch", "scopes": ["predict"], "lasts": "never"})
    assert re.search(r"aw_[0-9a-z]{12}_", page.text)
    assert ana.name in page.text
    root.post(f"{root.at}/revoke")
    assert door.guard.keys(ana.id)[0].revoked is not None


def test_the_log_is_read_backwards_filtered_and_by_pages(door, root):
    for number in range(130):
        door.guard.audit("test.counted", by=None, what={"number": str(number)})
    page = root.get("/admin/log?event=test.counted")
    assert re.findall(r"number: (\d+)", page.text) == [str(one) for one in range(129, 79, -1)]
    older = next(one["href"] for one in page.named("a") if "before=" in one["href"])
    page = root.get(older)
    assert re.findall(r"number: (\d+)", page.text) == [str(one) for one in range(79, 29, -1)]
    page = root.get(next(one["href"] for one in page.named("a") if "before=" in one["href"]))
    assert re.findall(r"number: (\d+)", page.text) == [str(one) for one in range(29, -1, -1)]
    page = root.get("/admin/log?who=root&event=session.begun")
    assert "how: password" in page.text
    assert "Nothing here fits." in root.get("/admin/log", params={"text": HOSTILE}).text
    for before in ("0", "-1", "x", "9" * 30, "1"):
        root.get("/admin/log", params={"before": before})
        assert root.reply.status_code == 200


# -- what others have typed is text


def test_hostile_names_and_labels_are_text_everywhere(door, root):
    name = HOSTILE[:120]
    person = door.person(name, Role.OPERATOR)
    key, _ = door.guard.add_key(person, name, frozenset({"read"}), expires_days=3, by=None)
    door.guard.audit(name, by=None, what={name: name})
    browser = door.browser(name)
    visited = [
        browser.get(path) and browser.reply
        for path in (
            "/account",
            "/account/keys",
            f"/account/keys/{key.id}",
            f"/account/keys/{key.id}/revoke",
            "/logout",
            "/account/two-step",
        )
    ]
    admin = (
        "/admin",
        f"/admin/people/{person.id}",
        f"/admin/people/{person.id}/remove",
        "/admin/keys",
        f"/admin/keys/{key.id}",
        "/admin/log",
    )
    visited += [root.get(path) and root.reply for path in admin]
    visited += [root.post("/admin", {"name": name + "\u202e", "role": HOSTILE}) and root.reply]
    visited += [root.post("/account/keys", {"label": HOSTILE, "scopes": HOSTILE, "lasts": HOSTILE}) and root.reply]
    visited += [browser.get("/account", params={"done": HOSTILE}) and browser.reply]
    visited += [root.get("/admin/log", params={"event": HOSTILE, "who": HOSTILE, "text": HOSTILE}) and root.reply]
    stranger = door.browser()
    visited += [stranger.post("/login", {"name": HOSTILE, "password": HOSTILE, "next": HOSTILE}) and stranger.reply]
    visited += [stranger.get("/invite/" + door.guard.invite(person.id, by=None)) and stranger.reply]
    for reply in visited:
        page = Page(reply.text)
        assert not [attributes for tag, attributes in page.tags if tag == "img" or "onerror" in attributes], reply.url
        assert len(page.named("script")) <= 1
        assert len(page.named("title")) == 1
        assert reply.text.count("alert('x')") == 0, "every quote is escaped, too"
    assert sum("&lt;img src=x onerror=alert(1)&gt;" in reply.text for reply in visited) > 10


def test_nothing_typed_into_a_password_is_ever_shown_or_logged(door, ana):
    browser, marker = door.browser(ana.name), "marker horse battery staple"
    sent = [
        ("/login", {"name": ana.name, "password": marker}),
        ("/account/password", {"current": marker, "password": marker, "again": marker}),
        ("/account/password", {"current": PASSWORD, "password": marker, "again": marker + "x"}),
        ("/account/two-step/off", {"current": marker}),
    ]
    for path, typed in sent:
        browser.post(path, typed)
        assert "marker" not in browser.reply.text
    assert "marker" not in door.log.read_text()
    assert not [one for one in door.guard.audit_log(limit=100_000) if "marker" in str(one)]


@pytest.mark.slow
def test_another_way_in_is_offered_where_there_is_one(penguins, tmp_path):
    provider = {"ISSUER": "https://127.0.0.1:1", "CLIENT_ID": "aweigh", "ROLES": "*=viewer", "NAME": "Example & Sons"}
    environ = {f"AWEIGH_OIDC_{name}": value for name, value in provider.items()}
    door = Door(penguins.path, tmp_path, auth="oidc", **environ)
    try:
        page = door.browser().get("/login?next=/batch")
        (link,) = [one["href"] for one in page.named("a") if one["href"].startswith("/oauth/")]
        assert link == "/oauth/start?next=%2Fbatch"
        assert "Sign in with Example & Sons" in page.text
        assert "or with a password" in page.text
        browser = door.browser()
        page = browser.get("/login?problem=provider_down")
        assert page.text.startswith("Problem: ")
        assert "The sign-in provider cannot be reached just now." in page.text
        assert "made up" not in browser.get("/login?problem=made+up").text
        page = browser.get("/oauth/start")
        assert browser.at.startswith("/login?")
        assert "The sign-in provider cannot be reached just now." in page.text
    finally:
        door.stop()
