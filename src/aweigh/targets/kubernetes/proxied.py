"""A Service on a port of this machine, through the API's proxy: for clusters that forward no port.

The API takes ``Authorization`` for itself, so that an app behind a door cannot be asked this way.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import msgspec

from aweigh.errors import RemoteError
from aweigh.targets.kubernetes.client import Client, Request, segment

MOST_BYTES = 16 * 2**20


@contextmanager
def proxied(client: Client, service: str, port: int | str) -> Iterator[str]:
    """The address at which a Service answers on this machine, while it lasts."""
    base = f"/api/v1/namespaces/{segment(client.namespace)}/services/{segment(f'http:{service}:{port}')}/proxy"
    lock = threading.Lock()

    class Near(BaseHTTPRequestHandler):
        """One question, passed on."""

        protocol_version = "HTTP/1.1"
        timeout = 60

        def do_GET(self) -> None:
            """Asks."""
            self._pass_on(None)

        def do_POST(self) -> None:
            """Asks with a body."""
            length = min(int(self.headers.get("Content-Length") or 0), MOST_BYTES)
            try:
                body = msgspec.json.decode(self.rfile.read(length))
            except msgspec.DecodeError:
                self.send_error(400)
                return
            self._pass_on(body)

        def _pass_on(self, body: object) -> None:
            request = Request(self.command, base + self.path, "to ask the app", body=body)
            try:
                with lock:
                    status, answer = client.passed_on(request)
            except RemoteError:
                status, answer = 502, b""
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: object) -> None:
            """Says nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Near)
    server.daemon_threads = True
    running = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    running.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        running.join(5)
