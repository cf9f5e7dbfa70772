"""What a request says of who asks, from where and for what: forms, cookies, keys, hosts, paths, ranges, parameters."""

import asyncio
import html.parser
import ipaddress
import tempfile
from collections.abc import Coroutine
from typing import Any
from urllib.parse import unquote, urljoin, urlsplit

from fuzz_bounds import Found, Run

from aweigh.errors import AweighError, ConfigError, MalformedBody, StorageDown, UnsupportedMedia
from aweigh.server import media
from aweigh.server.access import fields
from aweigh.server.access.asked import Place, place_of
from aweigh.server.access.cookies import once_cookie_name, session_of
from aweigh.server.access.door import Door
from aweigh.server.access.known import METRICS, SERVER, Known
from aweigh.server.access.next_path import MOST_CHARACTERS, next_path
from aweigh.server.access.oauth import OAuth
from aweigh.server.access.turned import turned_away
from aweigh.server.access.visit import read_visit
from aweigh.server.body import Unread
from aweigh.server.jobs.asked import read_asked
from aweigh.server.jobs.download import asked_range
from aweigh.server.problems import Refused

LOOP = asyncio.new_event_loop()


def now(awaited: Coroutine[Any, Any, Any]) -> Any:
    return LOOP.run_until_complete(awaited)


def scope_of(lines: list[bytes], *, method: str = "POST", path: str = "/v1/predict", query: bytes = b"") -> dict:
    """A request's scope, as the server in front makes it: a header a line, names in small letters.

    The length of its body is not among them: the server has parsed it, and refused what is no number.
    """
    pairs = [line.partition(b":")[::2] for line in lines if b":" in line]
    pairs = [(name, value) for name, value in pairs if name.strip().lower() != b"content-length"]
    return {
        "type": "http", "method": method, "path": path, "query_string": query, "scheme": "http",
        "headers": [(name.strip().lower(), value.strip()) for name, value in pairs], "client": ("192.0.2.1", 4000),
    }  # fmt: skip


class _Tags(html.parser.HTMLParser):
    """The elements of a page, and the value of its field."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.value: str | None = None
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append(f"{tag} {' '.join(name for name, _ in attrs)}")
        self.value = dict(attrs).get("value", self.value)


def forms() -> Run:
    """A page's address and form: lines of the query, the content type, another header, and the body behind them."""

    def page(text: str) -> str:
        box = fields.field("name", "Name", value=text, faults={"name": text}, hint=text)
        return str(fields.form("/account", box, fields.choice("a", "A", [(text, text)]), button="Save"))

    usual = _Tags(page("ana")).tags

    def run(data: bytes) -> None:
        query, kind, more, body = (*data.split(b"\n", 3), b"", b"", b"", b"")[:4]

        async def receive() -> dict:
            return {"type": "http.request", "body": body, "more_body": False}

        scope = scope_of([b"content-type:" + kind, more], path="/account", query=query)
        try:
            visit = now(read_visit(scope, receive, secure=False))
        except (Unread, MalformedBody):
            return
        shown = [*visit.query.values(), *(value for values in visit.form.values() for value in values)]
        for text in [visit.text("name"), visit.done, visit.host, *shown][:8]:
            seen = _Tags(page(text))
            # Without a text there is no fault and no hint, and so fewer elements.
            if text and seen.tags != usual:
                raise Found(f"the text {text!r} makes elements of its own: {seen.tags}")
            if seen.value is not None and seen.value != text:
                raise Found(f"the text {text!r} is shown as {seen.value!r}")

    return run


UI_TOKEN, METRICS_TOKEN = b"token-of-the-app", "token-of-metrics"


def identities() -> Run:
    """Cookies and ``Authorization`` before a guard that knows nobody: a path, then a header a line."""
    from aweigh.guard.guard import open_guard

    folder = tempfile.TemporaryDirectory(prefix="aweigh-fuzz-")
    guard = open_guard({}, state_dir=folder.name)
    known = Known(guard, ui_token=UI_TOKEN, metrics_token=METRICS_TOKEN)

    def run(data: bytes) -> None:
        assert folder.name  # it lives as long as what is in it is asked
        path, *lines = data.split(b"\n")
        scope = scope_of(lines, path="/" + path.decode("latin-1"))
        once_cookie_name(scope)
        cookie = session_of(scope)
        try:
            identity, _ = now(known.identify(scope))
        except (Refused, StorageDown):
            return
        said = b"\n".join(lines)
        if identity is SERVER and (UI_TOKEN in said or cookie == UI_TOKEN):
            return
        if identity is METRICS and METRICS_TOKEN.encode() in said and scope["path"] == "/metrics":
            return
        if identity is not None:
            raise Found(f"a stranger is taken for {identity!r}")

    return run


def next_paths() -> Run:
    """Where to go after sign-in: whatever a browser or a proxy makes of it, it is this site."""

    def run(data: bytes) -> None:
        asked = data.decode("utf-8", "replace")
        found = next_path(asked)
        if not found.isascii() or not found.isprintable() or len(found) > 12 * MOST_CHARACTERS:
            raise Found(f"{asked!r} leads to {found!r}, which no header can hold")
        seen = found
        for _ in range(3):
            # As browsers do it: tabs and line ends fall out, a backslash is a slash.
            read = seen.translate({9: None, 10: None, 13: None}).replace("\\", "/")
            there = urlsplit(urljoin("https://here.example/login", read))
            if there.scheme != "https" or there.netloc != "here.example" or not read.startswith("/"):
                raise Found(f"{asked!r} leads to {seen!r}")
            seen = unquote(seen)

    return run


PLACES = (
    Place(),
    Place(frozenset({"models.example.org"}), frozenset({"https://site.example.org"}), 2),
    Place(frozenset({"localhost", "::1"}), proxies=1),
)


def places() -> Run:
    """Host, Origin and what proxies add, a header a line; the first line is a setting of hosts and origins."""
    doors = [Door(place) for place in PLACES]

    async def dropped(message: Any) -> None:
        del message

    async def receive() -> dict:
        raise AssertionError("nothing is read")

    async def enters(door: Door, scope: dict) -> bool:
        try:
            await door.enter(scope)
        except Refused as error:
            await turned_away(error, scope, receive, dropped)
            return False
        return True

    def run(data: bytes) -> None:
        first, *lines = data.split(b"\n")
        text = first.decode("utf-8", "replace")
        for hosts, origins in ((text, None), (None, text)):
            try:
                place_of(hosts=hosts, origins=origins, proxies=0, loopback=False)
            except ConfigError:
                continue
        for door, place in zip(doors, PLACES, strict=True):
            scope = scope_of(lines)
            plain = dict(scope["headers"])
            at_once = len(plain) == len(scope["headers"]) and door.at_once(plain) is not None
            entered = now(enters(door, scope))
            if at_once and not entered:
                raise Found(f"the quick way lets in what the ordinary one does not: {plain!r}")
            client = place.client_of(scope)
            if client != "192.0.2.1" and (not place.proxies or not ipaddress.ip_address(client)):
                raise Found(f"the client is {client!r}")

    return run


def jobs() -> Run:
    """What a job is asked with, and a range of its result: the query, then a header a line."""
    size = 1000

    def run(data: bytes) -> None:
        query, *lines = data.split(b"\n")
        scope = scope_of(lines, path="/v1/jobs", query=query)
        try:
            asked = read_asked(scope)
        except (UnsupportedMedia, Refused):
            asked = None
        if asked is not None and asked.wish.delimiter is not None and len(asked.wish.delimiter) != 1:
            raise Found(f"the delimiter is {asked.wish.delimiter!r}")
        try:
            part = asked_range(scope, size, etag=b'"a"')
        except Refused:
            part = None
        if part is not None and not 0 <= part[0] < part[1] <= size:
            raise Found(f"the range is {part}")
        for read, name in ((media.kind_of, b"content-type"), (media.wanted, b"accept")):
            try:
                read([value for one, value in scope["headers"] if one == name])
            except (UnsupportedMedia, Refused):
                continue

    return run


def oauth() -> Run:
    """The addresses that a provider sends browsers back to: a path, a query, then a header a line; nobody is asked."""
    from aweigh.guard.guard import open_guard
    from aweigh.guard.oidc import open_oidc

    folder = tempfile.TemporaryDirectory(prefix="aweigh-fuzz-")
    said = {"ISSUER": "http://127.0.0.1:9/", "CLIENT_ID": "aweigh", "ROLES": "*=viewer"}
    oidc = open_oidc({f"AWEIGH_OIDC_{name}": value for name, value in said.items()}, state_dir=folder.name)
    assert oidc is not None
    app = OAuth(open_guard({}, state_dir=folder.name), oidc, secure=lambda _: False, knows_hosts=True)

    async def receive() -> dict:
        raise AssertionError("nothing is read")

    def run(data: bytes) -> None:
        query, *lines = data.split(b"\n")
        sent: list[Any] = []

        async def send(message: Any) -> None:
            sent.append(message)

        assert folder.name
        scope = scope_of(lines, method="GET", path="/oauth/callback", query=query)
        try:
            now(app(scope, receive, send))
        except AweighError as error:
            if not isinstance(error, Refused):
                raise
            return
        place = dict(sent[0]["headers"])[b"location"].decode()
        if not place.startswith("/login?problem="):
            raise Found(f"a stranger is sent to {place!r}")

    return run


TARGETS = {
    "form": forms,
    "identity": identities,
    "next_path": next_paths,
    "place": places,
    "jobs": jobs,
    "oauth": oauth,
}
