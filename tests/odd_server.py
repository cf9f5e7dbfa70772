"""Servers that do what no good one does: any answer a test wants, answers that break off, connections that are cut."""

import socket
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass(frozen=True)
class Asked:
    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True)
class Answer:
    """An answer; after `cut` bytes of its body the connection breaks."""

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    cut: int | None = None


class Quiet(ThreadingHTTPServer):
    """Clients that hang up are what it is for."""

    daemon_threads = True

    def handle_error(self, *_):
        """Say nothing."""


class OddServer:
    """An HTTP server on this machine that gives what `respond` says; `asked` is all that it was asked."""

    def __init__(self) -> None:
        self.asked: list[Asked] = []
        self.respond: Callable[[Asked], Answer] = lambda asked: Answer(404)
        self._server = Quiet(("127.0.0.1", 0), self._handler())
        self.host = f"127.0.0.1:{self._server.server_port}"
        self.url = f"http://{self.host}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self._thread.start()

    def in_turn(self, *answers: Answer) -> None:
        """Give these answers, one after the other, and the last one from then on."""
        left = list(answers)
        self.respond = lambda asked: left.pop(0) if len(left) > 1 else left[0]

    def close(self) -> None:
        """Stop answering."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            wbufsize = 2**16

            def log_message(self, *_):
                """Say nothing."""

            def _any(self):
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                asked = Asked(self.command, self.path, {k.lower(): v for k, v in self.headers.items()}, body)
                outer.asked.append(asked)
                answer = outer.respond(asked)
                self.send_response(answer.status)
                for name, value in answer.headers.items():
                    self.send_header(name, value)
                if "Content-Length" not in answer.headers:
                    self.send_header("Content-Length", str(len(answer.body)))
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(answer.body[: answer.cut])
                if answer.cut is not None:
                    self.close_connection = True

            do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = _any

        return Handler


class CuttingProxy:
    """A way to a server that breaks: each of `cuts` is how many bytes a connection carries before it is cut.

    They are counted of what is sent (`upwards`), or else of what comes back; afterwards connections last.
    `carried` are all of these bytes together.
    """

    def __init__(self, port: int, cuts: list[int], *, upwards: bool) -> None:
        self._port, self._upwards = port, upwards
        self.cuts = list(cuts)
        self.carried = 0
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.host = f"127.0.0.1:{self._socket.getsockname()[1]}"
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def close(self) -> None:
        """Take no more connections."""
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        for one in self._threads:
            one.join(5)

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._socket.accept()
            except OSError:
                return
            far = socket.create_connection(("127.0.0.1", self._port))
            for source, target, up in ((near, far, True), (far, near, False)):
                thread = threading.Thread(target=self._carry, args=(source, target, up), daemon=True)
                self._threads.append(thread)
                thread.start()

    def _carry(self, source: socket.socket, target: socket.socket, up: bool) -> None:
        carried, counts = 0, up == self._upwards
        with suppress(OSError):
            while piece := source.recv(65536):
                carried += len(piece)
                self.carried += len(piece) if counts else 0
                target.sendall(piece)
                if counts and self.cuts and carried >= self.cuts[0]:
                    self.cuts.pop(0)
                    break
        for one in (source, target):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()
