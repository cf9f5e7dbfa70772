"""The assembled app behind a closed door, served from a thread: somebody of every role, a key of every scope."""

import contextlib
import functools
import threading
import time
from dataclasses import dataclass

import httpx
import pytest
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route, WebSocketRoute
from tests.integration.conftest import bundles, penguins

from aweigh.bundle.verify import verify
from aweigh.guard.disclosure import by_role
from aweigh.guard.guard import open_guard
from aweigh.guard.identity import SCOPES_OF, Role
from aweigh.runtime.load import load
from aweigh.secret import Secret
from aweigh.server.access.asked import Place
from aweigh.server.access.door import Door
from aweigh.server.access.entrance import Entrance
from aweigh.server.access.known import Known
from aweigh.server.access.pages import Pages
from aweigh.server.app import create_app
from aweigh.server.jobs.door import Door as Jobs
from aweigh.server.readiness import Readiness
from aweigh.server.serve import bind, make_server, url_of
from aweigh.server.settings import Settings

__all__ = ["bundles", "penguins"]

PASSWORD = "otter gravel ninety"


class AnyApp:
    """A UI that answers 200 to every path and every WebSocket, as Streamlit does, and remembers what it was told."""

    def __init__(self):
        self.seen = []

        async def everything(request):
            self.seen.append(dict(request.headers))
            return PlainTextResponse("the app")

        async def socket(websocket):
            self.seen.append(dict(websocket.headers))
            await websocket.accept()
            with contextlib.suppress(Exception):
                while True:
                    await websocket.send_text(await websocket.receive_text())

        class Any(Route):
            def __init__(self):
                super().__init__("/{p:path}", everything)
                self.methods = None

        self.app = Starlette(routes=[WebSocketRoute("/{p:path}", socket), Any()])

    async def __call__(self, scope, receive, send):
        await self.app(scope, receive, send)

    def lifespan(self):
        return self.app.router.lifespan_context


@dataclass
class House:
    """What is served, and who there is."""

    url: str
    app: object
    ui: AnyApp
    guard: object
    cookies: dict[str, dict[str, str]]
    keys: dict[str, str]
    row: dict[str, object]
    rows: list[dict[str, object]]

    def client(self, *, role=None, key=None, **headers):
        """Return a client that is signed in with a role, or has a key of one scope."""
        if role is not None:
            headers["Cookie"] = "; ".join(f"{name}={value}" for name, value in self.cookies[role].items())
        if key is not None:
            headers["Authorization"] = f"Bearer {self.keys[key]}"
        return httpx.Client(base_url=self.url, headers=headers, trust_env=False, timeout=20)


@pytest.fixture(scope="module")
def house(penguins, tmp_path_factory):
    with opened(penguins, tmp_path_factory.mktemp("door")) as found:
        yield found


@pytest.fixture(scope="session")
def open_house(penguins):
    """Return a function that opens a house of its own, with settings of its own."""
    return functools.partial(opened, penguins)


@contextlib.contextmanager
def opened(
    penguins,
    folder,
    *,
    environ=None,
    disclosure=None,
    jobs=False,
    sweeps="on",
    deploy_secret=None,
    cache_bytes=None,
):
    folder.mkdir(mode=0o700, exist_ok=True)
    folder.chmod(0o700)
    guard = open_guard(environ or {}, state_dir=str(folder / "state"))
    predictor = load(verify(penguins.path))
    ui = AnyApp()
    told = None if disclosure is None else by_role(disclosure)
    known = Known(guard, metrics_token="scraper", deploy_secret=deploy_secret, disclosure=told)
    door = Door(Place(), known=known)
    readiness = Readiness()
    settings = Settings(
        metrics_token=Secret("scraper"), state_dir=str(folder / "jobs"), sweeps=sweeps, cache_bytes=cache_bytes
    )
    entrance = Entrance(door, Pages(guard, title="Penguins", accent=None, secure=door.is_secure))
    kept = None
    if jobs:
        kept = Jobs(settings, predictor=predictor, readiness=readiness, command=["true"], environ={})
    app = create_app(predictor, settings=settings, ui=ui, readiness=readiness, entrance=entrance, jobs=kept)
    with served(app, readiness, settings) as url:
        port = url.rpartition(":")[2]
        cookies, keys = {}, {}
        for role in Role:
            person = guard.add_person(role.name.lower(), role, by=None)
            guard.set_password(person.id, PASSWORD, by=None)
            signed = guard.sign_in(role.name.lower(), PASSWORD, "", client="192.0.2.1")
            cookies[role.name.lower()] = {f"aweigh_{port}": signed.cookie.reveal()}
        for scope in SCOPES_OF[Role.ADMIN]:
            _, text = guard.add_key(guard.person("admin"), scope, [scope], by=None)
            keys[scope] = text.reveal()
        rows = [dict(row) for row in predictor.examples.rows]
        yield House(url, app, ui, guard, cookies, keys, rows[0], rows)
    guard.close()


@contextlib.contextmanager
def served(app, readiness, settings):
    with bind("127.0.0.1", 0) as sock:
        server = make_server(app, settings=settings, readiness=readiness, websockets=True)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [sock]})
        url = url_of(sock)
        thread.start()
        try:
            end = time.monotonic() + 20
            while not (server.started and readiness.proven):
                assert time.monotonic() < end
                time.sleep(0.01)
            yield url
        finally:
            server.should_exit = True
            thread.join(20)
