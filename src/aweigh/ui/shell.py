"""The page around Streamlit's: its head, stylesheet and first paint are ours, and a path that no page has is a 404."""

import hashlib
import re
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from html import escape
from pathlib import Path
from typing import Any

import anyio.to_thread
from starlette.datastructures import Headers
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from aweigh.ui.first_page import show_first_page
from aweigh.wire.kept import FOR_EVER, Kept
from aweigh.wire.palette import Theme, anchor_icon, css_variables

ASSETS = "_aweigh"
"""First part of the paths of our own stylesheet and script."""

_STATIC = Path(__file__).with_name("static")
_SHEETS = ("frame.css", "form.css", "answer.css", "batch.css", "model.css")
"""In this order they are one stylesheet: where rules weigh the same, the later one holds."""

_MEDIA = {"page.css": "text/css", "page.js": "text/javascript", "start.js": "text/javascript"}


class Shell:
    """Streamlit's ASGI app, its HTML page replaced by one with our head; everything else is passed on."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        title: str,
        light: Theme,
        dark: Theme,
        pages: Iterable[str],
        streamlit_paths: frozenset[str],
        token: str | None = None,
    ) -> None:
        self._token = token
        self._app = app
        self._pages = frozenset({"", *pages})
        self._streamlit_paths = streamlit_paths
        self._assets = {name: _asset(name, media, light=light, dark=dark) for name, media in _MEDIA.items()}
        page = _page(title, light=light, dark=dark, assets=self._assets)
        self._page = Kept(page.encode(), media=b"text/html; charset=utf-8")
        self._missing = _missing(title, assets=self._assets)

    def lifespan(self) -> Callable[[Any], AbstractAsyncContextManager[None]]:
        """What starts and stops Streamlit's runtime; the pages are imported before the first visitor comes."""
        inner: Callable[[Any], AbstractAsyncContextManager[None]] = self._app.lifespan()  # type: ignore[attr-defined]

        @asynccontextmanager
        async def entered(app: Any) -> AsyncIterator[None]:
            async with inner(app):
                await anyio.to_thread.run_sync(_import_pages)
                yield
            _close()

        return entered

    async def warm(self) -> None:
        """Shows the first page to nobody, so that the first visitor need not wait for what it brings with it."""
        await show_first_page(self._app, token=self._token)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request or pass it on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        parts = scope["path"].lstrip("/").split("/")
        if parts[0] in self._streamlit_paths:
            await self._app(scope, receive, send)
            return
        kept = self._kept(parts) if scope["method"] in {"GET", "HEAD"} else None
        if kept is not None:
            await kept.send(scope, send)
            return
        response = self._nothing(scope)
        await response(scope, receive, send)

    def _kept(self, parts: list[str]) -> Kept | None:
        if parts[0] in self._pages and not any(parts[1:]):
            return self._page
        return self._assets[parts[-1]].kept if parts[0] == ASSETS and parts[-1] in self._assets else None

    def _nothing(self, scope: Scope) -> Response:
        if "text/html" in Headers(scope=scope).get("accept", ""):
            return HTMLResponse(self._missing, status_code=404)
        problem = {"type": "about:blank", "title": "Not found", "status": 404, "code": "not_found"}
        return JSONResponse(problem, status_code=404, media_type="application/problem+json")


def _import_pages() -> None:
    import aweigh.ui.frame  # noqa: F401


def _close() -> None:
    from aweigh.ui.api import close_all

    close_all()


class Asset:
    """A file of ours as it is sent; its address changes with its bytes, so that browsers may keep it."""

    def __init__(self, name: str, body: bytes, media: str) -> None:
        self.kept = Kept(body, media=f"{media}; charset=utf-8".encode(), cache=FOR_EVER)
        self.href = f"./{ASSETS}/{hashlib.sha256(body).hexdigest()[:12]}/{name}"


def _asset(name: str, media: str, *, light: Theme, dark: Theme) -> Asset:
    files = _SHEETS if media == "text/css" else (name,)
    text = "\n".join((_STATIC / file).read_text(encoding="utf-8") for file in files)
    if media == "text/css":
        text = css_variables(light=light, dark=dark) + text
    return Asset(name, text.encode(), media)


def _page(title: str, *, light: Theme, dark: Theme, assets: dict[str, Asset]) -> str:
    """Streamlit's own page with our head: title, icon, stylesheet, script, and a first paint in the theme's colours."""
    import streamlit

    page = Path(streamlit.__file__).with_name("static").joinpath("index.html").read_text(encoding="utf-8")
    page = re.sub(r"<title>.*?</title>", lambda _: f"<title>{escape(title)}</title>", page, flags=re.DOTALL)
    page = re.sub(r"\s*<!--.*?-->", "", page, flags=re.DOTALL)
    page = re.sub(r"<script>.*?</script>", f'<script src="{assets["start.js"].href}"></script>', page, flags=re.DOTALL)
    page = re.sub(r"\s*<link rel=\"(?:shortcut icon|service-desc)\"[^>]*>", "", page)
    page = re.sub(r"<noscript>.*?</noscript>", f"<noscript>{_NO_SCRIPT}</noscript>", page, flags=re.DOTALL)
    head = (
        f'<link rel="icon" href="{anchor_icon(light.accent)}" />\n'
        f'    <meta name="theme-color" media="(prefers-color-scheme: light)" content="{light.ground}" />\n'
        f'    <meta name="theme-color" media="(prefers-color-scheme: dark)" content="{dark.ground}" />\n'
        '    <meta name="color-scheme" content="light dark" />\n'
        f'    <link rel="stylesheet" href="{assets["page.css"].href}" />\n'
        f'    <script type="module" src="{assets["page.js"].href}"></script>\n  </head>'
    )
    page = page.replace("</head>", head, 1)
    return page.replace('<div id="root"></div>', f'<div id="root">{_loading(title)}</div>', 1)


_NO_SCRIPT = (
    '<p class="aw-alone">This page needs JavaScript. Without it, ask the model through its API: '
    '<a href="./v1/docs">how to call it</a>.</p>'
)


def _loading(title: str) -> str:
    """What is seen before the scripts have come: the page's own shape, empty."""
    bars = "".join(f'<i style="width:{width}%"></i>' for width in (30, 62, 100, 100, 100))
    return f'<div class="aw-loading" role="status"><p>{escape(title)}</p>{bars}<span>Loading</span></div>'


def _missing(title: str, *, assets: dict[str, Asset]) -> str:
    return (
        '<!DOCTYPE html><html lang="en"><head><meta charset="UTF-8" />'
        '<meta name="viewport" content="width=device-width, initial-scale=1" />'
        f'<title>Not found</title><link rel="stylesheet" href="/{assets["page.css"].href.removeprefix("./")}" /></head>'
        '<body><main class="aw-alone"><h1>There is no page here</h1><p>The address may have been cut short, or the '
        "page was never part of this app. Nothing was lost.</p>"
        f'<p><a href="/">Open {escape(title)}</a></p></main></body></html>'
    )
