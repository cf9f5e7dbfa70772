"""The door's pages behind a small gate, on a port: `python access_app.py PORT STATE_DIR [--provider NAME]`.

The gate does what the server's own does for these pages: it says who asks, from where, and refuses other sites' forms.
"""

import argparse
import html
import sys
from urllib.parse import quote, urlsplit

import anyio.to_thread
import uvicorn
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from aweigh.errors import StorageDown
from aweigh.guard.guard import open_guard
from aweigh.server.access.cookies import session_of
from aweigh.server.access.pages import Pages
from aweigh.server.access.sign_in import Provider

PATHS = {"login", "logout", "invite", "oauth", "account", "admin"}


class Gate:
    def __init__(self, guard, pages):
        self._guard = guard
        self._pages = pages

    async def __call__(self, scope, receive, send):
        if scope["type"] != "http":
            raise NotImplementedError(scope["type"])
        request = Request(scope)
        # As behind one proxy: the tests come from many places.
        scope["aweigh.client"] = request.headers.get("x-forwarded-for", scope["client"][0])
        credential = session_of(scope)
        scope["aweigh.identity"] = None
        if credential is not None:
            scope["aweigh.identity"] = await anyio.to_thread.run_sync(self._guard.identify, credential, "session")
        authorization = request.headers.get("authorization", "")
        if authorization.startswith("Bearer "):
            key = authorization.removeprefix("Bearer ").encode()
            scope["aweigh.identity"] = await anyio.to_thread.run_sync(self._guard.identify, key, "key")
        response = None
        origin = request.headers.get("origin")
        if request.method not in {"GET", "HEAD"} and origin and urlsplit(origin).netloc != request.headers["host"]:
            response = Response("another site", status_code=403)
        elif scope["path"].strip("/").split("/")[0] in PATHS:
            response = self._pages
        elif scope["aweigh.identity"] is None:
            response = RedirectResponse("/login?next=" + quote(scope["path"], safe=""), status_code=303)
        else:
            response = HTMLResponse(f"<title>app</title><h1>The app at {html.escape(scope['path'])}</h1>")

        async def sent(message):
            if message["type"] == "http.response.start":
                more = [(b"x-content-type-options", b"nosniff"), (b"referrer-policy", b"same-origin")]
                message["headers"] = [*message["headers"], *more]
            await send(message)

        await response(scope, receive, sent)


async def refusing(scope, receive, send):
    raise StorageDown("People cannot be looked up just now.", hint="try again in a minute")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("port", type=int)
    parser.add_argument("state_dir")
    parser.add_argument("--title", default="Penguin species")
    parser.add_argument("--provider")
    asked = parser.parse_args()
    guard = open_guard({}, state_dir=asked.state_dir)
    provider = asked.provider and Provider(asked.provider, refusing, {"provider_down": "It cannot be reached."})
    pages = Pages(guard, title=asked.title, provider=provider)
    uvicorn.run(Gate(guard, pages), port=asked.port, log_level="warning", lifespan="off", access_log=False)
    guard.close()
    sys.exit(0)


if __name__ == "__main__":
    main()
