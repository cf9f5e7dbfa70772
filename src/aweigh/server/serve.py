"""A process that serves: the socket, uvicorn, and what surrounds them."""

import asyncio
import ipaddress
import logging
import os
import socket
import sys
from pathlib import Path

import uvicorn
from starlette.types import ASGIApp

from aweigh.errors import UsageError
from aweigh.server.closing import Seated, Server
from aweigh.server.discreet import install
from aweigh.server.lane import LaneProtocol
from aweigh.server.readiness import Readiness
from aweigh.server.settings import Settings

KEEP_ALIVE_S = 65
"""Longer than what stands in front keeps a connection (60 s mostly), so that it is never closed under a request."""

BACKLOG = 2048
ACCEPTED_A_TURN = 8
"""So many new connections are taken in one turn of the event loop; left alone, uvloop takes one (``listeners``)."""

THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS")


def limit_threads(threads: int) -> None:
    """Tells the numeric libraries how many threads to start, which they read when they are first imported.

    Left alone each takes one a core and spins: HistGradientBoosting took 608 ms a call on a busy machine, 1.1 with one.
    """
    for variable in THREAD_VARIABLES:
        os.environ.setdefault(variable, str(threads))


def write_log(settings: Settings) -> None:
    """Warnings and errors to standard error, a line each; what a client does wrong on the wire is none of them.

    Nothing in them is anybody's data, unless the settings say so (``server/discreet.py``).
    """
    if settings.log_messages != "kept":
        install()
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger("uvicorn.error").setLevel(logging.ERROR)


def is_loopback(host: str) -> bool:
    """Whether every address that the name stands for is this machine's own.

    Raises:
        UsageError: it stands for none.
    """
    return all(ipaddress.ip_address(str(found[4][0]).partition("%")[0]).is_loopback for found in _resolve(host, 0))


def _resolve(host: str, port: int) -> list[tuple[int, int, int, str, tuple[str | int, ...]]]:
    try:
        return socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)  # type: ignore[return-value]
    except (OSError, UnicodeError) as error:
        raise UsageError(f"There is no address {host!r} on this machine.", hint="try --host 127.0.0.1") from error


def bind(host: str, port: int) -> socket.socket:
    """A socket that listens on the address, so that nobody else can; port 0 takes a free one.

    Raises:
        UsageError: the port is taken or may not be had, or there is no such address.
    """
    family, kind, protocol, _, address = _resolve(host, port)[0]
    sock = socket.socket(family, kind, protocol)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        sock.bind(address)
        sock.listen(BACKLOG)
    except OSError as error:
        sock.close()
        raise _cannot_bind(host, port, error) from error
    sock.set_inheritable(True)
    return sock


def bind_unix(path: Path) -> socket.socket:
    """A socket at a path that only this user reaches, for the processes of one server among themselves."""
    path.unlink(missing_ok=True)  # what a process that was killed left there
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    sock.bind(str(path))
    path.chmod(0o600)
    return sock


def _cannot_bind(host: str, port: int, error: OSError) -> UsageError:
    import errno

    if error.errno == errno.EADDRINUSE:
        hint = f"choose another: --port {port + 1}, or 0; what a server left that was killed is gone in two seconds"
        return UsageError(f"Port {port} is taken.", hint=hint)
    if error.errno == errno.EACCES:
        return UsageError(f"Port {port} may not be used by this user.", hint="choose one above 1023: --port 8000")
    return UsageError(f"The address {host}:{port} cannot be had: {error.strerror}.", hint="try --host 127.0.0.1")


def url_of(sock: socket.socket) -> str:
    """How a browser on this machine reaches the socket."""
    host, port = sock.getsockname()[:2]
    address = ipaddress.ip_address(host)
    if address.is_unspecified:
        host = "127.0.0.1" if address.version == 4 else "[::1]"
    elif address.version == 6:
        host = f"[{host}]"
    return f"http://{host}:{port}"


def make_server(
    app: ASGIApp, *, settings: Settings, readiness: Readiness, websockets: bool, seated: Seated | None = None
) -> Server:
    """The server of an app, to be run with its sockets; ``websockets``: whether anything behind the app takes them.

    ``seated`` is given where it is one process of several.
    """
    config = uvicorn.Config(
        app,
        http=LaneProtocol,
        ws=_websocket_protocol() if websockets else "none",
        # As Streamlit's own server does: packing the messages of one change takes 2 to 4 ms of CPU.
        ws_per_message_deflate=False,
        lifespan="on",
        log_config=None,
        access_log=False,
        # Who the client is, is the gate's to decide: a header of the client's is no proof.
        proxy_headers=False,
        server_header=False,
        backlog=BACKLOG,
        timeout_keep_alive=KEEP_ALIVE_S,
    )
    return Server(config, readiness=readiness, settings=settings, seated=seated)


def _websocket_protocol() -> type[asyncio.Protocol]:
    """What speaks WebSocket. What it needs comes with the app, and a server without one may be without it."""
    from aweigh.server.upgrade import BoundedWebSocket

    return BoundedWebSocket


def listeners(sock: socket.socket, *, shared: bool) -> list[socket.socket]:
    """The socket as often as connections are to be taken from it in one turn of the event loop.

    libuv takes one a turn, and a turn answers every connection that has asked: of clients that come together to a
    server at work, each waits as many turns as there are before it. It is meant to spread connections over processes
    that share a socket, and so is left as it is there.
    """
    if shared or sys.platform == "win32":  # where asyncio's own loop takes all that wait
        return [sock]
    return [sock, *(sock.dup() for _ in range(ACCEPTED_A_TURN - 1))]


def run(
    app: ASGIApp,
    sock: socket.socket,
    *,
    settings: Settings,
    readiness: Readiness,
    websockets: bool,
    seated: Seated | None = None,
    shared: bool = False,
) -> None:
    """Serves the app on the socket until SIGTERM or SIGINT, and until what is under way then is finished.

    ``shared``: whether other processes take connections from the socket, too.
    """
    server = make_server(app, settings=settings, readiness=readiness, websockets=websockets, seated=seated)
    server.run(sockets=listeners(sock, shared=shared))
