"""Section ``rerun``: what one change in the generated page costs the server: a real session over a WebSocket.

The session asks as a browser does: it connects, takes the page, then changes one number and waits until the script has
run; CPU is the whole server's, the API's answer to the page included.
"""

import http.client
import statistics
from collections.abc import Callable
from typing import Any

from bench.models import A, C, Model, ensure
from bench.processes import cpu_s
from bench.servers import AWEIGH, Kind, Server

CHANGES, ROUNDS = 60, 5
WARM = 20
UI = Kind(
    "aweigh-ui",
    "aweigh with its app",
    lambda model, port: [one for one in AWEIGH.command(model, port) if one != "--no-ui"],
    path=AWEIGH.path,
    answers=AWEIGH.answers,
)


def measure(*, tell: Callable[[str], None]) -> dict[str, Any]:
    """``{letter: {"cpu_ms", "changes", "messages", "memory_mb", "start_cpu_s"}}`` for the pages of A and C.

    CPU is the median of some rounds' means: what else runs on the machine shows in one of them more than in another.
    """
    ensure(A, C, tell=tell)
    found = {}
    for model in (A, C):
        found[model.letter] = _of(model)
        tell(f"rerun of {model.letter}'s page: {found[model.letter]}")
    return found


def _of(model: Model) -> dict[str, Any]:
    with Server(UI, model) as server:
        session = Session(server.port)
        try:
            session.change(WARM)
            messages, rounds = 0, []
            for _ in range(ROUNDS):
                before = cpu_s(server.pid)
                messages += session.change(CHANGES)
                rounds.append((cpu_s(server.pid) - before) * 1000 / CHANGES)
        finally:
            session.close()
        return {
            "cpu_ms": round(statistics.median(rounds), 2),
            "changes": CHANGES * ROUNDS,
            "messages": round(messages / CHANGES / ROUNDS, 1),
            "start_cpu_s": round(server.start_cpu_s, 2),
            "memory_mb": round(server.memory_mb(), 1),
        }


class Session:
    """One browser's session, without the browser."""

    def __init__(self, port: int) -> None:
        from websockets.sync.client import connect

        _get(port, "/")
        self._socket = connect(
            f"ws://127.0.0.1:{port}/_stcore/stream", subprotocols=["streamlit"], origin=f"http://127.0.0.1:{port}",
            max_size=None, compression="deflate",  # which every browser offers
        )  # fmt: skip
        self._numbers: dict[str, tuple[float, float]] = {}
        self._hash = self._fragment = ""
        self._rerun({})
        self._until_finished()

    def change(self, times: int) -> int:
        """Changes a number so often, each time to another value; how many messages came of it."""
        if not self._numbers:
            msg = "the page has no field for a number"
            raise RuntimeError(msg)
        widget, (value, step) = next(iter(self._numbers.items()))
        others = {name: given[0] for name, given in self._numbers.items()}
        count = 0
        for i in range(times):
            self._rerun(others | {widget: value + step * (i % 7)})
            count += self._until_finished()
        return count

    def close(self) -> None:
        """Leaves."""
        self._socket.close()

    def _rerun(self, numbers: dict[str, float]) -> None:
        from streamlit.proto.BackMsg_pb2 import BackMsg

        message = BackMsg()
        message.rerun_script.page_script_hash = self._hash
        message.rerun_script.fragment_id = self._fragment
        for widget, value in numbers.items():
            state = message.rerun_script.widget_states.widgets.add()
            state.id, state.double_value = widget, value
        self._socket.send(message.SerializeToString())

    def _until_finished(self) -> int:
        from streamlit.proto.ForwardMsg_pb2 import ForwardMsg

        count = 0
        while True:
            received = self._socket.recv(timeout=30)
            message = ForwardMsg.FromString(received if isinstance(received, bytes) else received.encode())
            count += 1
            kind = message.WhichOneof("type")
            if kind == "new_session":
                self._hash = message.new_session.page_script_hash
            elif kind == "delta" and message.delta.new_element.WhichOneof("type") == "number_input":
                field = message.delta.new_element.number_input
                self._numbers.setdefault(
                    field.id, (field.value if field.set_value else field.default, field.step or 1.0)
                )
                # As in a browser, a change reruns the fragment that the field stands in, where it stands in one.
                self._fragment = message.delta.fragment_id
            elif kind == "script_finished":
                return count


def _get(port: int, path: str) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request("GET", path)
        connection.getresponse().read()
    finally:
        connection.close()
