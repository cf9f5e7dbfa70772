"""What is said to those who may not come in: the way to sign in or a page for people, a problem for programs."""

import base64
import hashlib
import html
from importlib import resources
from urllib.parse import quote

from starlette.types import Receive, Scope, Send

from aweigh.errors import AweighError
from aweigh.guard.rules import READ
from aweigh.server.access.asked import SAFE_METHODS, header
from aweigh.server.access.door import IDENTITY
from aweigh.server.problems import PROBLEM_JSON, document_of, encode, headers_of, sentence_of, status_of

LOOK_AT = "/model"
"""The page for those who may look and not ask."""


async def turned_away(error: AweighError, scope: Scope, receive: Receive, send: Send) -> None:
    """Answer a request that may not come in."""
    del receive
    status, headers, body = _answer(error, scope)
    await send({"type": "http.response.start", "status": status, "headers": [*headers, (b"vary", b"Cookie")]})
    await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})


def _answer(error: AweighError, scope: Scope) -> tuple[int, list[tuple[bytes, bytes]], bytes]:
    path = scope["path"]
    is_page = scope["method"] in SAFE_METHODS and b"text/html" in header(scope, b"accept")
    if is_page and error.code == "not_signed_in":
        return _see("/login?next=" + quote(_asked(scope), safe=""))
    if is_page and error.code == "not_allowed":
        identity = scope.get(IDENTITY)
        if path == "/" and identity is not None and READ.scope in identity.scopes:
            return _see(LOOK_AT)
        return _page(error)
    if path.startswith("/v2"):
        body = encode({"error": sentence_of(error)})
        return status_of(error), headers_of(error, size_bytes=len(body), media=b"application/json"), body
    body = encode(document_of(error))
    return status_of(error), headers_of(error, size_bytes=len(body), media=PROBLEM_JSON), body


def _asked(scope: Scope) -> str:
    query = scope.get("query_string", b"").decode("latin-1")
    path: str = scope["path"]
    return path + (f"?{query}" if query else "")


def _see(place: str) -> tuple[int, list[tuple[bytes, bytes]], bytes]:
    return 303, [(b"location", place.encode()), (b"content-length", b"0"), (b"cache-control", b"no-store")], b""


def _page(error: AweighError) -> tuple[int, list[tuple[bytes, bytes]], bytes]:
    css = resources.files("aweigh.server").joinpath("page", "page.css").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(css.encode()).digest()).decode()
    said = f"<p>{html.escape(error.message)}</p>"
    if error.hint:
        said += f"<p>{html.escape(error.hint[0].upper() + error.hint[1:])}.</p>"
    body = (
        '<!doctype html>\n<html lang="en">\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<title>Not allowed</title>\n<link rel="icon" href="data:,">\n<style>{css}</style>\n'
        f'<main><header><h1>You may not open this page</h1>{said}<p><a href="/account">Your account</a></p></header>'
        "</main>\n</html>\n"
    ).encode()
    policy = (
        f"default-src 'none'; style-src 'sha256-{digest}'; img-src data:; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'"
    )
    headers = [
        (b"content-type", b"text/html; charset=utf-8"),
        (b"content-length", b"%d" % len(body)),
        (b"content-security-policy", policy.encode()),
        (b"cache-control", b"no-store"),
    ]
    return status_of(error), headers, body
