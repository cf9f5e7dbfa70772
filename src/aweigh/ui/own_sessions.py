"""Streamlit's sessions and files, each for the sign-in that it was begun in.

Streamlit takes whoever names a session for the one who began it, and hands a file to whoever has its address. Behind a
door that is not enough: here a session, its uploads and its files are those of one sign-in. The door says in headers
who asks; where it says nothing, as with ``--auth none``, everything is passed on as it came.
"""

import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Any

from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

USER, SESSION = b"x-aweigh-user", b"x-aweigh-session"
"""Headers of the door: who the visitor is, and the sign-in; a key has none."""

NOBODY = b""
"""Whoever is known and has not signed in: nothing is theirs."""

RESUMED = 2
"""Which of the subprotocols that a page names is the session that it goes on with."""

MOST_SESSIONS = 10_000
LEFT_S = 3600.0
"""How long a session that was left is known. Streamlit itself forgets those that were left for some minutes."""

MOST_FILES = 10_000

_PROTOCOLS = b"sec-websocket-protocol"
_MEDIA, _UPLOADS = "media/", "_stcore/upload_file/"


@dataclass(slots=True)
class _Session:
    owner: bytes
    open: int = 0
    left: float = 0.0


class OwnSessions:
    """Streamlit's ASGI app, in the process where its sessions are."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._sessions: dict[str, _Session] = {}
        self._files = _Files()
        self._base = ""

    def lifespan(self) -> Callable[[Any], AbstractAsyncContextManager[None]]:
        """What starts and stops Streamlit's runtime; from then on it is known whose a file is."""
        inner: Callable[[Any], AbstractAsyncContextManager[None]] = self._app.lifespan()  # type: ignore[attr-defined]

        @asynccontextmanager
        async def entered(app: Any) -> AsyncIterator[None]:
            async with inner(app):
                from streamlit import config, runtime

                self._base = (config.get_option("server.baseUrlPath") or "").strip("/") + "/"
                self._files.follow(runtime.get_instance().media_file_mgr)
                yield

        return entered

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on one request or one WebSocket, if what it names belongs to who asks."""
        owner = _owner_of(scope)
        if owner is None:
            await self._app(scope, receive, send)
        elif scope["type"] == "websocket":
            await self._websocket(owner, scope, receive, send)
        elif self._may_have(owner, scope["path"]):
            await self._app(scope, receive, send)
        else:
            await PlainTextResponse("Not Found", status_code=404)(scope, receive, send)

    async def _websocket(self, owner: bytes, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a session, which is a new one if the one that is named is none of the owner's."""
        named = _named(scope)
        if any(named[RESUMED:]) and not self._is_owners(owner, named[RESUMED]):
            scope, receive = _naming(scope, named[:RESUMED]), _running_first(receive)
        mine: _Session | None = None

        async def sent(message: Message) -> None:
            nonlocal mine
            if mine is None and message["type"] == "websocket.send":
                begun = _begun(message.get("bytes") or b"")
                if begun is not None:
                    mine = self._enter(owner, begun)
            await send(message)

        try:
            await self._app(scope, receive, sent)
        finally:
            if mine is not None:
                mine.open -= 1
                mine.left = time.monotonic()

    def _enter(self, owner: bytes, begun: str) -> _Session:
        if len(self._sessions) >= MOST_SESSIONS:
            old = time.monotonic() - LEFT_S
            self._sessions = {name: one for name, one in self._sessions.items() if one.open or one.left > old}
        found = self._sessions.setdefault(begun, _Session(owner))
        found.open += 1
        return found

    def _is_owners(self, owner: bytes, session: str) -> bool:
        found = self._sessions.get(session)
        return found is not None and owner != NOBODY and found.owner == owner

    def _may_have(self, owner: bytes, path: str) -> bool:
        path = path.lstrip("/").removeprefix(self._base.lstrip("/"))
        if path.startswith(_UPLOADS):
            return self._is_owners(owner, path.removeprefix(_UPLOADS).partition("/")[0])
        if path.startswith(_MEDIA):
            return any(self._is_owners(owner, one) for one in self._files.sessions_of(_file_of(path)))
        return True


class _Files:
    """Which sessions were given which file. Streamlit itself forgets it for the time that a script runs anew."""

    def __init__(self) -> None:
        self._sessions: dict[str, frozenset[str]] = {}
        self._most = MOST_FILES
        self._lock = threading.Lock()

    def sessions_of(self, file: str) -> frozenset[str]:
        """The sessions that have the file, or what it will be made from when somebody wants it."""
        return self._sessions.get(file, frozenset())

    def follow(self, media: Any) -> None:
        """From now on hear of all that Streamlit's manager of media files is given; it is called from any thread."""
        add, add_deferred, execute_deferred = media.add, media.add_deferred, media.execute_deferred

        def added(*args: Any, **named: Any) -> str:
            url: str = add(*args, **named)
            self._give(_file_of(url), _this_session(), media)
            return url

        def put_off(*args: Any, **named: Any) -> str:
            file: str = add_deferred(*args, **named)
            self._give(file, _this_session(), media)
            return file

        def made(file: str) -> str:
            url: str = execute_deferred(file)
            self._give(_file_of(url), self.sessions_of(file), media)
            return url

        media.add, media.add_deferred, media.execute_deferred = added, put_off, made

    def _give(self, file: str, sessions: frozenset[str], media: Any) -> None:
        with self._lock:
            if len(self._sessions) >= self._most:
                files = list(self._sessions)
                for one in files[: len(files) // 2]:
                    if media.read_file(one) is None:
                        del self._sessions[one]
                self._most = max(MOST_FILES, 2 * len(self._sessions))
            self._sessions[file] = self._sessions.pop(file, frozenset()) | sessions


def _owner_of(scope: Scope) -> bytes | None:
    """The sign-in that asks; None: nobody is asked who they are."""
    said: dict[bytes, bytes] = {name: value for name, value in scope["headers"] if name in {USER, SESSION}}
    if SESSION in said:
        return said[SESSION].partition(b".")[0]  # what stands behind it is the seal of one process of the door
    return NOBODY if USER in said else None


def _named(scope: Scope) -> list[str]:
    """The subprotocols that the page names, an empty place as an empty text, as Streamlit counts them."""
    found = next((value for name, value in scope["headers"] if name == _PROTOCOLS), b"")
    return [one.strip() for one in found.decode("latin-1").split(",")]


def _naming(scope: Scope, named: list[str]) -> Scope:
    """The same with these subprotocols."""
    headers = [one for one in scope["headers"] if one[0] != _PROTOCOLS]
    headers.append((_PROTOCOLS, ", ".join(named).encode("latin-1")))
    return {**scope, "headers": headers, "subprotocols": [one for one in named if one]}


def _running_first(receive: Receive) -> Receive:
    """What the page says, and before it that the script is to run.

    A page that goes on with a session leaves standing what it shows, be it another person's, until somebody acts.
    """
    asked: list[Message] = []

    async def received() -> Message:
        if asked:
            return asked.pop()
        message = await receive()
        if message["type"] == "websocket.connect":
            from streamlit.proto.BackMsg_pb2 import BackMsg

            run = BackMsg()
            run.rerun_script.query_string = ""
            asked.append({"type": "websocket.receive", "bytes": run.SerializeToString()})
        return message

    return received


def _begun(sent: bytes) -> str | None:
    """The session that a message to the page says to have begun. The page knows it from there, and nobody before."""
    from google.protobuf.message import DecodeError
    from streamlit.proto.ForwardMsg_pb2 import ForwardMsg

    message = ForwardMsg()
    try:
        message.ParseFromString(sent)
    except DecodeError:
        return None
    if message.WhichOneof("type") != "new_session":
        return None
    found: str = message.new_session.initialize.session_id
    return found or None


def _file_of(address: str) -> str:
    """The id of the file at an address, which has a suffix behind it."""
    return address.rpartition("/")[2].partition(".")[0]


def _this_session() -> frozenset[str]:
    """The session whose script runs in this thread."""
    from streamlit.runtime.scriptrunner import get_script_run_ctx

    found = get_script_run_ctx(suppress_warning=True)
    return frozenset() if found is None else frozenset({found.session_id})
