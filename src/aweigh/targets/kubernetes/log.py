"""The app's log: the last lines of all its pods by time, and then those that come."""

import queue
import threading
from collections.abc import Iterator

from aweigh.errors import RemoteError
from aweigh.targets.invitations import discreet
from aweigh.targets.kubernetes.after import known
from aweigh.targets.kubernetes.client import Client, Object, Request, open_client
from aweigh.targets.kubernetes.errors import KubernetesRefused
from aweigh.targets.kubernetes.labels import container_of, kind_of_process, pods_of
from aweigh.targets.kubernetes.resources import name_of, path_of

LOOK_S = 5.0
"""How often it is looked for pods that came in the meantime."""
READ_S = 3600.0
STARTING, FORBIDDEN = 400, 403
"""What is answered while a container has no log yet, and to whom it is not shown."""


def log(client: Client, app: str, *, lines: int, tail: bool = False, process: str | None = None) -> Iterator[str]:
    """The last lines of the app's log, and with ``tail`` those that come; invitations in them are withheld.

    Raises:
        UsageError: there is no such app.
        RemoteError: the cluster cannot be asked.
    """
    pods = _pods(client, app, process)
    came = [line for pod in pods for line in _read(client, pod, {"tailLines": str(lines)})]
    # The cluster's own time stands first in each line.
    last = sorted(came)[-lines:]
    for line in last:
        yield _shown(line)
    if tail:
        # What is followed begins with the second of the last line: lines of that second were shown already.
        since = last[-1][1].partition(" ")[0] if last else ""
        yield from _follow(client, app, process, since=since, shown=frozenset(last))


Line = tuple[str, str, str]
"""Time, text with its time, and pod."""


def _pods(client: Client, app: str, process: str | None) -> list[Object]:
    found = [one for one in known(client, app) if process is None or kind_of_process(one) == process]
    return [pod for one in found for pod in pods_of(client, one)]


def _read(client: Client, pod: Object, query: dict[str, str]) -> list[Line]:
    import httpx

    try:
        with client.stream(_request(client, pod, query), read_s=60.0) as reply:
            return [_line(text, pod) for text in reply.iter_lines() if text]
    except KubernetesRefused as error:
        if error.status == FORBIDDEN:
            raise
        # A pod that has not started has no log.
        return []
    except (RemoteError, httpx.HTTPError):
        return []


def _request(client: Client, pod: Object, query: dict[str, str]) -> Request:
    path = f"{path_of(client, 'v1', 'Pod', name_of(pod))}/log"
    query = {"timestamps": "true", "container": container_of(pod), **query}
    return Request("GET", path, f"to read the log of {name_of(pod)}", query)


def _line(text: str, pod: Object) -> Line:
    return (text.partition(" ")[0], text, name_of(pod))


def _shown(line: Line) -> str:
    time, _, text = line[1].partition(" ")
    return f"{time[:19]}Z {line[2]} {discreet(text)}"


def _follow(client: Client, app: str, process: str | None, *, since: str, shown: frozenset[Line]) -> Iterator[str]:
    lines: queue.SimpleQueue[Line | None] = queue.SimpleQueue()
    followed: set[str] = set()
    ended = threading.Event()
    try:
        while True:
            for pod in _pods(client, app, process):
                if name_of(pod) not in followed:
                    followed.add(name_of(pod))
                    arguments = (client, pod, since, lines, ended)
                    threading.Thread(target=_listen, args=arguments, daemon=True).start()
            try:
                while (line := lines.get(timeout=LOOK_S)) is not None:
                    if line not in shown:
                        yield _shown(line)
            except queue.Empty:
                continue
    finally:
        ended.set()


def _listen(
    client: Client, pod: Object, since: str, lines: "queue.SimpleQueue[Line | None]", ended: threading.Event
) -> None:
    """Follows one pod until it is no more; a stream that breaks goes on from its last line."""
    import httpx

    seen: set[Line] = set()
    with open_client(client.connection) as own:
        own.kinds = client.kinds
        while not ended.is_set():
            query = {"follow": "true", **({"sinceTime": since} if since else {})}
            try:
                with own.stream(_request(own, pod, query), read_s=READ_S) as reply:
                    for text in reply.iter_lines():
                        if not text or (line := _line(text, pod)) in seen:
                            continue
                        seen = {one for one in seen if one[0] >= since} | {line}
                        since = line[0]
                        lines.put(line)
            except httpx.HTTPError:
                ended.wait(0.5)
                continue
            except KubernetesRefused as error:
                if error.status == STARTING:
                    ended.wait(1.0)
                    continue
            except RemoteError:
                pass
            return
