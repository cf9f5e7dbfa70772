"""A local server that speaks Heroku's Platform API: apps that are built, released, scaled and really run, here.

For a test:

    with HerokuServer(prebuilt=Path(sys.prefix)) as heroku:
        client = httpx.Client(base_url=heroku.url, headers={"Authorization": f"Bearer {heroku.token}"})

and for a person: ``python -m tests.heroku --port 8871``, see `__main__.py`. What each part does like Heroku is said in
its file: `schema.py` (requests are held against the published schema), `api.py` and its neighbours (what is answered),
`builder.py` (from source to slug), `dynos.py` (processes), `router.py` (the way to them), `streams.py` (logs).
"""

import asyncio
import contextlib
import shutil
import socket
import tempfile
import threading
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

import uvicorn
from tests.heroku.gate import Asked, Fault, Gate
from tests.heroku.options import Options
from tests.heroku.platform import Platform

START_S = 30.0


@dataclass(frozen=True, slots=True)
class _Running:
    """A server that serves: ``done`` ends it."""

    loop: asyncio.AbstractEventLoop
    done: asyncio.Event
    platform: Platform
    gate: Gate
    port: int


class HerokuServer:
    """The server, on a thread of its own; any option of `Options` can be given by name."""

    def __init__(self, options: Options | None = None, **changes: Any) -> None:
        self.options = replace(options or Options(), **changes)
        self._own_folder = self.options.folder is None
        self._running: _Running | None = None
        self._thread: threading.Thread | None = None
        self._failed: BaseException | None = None

    def start(self) -> Self:
        """Listen, and return when the first request will be answered."""
        folder = self.options.folder or Path(tempfile.mkdtemp(prefix="aweigh-heroku-"))
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        ready = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(ready,), name="heroku", daemon=True)
        self._thread.start()
        if not ready.wait(START_S) or self._running is None:
            raise RuntimeError("the local Heroku did not start") from self._failed
        return self

    def stop(self) -> None:
        """End every dyno and the server; take its folder away, where it is a temporary one."""
        if self._running is not None and self._thread is not None:
            self._running.loop.call_soon_threadsafe(self._running.done.set)
            self._thread.join()
            self._thread = None
        if self._own_folder:
            shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def url(self) -> str:
        """The API's address, without a slash at the end."""
        return f"http://127.0.0.1:{self._now.port}"

    @property
    def token(self) -> str:
        """What opens the API."""
        return self.options.token

    @property
    def violations(self) -> list[str]:
        """Requests that the schema does not allow: ``PATCH /apps/x/formation: Batch Update: updates/0: ...``."""
        return list(self._now.gate.violations)

    @property
    def off_schema(self) -> list[str]:
        """Answers of this server that the schema does not allow: should be none."""
        return list(self._now.gate.off_schema)

    @property
    def requests(self) -> list[Asked]:
        """All that was asked of the API and of the pre-signed addresses so far, with the status of the answer."""
        return list(self._now.gate.requests)

    def fail_next(
        self,
        method: str,
        path: str,
        status: int = 500,
        id: str = "internal_server_error",  # noqa: A002  (the API's own word)
        message: str = "Internal server error",
        *,
        headers: dict[str, str] | None = None,
        times: int = 1,
        drop: bool = False,
        lose: bool = False,
    ) -> None:
        """Answer the next request to a path (`fnmatch`: ``/apps/*/builds``; ``*`` as method: any) with an error.

        ``drop`` ends the connection without an answer and does nothing; ``lose`` does what was asked and then ends the
        connection, so that the client cannot know.
        """
        body = {"id": id, "message": message}
        self._now.gate.faults.append(Fault(method, path, status, body, headers or {}, times, drop=drop, lose=lose))

    def cut_streams(self, after_bytes: int, *, times: int = 1) -> None:
        """End the connection of the next build, release or log streams after so many bytes."""
        self._now.gate.cuts.extend([after_bytes] * times)

    def app_url(self, name: str) -> str:
        """Return the address of an app, with a slash at the end: what the API calls web_url."""
        return self._now.platform.find_app(name).web_url

    def app_log(self, name: str) -> list[str]:
        """Return the lines of an app's log that are kept, oldest first."""
        return self._now.platform.find_app(name).log.texts()

    def signal_dyno(self, name: str, dyno: str, signal: int) -> None:
        """Send a signal to all processes of a dyno (``web.1``), as a fault of its machine would."""
        app = self._now.platform.find_app(name)
        next(one for one in app.dynos if one.name == dyno).signal(signal)

    @property
    def _now(self) -> _Running:
        if self._running is None:
            raise RuntimeError("the local Heroku was not started")
        return self._running

    def _run(self, ready: threading.Event) -> None:
        try:
            asyncio.run(self._serve(ready))
        except BaseException as error:  # noqa: BLE001  (told to the one who waits in start)
            self._failed = error
            ready.set()

    async def _serve(self, ready: threading.Event) -> None:
        listening = socket.socket()
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(("127.0.0.1", self.options.port))
        port = listening.getsockname()[1]
        platform = Platform(self.options, self.folder, f"http://127.0.0.1:{port}")
        gate = Gate(platform, self.options)
        config = uvicorn.Config(
            gate, http=gate.protocol, ws="none", lifespan="off", log_level="error", timeout_graceful_shutdown=1
        )
        server = uvicorn.Server(config)
        done = asyncio.Event()
        serving = asyncio.create_task(server.serve(sockets=[listening]))
        while not server.started and not serving.done():  # noqa: ASYNC110  (it has no event for that)
            await asyncio.sleep(0.01)
        self._running = _Running(asyncio.get_running_loop(), done, platform, gate, port)
        ready.set()
        await done.wait()
        await platform.close()
        server.should_exit = True
        with contextlib.suppress(asyncio.CancelledError):
            await serving
