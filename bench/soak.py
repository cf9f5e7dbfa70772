"""Section ``soak``: several processes at 80 % of what they can do together, and one of them killed again and again.

Every answer is held against the right one, byte by byte. Counted are answers, wrong ones, refusals and requests that
broke; for each kill the time until as many processes as before are up; and, every two seconds, the memory of all of
them, and of the two that live through it, which would show what grows with time or with every kill: the oldest of
those that answer, and their parent.
"""

import asyncio
import json
import statistics
import time
from collections import Counter
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any

import psutil

from bench.models import C, Model, ensure
from bench.one_request import request
from bench.processes import cpu_s, memory_mb, private_mb
from bench.servers import AWEIGH, DISTINCT, Server
from bench.soak_client import Client, said
from bench.supervised import all_up, born, children

CONNECTIONS = 32
PROCESSES = 2
SHARE = 0.8
KILL_EVERY_S = 20.0
LOOK_S = 2.0
POLL_S = 0.05
BACK_S = 60.0
PROBE_S = 5.0
SETTLED_SHARE = 0.25
"""The slope of the memory is told from this share of the time on: before it, caches fill."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """How long, how often one is killed, and how much of the capacity is asked for."""

    seconds: float
    kill_every_s: float = KILL_EVERY_S
    share: float = SHARE
    connections: int = CONNECTIONS
    probe_s: float = PROBE_S


def measure(*, tell: Callable[[str], None], minutes: float, model: Model = C) -> dict[str, Any]:
    """The figures of a soak of model C behind two processes."""
    ensure(model, tell=tell)
    more = ["--workers", str(PROCESSES)]
    with Server(AWEIGH, model, more=more) as server:
        bodies = [server.encoded([row]) for row in model.data["rows"][:DISTINCT]]
        asked = []
        for body in bodies:
            status, answer = server.post(body)
            if status != 200:
                raise RuntimeError(answer[:300])
            asked.append((body, said(answer)))
        _require_right(model, [right for _, right in asked])
        found = run(server.port, server.pid, asked, Wanted(minutes * 60), tell=tell)
    return {"model": model.letter, "processes": PROCESSES} | found


def _require_right(model: Model, rights: Sequence[bytes]) -> None:
    """The answers that all others are held against are the original model's own."""
    for i, right in enumerate(rights):
        got = AWEIGH.answers({"predictions": json.loads(right)})[0]
        if abs(got - model.data["proba"][i]) > 1e-5:
            msg = f"row {i} is answered {got} where the original model says {model.data['proba'][i]}"
            raise RuntimeError(msg)


def run(
    port: int, pid: int, asked: Sequence[tuple[bytes, bytes]], wanted: Wanted, *, tell: Callable[[str], None]
) -> dict[str, Any]:
    """Asks a server of several processes; ``asked`` are bodies and the predictions right for them, as written."""
    try:
        import uvloop as loops
    except ModuleNotFoundError:
        loops = asyncio
    soak = _Soak(port, pid, [(request(AWEIGH.path, body), right) for body, right in asked], wanted, tell)
    found: dict[str, Any] = loops.run(soak.run())
    return found


class _Soak:
    """One soak while it lasts."""

    def __init__(
        self,
        port: int,
        pid: int,
        asked: list[tuple[bytes, bytes]],
        wanted: Wanted,
        tell: Callable[[str], None],
    ) -> None:
        self._port, self._pid, self._asked, self._wanted, self._tell = port, pid, asked, wanted, tell
        self._kills: list[float] = []
        self._back_s: list[float] = []
        self._memory: list[tuple[float, float]] = []
        self._oldest = min(children(pid), key=born).pid
        self._oldest_memory: list[tuple[float, float]] = []
        self._parent_memory: list[tuple[float, float]] = []
        self._rates: list[tuple[float, float]] = []

    async def run(self) -> dict[str, Any]:
        """Measure the capacity, then keep a share of it while processes are killed."""
        capacity = await self._capacity()
        rate = capacity * self._wanted.share
        self._tell(f"{capacity:,.0f} requests/s at the most; {rate:,.0f} from here on")
        client = Client(self._port, self._asked, connections=self._wanted.connections)
        await client.open()
        beside: list[Coroutine[Any, Any, None]] = [self._look(client), self._kill(client)]
        tasks = [asyncio.create_task(one) for one in beside]
        before = cpu_s(self._pid)
        await client.keep(rate, seconds=self._wanted.seconds)
        for task in tasks:
            task.cancel()
        ended = await asyncio.gather(*tasks, return_exceptions=True)
        await client.close()
        for error in ended:
            if isinstance(error, Exception):
                raise error
        return self._told(client, capacity, rate, cpu_s(self._pid) - before)

    async def _capacity(self) -> float:
        client = Client(self._port, self._asked, connections=self._wanted.connections)
        await client.open()
        await client.keep(0, seconds=self._wanted.probe_s)
        rate = client.seen.answered / client.now()
        await client.close()
        return rate

    async def _look(self, client: Client) -> None:
        answered, when = 0, client.now()
        while True:
            await asyncio.sleep(LOOK_S)
            when_mb = round(client.now(), 1)
            self._memory.append((when_mb, round(await asyncio.to_thread(memory_mb, self._pid), 2)))
            self._oldest_memory.append((when_mb, round(private_mb(self._oldest), 2)))
            self._parent_memory.append((when_mb, round(private_mb(self._pid), 2)))
            now, total = client.now(), client.seen.answered
            self._rates.append((round(now, 1), round((total - answered) / (now - when), 1)))
            answered, when = total, now

    async def _kill(self, client: Client) -> None:
        """Kill the youngest of the processes that answer, and wait until its successor does."""
        every, number = self._wanted.kill_every_s, 0
        while True:
            number += 1
            await asyncio.sleep(max(0.0, number * every - client.now()))
            if client.now() > self._wanted.seconds - every / 4:
                return
            before = set(children(self._pid))
            begun = client.now()
            max(before, key=born).kill()
            self._kills.append(round(begun, 2))
            await asyncio.to_thread(self._wait, before)
            self._back_s.append(round(client.now() - begun, 2))

    def _wait(self, before: set[psutil.Process]) -> None:
        """Stand still until there is a new process and all are up."""
        end = time.monotonic() + BACK_S
        while not (set(children(self._pid)) - before and all_up(self._port, len(before))):
            if time.monotonic() > end:
                msg = f"no new process is up {BACK_S:.0f} s after one was killed"
                raise RuntimeError(msg)
            time.sleep(POLL_S)

    def _told(self, client: Client, capacity: float, rate: float, used_s: float) -> dict[str, Any]:
        seen, seconds = client.seen, self._wanted.seconds
        latencies = sorted(seen.latencies_ms) or [0.0]
        oldest, parent = (
            [point for point in points if point[0] >= seconds * SETTLED_SHARE]
            for points in (self._oldest_memory, self._parent_memory)
        )
        kinds = Counter(text[:3].decode() for _, text in seen.refused)
        return {
            "seconds": seconds,
            "connections": self._wanted.connections,
            "capacity_rps": round(capacity),
            "rate_rps": round(rate),
            "answered": seen.answered,
            "wrong": len(seen.wrong),
            "refused": dict(kinds),
            "broken": len(seen.broken),
            "broken_at_kills": [sum(0 <= when - kill < 1 for when in seen.broken) for kill in self._kills],
            "not_let_in": len(seen.not_let_in),
            "cpu_ms": round(used_s * 1000 / max(1, seen.answered), 4),
            "p50_ms": round(latencies[len(latencies) // 2], 2),
            "p99_ms": round(latencies[int(len(latencies) * 0.99)], 2),
            "max_ms": round(latencies[-1], 1),
            "kills": self._kills,
            "back_s": self._back_s,
            "parent_slope_mb_per_hour": round(slope(parent) * 3600, 2),
            "oldest_slope_mb_per_hour": round(slope(oldest) * 3600, 2),
            "memory": self._memory,
            "oldest_memory": self._oldest_memory,
            "parent_memory": self._parent_memory,
            "rates": self._rates,
        }


def slope(points: Sequence[tuple[float, float]]) -> float:
    """How fast it rises, a second: the median of the slopes between all points, which one odd moment does not move."""
    step = max(1, len(points) // 200)
    few = points[::step]
    slopes = [(b[1] - a[1]) / (b[0] - a[0]) for i, a in enumerate(few) for b in few[i + 1 :] if b[0] > a[0]]
    return statistics.median(slopes) if slopes else 0.0
