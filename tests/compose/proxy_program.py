"""The proxy of the stand-in: what comes to its two ports goes on, connection by connection, to one slot or the other.

As the real one does it looks each time whether a file is there; which containers are in a slot it reads of the
stand-in's folder.
"""

import itertools
import json
import socket
import sys
import threading
from pathlib import Path

FOLDER, LIVE, PROJECT = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
PORTS = [int(one) for one in sys.argv[4:]]
TURN = itertools.count()


def of_slot(service: str) -> list[int]:
    """The ports of a slot's containers."""
    found = []
    for path in (FOLDER / "containers").glob(f"{PROJECT}-{service}-[0-9]*.json"):
        try:
            found.append(json.loads(path.read_text())["port"])
        except (OSError, ValueError):
            continue
    return sorted(found)


def reached(is_side: bool) -> socket.socket | None:
    """A connection to a container of the slot that a door leads to."""
    is_second = (LIVE / "b").exists() != is_side
    ports = of_slot("web-b" if is_second else "web")
    for number in range(len(ports)):
        try:
            return socket.create_connection(("127.0.0.1", ports[(next(TURN) + number) % len(ports)]), timeout=10)
        except OSError:
            continue
    return None


def pass_on(here: socket.socket, there: socket.socket) -> None:
    """All bytes of one side to the other, and its end."""
    try:
        while part := here.recv(65536):
            there.sendall(part)
        there.shutdown(socket.SHUT_WR)
    except OSError:
        pass


def serve(client: socket.socket, is_side: bool) -> None:
    """One connection."""
    with client:
        there = reached(is_side)
        if there is None:
            client.sendall(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            return
        with there:
            there.settimeout(None)
            back = threading.Thread(target=pass_on, args=(there, client), daemon=True)
            back.start()
            pass_on(client, there)
            back.join()


def listen(port: int, is_side: bool) -> None:
    """A door."""
    with socket.create_server(("127.0.0.1", port)) as door:
        while True:
            client, _ = door.accept()
            threading.Thread(target=serve, args=(client, is_side), daemon=True).start()


threading.Thread(target=listen, args=(PORTS[1], True), daemon=True).start()
listen(PORTS[0], False)
