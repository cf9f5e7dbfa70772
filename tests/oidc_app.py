"""A server with nothing but sign-in with a provider: the real people, sessions and addresses, and one plain page.

    python oidc_app.py PORT

`/` says who is signed in, `/login` why nobody is. What stands before the whole app stands before this one in brief.
"""

import html
import os
import sys
from urllib.parse import parse_qs

import uvicorn

from aweigh.errors import AweighError
from aweigh.guard.guard import open_guard
from aweigh.guard.oidc import open_oidc
from aweigh.server.access.cookies import is_secure, session_of
from aweigh.server.access.oauth import TOLD, OAuth
from aweigh.server.problems import document_of, encode, status_of

guard = open_guard(os.environ)
oauth = OAuth(guard, open_oidc(os.environ), secure=is_secure, knows_hosts=True)


async def answer(send, status, body, media="text/html; charset=utf-8"):
    headers = [(b"content-type", media.encode()), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def app(scope, receive, send):
    if scope["type"] != "http":
        return
    credential = session_of(scope)
    identity = None if credential is None else guard.identify(credential, "session")
    scope |= {"aweigh.identity": identity, "aweigh.client": scope["client"][0]}
    try:
        if scope["path"].startswith("/oauth/"):
            await oauth(scope, receive, send)
        elif scope["path"] == "/login":
            problem = parse_qs(scope["query_string"].decode()).get("problem", [""])[0]
            told = html.escape(TOLD.get(problem, ""))
            page = f'<h1>Sign in</h1><p id="told">{told}</p><a href="/oauth/start?next=/batch%3Fa%3D1">Provider</a>'
            await answer(send, 200, page.encode())
        else:
            who = "nobody" if identity is None else f"{identity.name}, {identity.role.label}"
            await answer(send, 200, f'<p id="who">{html.escape(who)}</p>'.encode())
    except AweighError as error:
        await answer(send, status_of(error), encode(document_of(error)), "application/problem+json")


if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[1]), lifespan="off", log_level="warning", ws="none")
