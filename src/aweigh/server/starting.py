"""The page that people see while the app's processes start: it tries again by itself, without a script."""

import base64
import hashlib
import html
from importlib import resources

from starlette.responses import Response

AGAIN_S = 2


def starting_page(title: str) -> Response:
    """The answer for a browser that comes too early: 503, in the look of the server's other pages."""
    css = resources.files("aweigh.server").joinpath("page", "page.css").read_text(encoding="utf-8")
    name = html.escape(title)
    content = (
        '<!doctype html>\n<html lang="en">\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<meta http-equiv="refresh" content="{AGAIN_S}">\n'
        f'<title>{name}</title>\n<link rel="icon" href="data:,">\n<style>{css}</style>\n'
        f'<main><header><h1>{name}</h1><p role="status">The app is starting. This page opens it by itself in a moment.'
        "</p></header></main>\n</html>\n"
    )
    digest = base64.b64encode(hashlib.sha256(css.encode()).digest()).decode()
    headers = {
        "content-security-policy": f"default-src 'none'; style-src 'sha256-{digest}'; img-src data:; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
        "cache-control": "no-store",
        "retry-after": str(AGAIN_S),
    }
    return Response(content, status_code=503, media_type="text/html", headers=headers)
