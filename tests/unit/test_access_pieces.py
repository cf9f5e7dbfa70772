"""What the door's pages are made of: HTML that escapes, paths that stay on this site, cookies, tickets."""

import asyncio
import html.parser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aweigh.guard.people import Row
from aweigh.guard.second_step import LASTS_S, is_good, named_in, ticket_of
from aweigh.secret import Secret
from aweigh.server.access.cookies import (
    clear_cookie,
    session_cookie_name,
    session_of,
    set_cookie,
)
from aweigh.server.access.markup import Html, joined, tag
from aweigh.server.access.next_path import next_path
from aweigh.server.access.once import keep_once, kept_once
from aweigh.server.access.qr import qr_svg
from aweigh.server.access.visit import Visit
from aweigh.server.access.watched import SIGNED_OUT, watched
from aweigh.server.access.when import ago


class Seen(html.parser.HTMLParser):
    """The elements, attributes and text that a browser finds."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.values, self.words = [], [], []
        self.feed(text)
        self.close()

    def handle_starttag(self, name, attributes):
        self.tags.append(name)
        self.values += [value for _, value in attributes]

    def handle_data(self, data):
        self.words.append(data)


@given(st.text())
def test_text_stays_text_in_content_and_in_attributes(text):
    made = tag("p", text, [text, tag("b", text)], title=text)
    seen = Seen(made)
    assert seen.tags == ["p", "b"]
    # A browser reads CR as LF, and NUL as nothing good: neither opens anything.
    assert "".join(seen.words).replace("\r", "\n") == 3 * text.replace("\r", "\n")
    assert [value.replace("\r", "\n") for value in seen.values] == [text.replace("\r", "\n")]


def test_html_that_was_pasted_to_text_is_text_again():
    assert tag("p", Html("<b>") + "<i>") == "<p>&lt;b&gt;&lt;i&gt;</p>"
    assert tag("p", f"{Html('<b>')}") == "<p>&lt;b&gt;</p>"
    assert joined(Html("<b>"), None, 3, "<") == "<b>3&lt;"


def test_attributes_are_absent_bare_or_escaped():
    assert tag("input", name="a", required=True, readonly=False, value=None, aria_label='"x"') == (
        '<input name="a" required aria-label="&quot;x&quot;">'
    )


@pytest.mark.parametrize(
    "asked",
    [
        "/", "/account", "/predict?island=Biscoe&mass=4%2C000", "/batch?q=a+b", "/app/my-page", "/?x=http://evil.example/",
    ],
)  # fmt: skip
def test_a_path_of_this_site_is_where_one_goes_after_sign_in(asked):
    assert next_path(asked) == asked


@pytest.mark.parametrize(
    "asked",
    [
        None, "", "evil.example", "//evil.example", "///evil.example", "/\\evil.example", "\\\\evil.example",
        "/\t/evil.example",
        "/\n/evil.example", "http://evil.example", "https:evil.example", "javascript:alert(1)", "JavaScript:alert(1)",
        "data:text/html,x", "%2f%2fevil.example", "/%2f%2fevil.example", "/%2Fevil.example", "/%5cevil.example",
        "/%252f%252fevil.example", "/%25252fevil.example", "/%0d%0aset-cookie:a=b", "/a\r\nset-cookie: a=b",
        "/\x00", "/\x85",
        "/a//evil.example", " //evil.example", "/login", "/login?next=/login", "/logout", "/invite/abc", "/oauth/start",
        "/%6cogin", "/" + "a" * 3000, "/%2525252525252f",
    ],
)  # fmt: skip
def test_anything_else_leads_to_the_start_page(asked):
    assert next_path(asked) == "/"


@given(st.text(max_size=40))
def test_where_one_goes_is_always_a_path_that_can_stand_in_a_header(text):
    for asked in (text, "/" + text, "/%2f" + text):
        found = next_path(asked)
        assert found.startswith("/")
        assert not found.startswith("//")
        assert found.isascii()
        assert found.isprintable()
        assert "\\" not in found


def scope_of(*headers, scheme="http"):
    return {"type": "http", "scheme": scheme, "headers": [(name.encode(), value.encode()) for name, value in headers]}


def test_over_tls_the_cookie_is_for_this_host_alone():
    scope = scope_of(("host", "models.example.org"), scheme="https")
    name, value = set_cookie(scope, Secret("abc"), 60)
    assert name == b"set-cookie"
    assert value == b"__Host-aweigh=abc; Path=/; Max-Age=60; HttpOnly; SameSite=Lax; Secure"
    assert clear_cookie(scope)[1].startswith(b"__Host-aweigh=; Path=/; Max-Age=0;")


def test_on_plain_http_two_ports_of_a_machine_have_two_cookies():
    one, other = scope_of(("host", "localhost:8000")), scope_of(("host", "localhost:8001"))
    assert session_cookie_name(one) != session_cookie_name(other)
    assert b"Secure" not in set_cookie(one, Secret("abc"), 60)[1]
    assert session_cookie_name(scope_of(("host", "[::1]:8000"))) == session_cookie_name(one)


@pytest.mark.parametrize("value", ["", "a b", 'a"b', "a\x00", "ä", "a" * 3000])
def test_a_cookie_that_we_cannot_have_set_is_none(value):
    scope = {"type": "http", "scheme": "http", "headers": [(b"cookie", b"aweigh_80=" + value.encode())]}
    assert session_of(scope) is None


def test_the_session_is_found_among_other_cookies_and_in_a_second_header():
    assert session_of(scope_of(("cookie", "a=b; aweigh_80=xyz; c=d"))) == b"xyz"
    assert session_of(scope_of(("cookie", "a=b"), ("cookie", "aweigh_80=xyz"))) == b"xyz"
    assert session_of(scope_of(("cookie", "a=b; xaweigh_80=xyz"))) is None
    assert session_of(scope_of(("cookie", "aweigh_80=xyz"), scheme="https")) is None


def visit_of(scope):
    return Visit(scope, "GET", ("account",), {}, {}, None, "127.0.0.1", scope["scheme"] == "https")


def kept_in(header):
    return header[1].decode().split(";")[0]


def test_what_is_shown_once_is_shown_to_its_session_on_its_page():
    cookie = kept_in(keep_once(visit_of(scope_of(("cookie", "aweigh_80=mine"))), "k_1", "the key"))
    assert kept_once(visit_of(scope_of(("cookie", f"aweigh_80=mine; {cookie}"))), "k_1") == "the key"
    assert kept_once(visit_of(scope_of(("cookie", f"aweigh_80=mine; {cookie}"))), "k_2") is None
    assert kept_once(visit_of(scope_of(("cookie", f"aweigh_80=another; {cookie}"))), "k_1") is None
    assert kept_once(visit_of(scope_of(("cookie", "aweigh_80=mine; aweigh-once_80=a.b"))), "k_1") is None
    assert kept_once(visit_of(scope_of(("cookie", "aweigh_80=mine; aweigh-once_80=a"))), "k_1") is None
    assert kept_once(visit_of(scope_of(("cookie", "aweigh_80=mine"))), "k_1") is None


def test_what_is_shown_once_is_not_shown_a_minute_later(monkeypatch):
    scope = scope_of(("cookie", "aweigh_80=mine"))
    cookie = kept_in(keep_once(visit_of(scope), "k_1", "the key"))
    later = scope_of(("cookie", f"aweigh_80=mine; {cookie}"))
    monkeypatch.setattr("aweigh.server.access.once.time.time", lambda: 4e9)
    assert kept_once(visit_of(later), "k_1") is None


def row_of(*, name="p_1", password="$argon2id$kept"):
    from aweigh.guard.identity import Role

    return Row(name, "Ana", "ana", Role.VIEWER, False, password, False, "S" * 32, 0, None, None, 1, 0.0, None)


def test_a_ticket_between_the_steps_is_one_persons_for_some_minutes():
    ticket = ticket_of(row_of(), now=1000.0).reveal()
    assert named_in(ticket) == ("p_1", 1000.0 + LASTS_S)
    assert is_good(ticket, row_of(), now=1000.0 + LASTS_S)
    assert not is_good(ticket, row_of(), now=1001.0 + LASTS_S)
    assert not is_good(ticket, row_of(name="p_2"), now=1000.0)
    assert not is_good(ticket, row_of(password="$argon2id$new"), now=1000.0), "a new password ends it"
    assert not is_good(ticket, row_of(password=None), now=1000.0)
    assert "$argon2id" not in ticket


@given(st.text(max_size=80))
def test_what_is_no_ticket_opens_nothing(text):
    for tried in (text, f"{text}.{text}", "cF8xIDk5OTk5OTk5OTk5." + text):
        assert not is_good(tried, row_of(), now=0.0)


def test_times_are_told_as_people_tell_them():
    words = [str(Seen(ago(1000.0 - past, now=1000.0)).words[0]) for past in (0, 59, 60, 7200, 86_400, 400 * 86_400)]
    assert words == ["just now", "just now", "1 minute ago", "2 hours ago", "1 day ago", "1 year ago"]
    assert Seen(ago(1000.0 + 90 * 86_400 - 1, now=1000.0)).words == ["in 90 days"]
    assert ago(None, now=0.0) == "never"


def test_a_qr_code_is_an_svg_of_squares_with_a_name():
    made = qr_svg("otpauth://totp/a?secret=B", label='"it"')
    seen = Seen(made)
    assert seen.tags == ["svg", "rect", "path"]
    assert '"it"' in seen.values
    assert made.count("h1v1h-1z") > 200


# -- a WebSocket and its session


@pytest.mark.parametrize(("told", "ends"), [([True], False), ([None], True), ([False], True), ([None, True], False)])
def test_a_websocket_outlasts_its_session_for_no_longer_than_said(told, ends, monkeypatch):
    """None is a store that is down: it is waited for, and not for ever."""
    monkeypatch.setattr("aweigh.server.access.watched.EVERY_S", 0.01)
    monkeypatch.setattr("aweigh.server.access.watched.UNTOLD_S", 0.1)
    said = []

    async def lasts(heard):
        del heard
        said.append(told[len(said) % len(told)])
        return said[-1]

    async def run():
        sent, gone = [], asyncio.Event()

        async def app(scope, receive, send):
            while (await receive())["type"] != "websocket.disconnect":
                pass

        async def receive():
            await gone.wait()
            return {"type": "websocket.disconnect", "code": 1000}

        async def send(message):
            sent.append(message)

        serving = asyncio.ensure_future(watched(app, {"type": "websocket"}, receive, send, lasts=lasts))
        await asyncio.wait({serving}, timeout=0.6)
        done = serving.done()
        gone.set()
        await serving
        return done, [one["code"] for one in sent]

    assert asyncio.run(run()) == (ends, [SIGNED_OUT] if ends else [])
    assert len(said) > (3 if told == [None] else 0)
