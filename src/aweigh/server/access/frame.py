"""The document around every page: head, top bar, the look of the app, and a content security policy of its own."""

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib import resources

from starlette.responses import Response

from aweigh.guard.identity import Identity, Role
from aweigh.server.access.cookies import Header
from aweigh.server.access.markup import Child, Html, joined, tag
from aweigh.wire import palette

ACCOUNT_TABS = (("/account", "Account"), ("/account/keys", "API keys"))
ADMIN_TABS = (("/admin", "People"), ("/admin/keys", "API keys"), ("/admin/log", "Audit log"))


@dataclass(frozen=True, slots=True)
class Page:
    """What a page shows: ``width`` is narrow, middle or wide; ``tab`` says where it stands among its ``tabs``."""

    title: str
    body: Child
    lead: Child = None
    width: str = "middle"
    tab: str = ""
    tabs: Sequence[tuple[str, str]] = ()
    script: bool = False
    wrong: bool = False
    status: int = 200
    headers: Sequence[Header] = field(default=())


class Frame:
    """The frame of an app with this title and accent (``#rrggbb``)."""

    def __init__(self, *, title: str, accent: str | None) -> None:
        self.title = title
        light, dark = palette.light(accent), palette.dark(accent)
        css = palette.css_variables(light=light, dark=dark) + _asset("access.css")
        script = _asset("access.js")
        self._style = Html(f"<style>{css}</style>")
        self._script = Html(f"<script>{script}</script>")
        self._head = joined(
            tag("meta", charset="utf-8"),
            tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
            tag("meta", name="color-scheme", content="light dark"),
            tag("meta", name="theme-color", media="(prefers-color-scheme: light)", content=light.ground),
            tag("meta", name="theme-color", media="(prefers-color-scheme: dark)", content=dark.ground),
            tag("meta", name="robots", content="noindex"),
            tag("link", rel="icon", href=palette.anchor_icon(light.accent)),
        )
        self._policy = (
            f"default-src 'none'; style-src {_hash(css)}; img-src data:; form-action 'self'; "
            "frame-ancestors 'none'; base-uri 'none'"
        )
        self._policy_with_script = f"{self._policy}; script-src {_hash(script)}"

    def answer(self, page: Page, *, identity: Identity | None) -> Response:
        """The page as it is sent: never stored, in nobody's frame."""
        policy = self._policy_with_script if page.script else self._policy
        response = Response(self._document(page, identity), status_code=page.status, media_type="text/html")
        response.headers["content-security-policy"] = policy
        response.headers["x-frame-options"] = "DENY"
        response.headers["cache-control"] = "no-store"
        response.raw_headers.extend(page.headers)
        return response

    def _document(self, page: Page, identity: Identity | None) -> str:
        first = "Problem: " if page.wrong else ""
        title = tag("title", f"{first}{page.title} · {self.title}")
        main = tag(
            "main",
            tag("h1", page.title),
            tag("p", page.lead, class_="lead") if page.lead else None,
            self._tabs(page),
            page.body,
            id="main",
            class_=page.width,
        )
        body = tag(
            "body",
            tag("a", "Go to the content", href="#main", class_="skip") if identity is not None else None,
            self._top(page, identity),
            main,
            self._script if page.script else None,
        )
        return f"<!doctype html>\n{tag('html', tag('head', self._head, title, self._style), body, lang='en')}\n"

    def _top(self, page: Page, identity: Identity | None) -> Html:
        anchor = tag(
            "svg",
            joined(tag("circle", cx=16, cy="6.5", r="3.6"), tag("path", d=palette.ANCHOR)),
            viewBox="0 0 32 32",
            fill="none",
            stroke="currentColor",
            stroke_width="2.8",
            stroke_linecap="round",
            aria_hidden="true",
        )
        brand = tag("a", anchor, tag("span", self.title), class_="brand", href="/")
        if identity is None:
            return tag("header", brand, class_="top")
        links = [("/account", "Account", page.tabs == ACCOUNT_TABS)]
        if identity.role == Role.ADMIN:
            links.append(("/admin", "Admin", page.tabs == ADMIN_TABS))
        made = [tag("a", text, href=href, aria_current="true" if here else None) for href, text, here in links]
        made.append(tag("a", "Sign out", href="/logout"))
        return tag("header", brand, tag("nav", made, aria_label="You"), class_="top")

    def _tabs(self, page: Page) -> Child:
        if not page.tabs:
            return None
        here = {page.tab: "page"}
        made = [tag("a", text, href=href, aria_current=here.get(href)) for href, text in page.tabs]
        return tag("nav", made, class_="tabs", aria_label="In this part")


def see_other(path: str, *headers: Header) -> Response:
    """303: the form has been taken, go on to a page."""
    response = Response(status_code=303, headers={"location": path, "cache-control": "no-store"})
    response.raw_headers.extend(headers)
    return response


def _asset(name: str) -> str:
    return resources.files("aweigh.server").joinpath("page", name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    return "'sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() + "'"
