"""Section ``recovery``: each process of an idle server is killed in turn, and the time until all are up again.

The soak kills those that answer the API while they are asked; here those of the app are killed, too, each as often.
"""

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from bench.models import C, Model, ensure
from bench.processes import memory_mb
from bench.servers import AWEIGH, Server
from bench.supervised import all_up, born, children

WORKERS = 2
APPS = 2
TIMES = 10
REST_S = 2.0
POLL_S = 0.01
BACK_S = 60.0
WITH_APP = replace(AWEIGH, command=lambda model, port: [one for one in AWEIGH.command(model, port) if one != "--no-ui"])


def measure(*, tell: Callable[[str], None], model: Model = C, times: int = TIMES) -> dict[str, Any]:
    """Seconds from each kill until all are up, of the API's processes and of the app's; and the memory of all."""
    ensure(model, tell=tell)
    count = WORKERS + APPS
    more = ["--workers", str(WORKERS), "--ui-processes", str(APPS)]
    with Server(WITH_APP, model, more=more) as server:
        _wait(server, set(), count)
        places = sorted(children(server.pid), key=born)  # the API's are started first
        memory = memory_mb(server.pid)
        back: dict[str, list[float]] = {"api": [], "app": []}
        for number in range(times * count):
            place = number % count
            time.sleep(REST_S)
            before = set(children(server.pid))
            begun = time.perf_counter()
            places[place].kill()
            _wait(server, before, count)
            back["api" if place < WORKERS else "app"].append(round(time.perf_counter() - begun, 3))
            (places[place],) = set(children(server.pid)) - before
        if not server.check():
            msg = "after the kills it no longer answers as the model does"
            raise RuntimeError(msg)
        after = memory_mb(server.pid)
    tell(", ".join(f"{kind}: {max(seconds):.2f} s at most" for kind, seconds in back.items()))
    return {
        "model": model.letter,
        "workers": WORKERS,
        "ui_processes": APPS,
        "back_s": back,
        "memory_mb": round(memory, 1),
        "memory_after_mb": round(after, 1),
    }


def _wait(server: Server, before: set[Any], count: int) -> None:
    end = time.monotonic() + BACK_S
    while (before and not set(children(server.pid)) - before) or not all_up(server.port, count):
        if time.monotonic() > end:
            msg = f"not all processes are up {BACK_S:.0f} s after one was killed"
            raise RuntimeError(msg)
        time.sleep(POLL_S)
