"""A pod's port on a port of this machine, through the API: a WebSocket for each connection (``v4.channel.k8s.io``).

A message begins with its channel: 0 carries data both ways, 1 what went wrong there; the first message of each names
the port. What is asked through it carries its own ``Authorization``, which the Service's proxy (``proxied.py``) keeps.
"""

import contextlib
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from aweigh.errors import RemoteError
from aweigh.registry import require
from aweigh.targets.kubernetes.client import CONNECT_S, Client, segment
from aweigh.targets.kubernetes.credentials import tls_context
from aweigh.targets.kubernetes.errors import NoForward, quote
from aweigh.targets.live import is_loopback

if TYPE_CHECKING:
    from websockets.sync.client import ClientConnection

PROTOCOL = "v4.channel.k8s.io"
DATA, ERROR = 0, 1
_PIECE = 65536


@contextmanager
def forwarded(client: Client, pod: str, port: int) -> Iterator[str]:
    """The address at which a pod's port answers on this machine, while it lasts.

    Raises:
        NoForward: the cluster, or something on the way, does not take such a connection.
    """
    tunnels = _Tunnels(client, pod, port)
    listener = tunnels.listener
    try:
        threading.Thread(target=tunnels.serve, daemon=True).start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        # Not close alone: it would leave the thread in accept.
        with contextlib.suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        tunnels.close()


class _Tunnels:
    """What is open of one forward."""

    def __init__(self, client: Client, pod: str, port: int) -> None:
        self._client, self._pod, self._port = client, pod, port
        self._kept = ExitStack()
        self._open: list[ClientConnection] = []
        self._waiting: ClientConnection | None = self._connected()
        self.listener = socket.create_server(("127.0.0.1", 0))

    def _connected(self) -> "ClientConnection":
        found = _connected(self._client, self._pod, self._port, kept=self._kept)
        self._open.append(found)
        return found

    def serve(self) -> None:
        """Takes connections until the listener is closed."""
        while True:
            try:
                near, _ = self.listener.accept()
            except OSError:
                return
            far, self._waiting = self._waiting, None
            try:
                far = far or self._connected()
            except RemoteError:
                near.close()
                continue
            threading.Thread(target=_to_pod, args=(near, far), daemon=True).start()
            threading.Thread(target=_from_pod, args=(near, far), daemon=True).start()

    def close(self) -> None:
        """Ends them all."""
        for one in self._open:
            # Not its own close, which waits for the other side's word.
            with contextlib.suppress(OSError):
                one.socket.shutdown(socket.SHUT_RDWR)
        self._kept.close()


def _connected(client: Client, pod: str, port: int, *, kept: ExitStack) -> "ClientConnection":
    require("websockets", what="reaching a pod", extra="deploy")
    from websockets.exceptions import InvalidStatus, WebSocketException
    from websockets.sync.client import connect
    from websockets.typing import Subprotocol

    connection = client.connection
    server = connection.server
    path = f"/api/v1/namespaces/{segment(client.namespace)}/pods/{segment(pod)}/portforward?ports={port}"
    headers = client.headers()
    headers.pop("Accept")
    is_tls = urlsplit(server).scheme == "https"
    try:
        opened = connect(
            "ws" + server.removeprefix("http") + path,
            ssl=tls_context(connection, client.wallet.credentials()) if is_tls else None,
            server_hostname=connection.server_name if is_tls else None,
            subprotocols=[Subprotocol(PROTOCOL)],
            additional_headers=[*headers.items(), *connection.user.impersonated],
            compression=None,
            proxy=connection.proxy or (None if is_loopback(server) else True),
            open_timeout=CONNECT_S,
            ping_interval=None,
            close_timeout=1.0,
            max_size=None,
        )
        found = kept.enter_context(opened)
    except InvalidStatus as error:
        status = error.response.status_code
        why = {
            403: "this user may not (it takes get and create on pods/portforward)",
            401: "the credentials are not accepted",
            404: "there is no such pod",
        }.get(status, f"status {status}")
        raise NoForward(f"The cluster forwards no port of the pod {pod}: {why}.", hint=_hint(client)) from error
    except (WebSocketException, OSError, ValueError) as error:
        told = quote(str(error)) or type(error).__name__
        raise NoForward(f"The cluster forwards no port of the pod {pod}: {told}.", hint=_hint(client)) from error
    if found.subprotocol != PROTOCOL:
        raise NoForward(
            f"The cluster forwards no port of the pod {pod} by {PROTOCOL}.", hint="a proxy in between may drop it"
        )
    return found


def _hint(client: Client) -> str:
    return (
        f"kubectl auth can-i create pods/portforward -n {client.namespace}; a proxy in between may not let it through"
    )


def _to_pod(near: socket.socket, far: "ClientConnection") -> None:
    from websockets.exceptions import WebSocketException

    with contextlib.suppress(OSError, WebSocketException):
        while piece := near.recv(_PIECE):
            far.send(bytes([DATA]) + piece)
    # There is no end of one direction alone: whoever stops to write here has its whole answer, or wants none.
    with contextlib.suppress(OSError, WebSocketException):
        far.socket.shutdown(socket.SHUT_RDWR)


def _from_pod(near: socket.socket, far: "ClientConnection") -> None:
    from websockets.exceptions import WebSocketException

    begun: set[int] = set()
    with contextlib.suppress(OSError, WebSocketException):
        for message in far:
            if not isinstance(message, bytes) or not message:
                continue
            channel, piece = message[0], message[1:]
            if channel not in begun:
                begun.add(channel)
                piece = piece[2:]
            if channel == ERROR and piece:
                break
            if channel == DATA and piece:
                near.sendall(piece)
    with contextlib.suppress(OSError):
        near.shutdown(socket.SHUT_RDWR)
    near.close()
