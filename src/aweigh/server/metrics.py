"""Counters of this server, shared by its processes, and their text for Prometheus (exposition format 0.0.4).

Every process owns one slot of a piece of shared memory and is the only one that writes there, so that nothing needs a
lock; a scrape, whichever process answers it, adds the slots up.
"""

import hmac
import ipaddress
import mmap
from bisect import bisect_left
from collections.abc import Iterator, Mapping

from starlette.types import Scope

from aweigh.secret import Secret
from aweigh.server.board import Board

ROUTES = ("predict", "jobs", "oip", "api", "docs", "health", "metrics", "ui")
STATUSES = (
    200, 101, 202, 204, 206, 302, 303, 304, 307, 400, 401, 403, 404, 405, 406, 408, 409, 410, 413, 415, 416, 421, 422,
    429, 500, 502, 503, 507,
)  # fmt: skip
"""Statuses with a counter of their own; another one is counted as its class's hundred (``418`` as ``400``)."""

BUCKETS_S = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)
"""Upper bounds of the predict histogram, in seconds: ONNX answers a row in tens of microseconds."""

BATCH_ROWS = (1, 2, 4, 8, 16, 32, 64, 128)
"""Upper bounds of the histogram of rows in one call of the model."""

SINGLE = {
    "aweigh_queue_rows": ("gauge", "Rows that wait for the model."),
    "aweigh_queue_refused_total": ("counter", "Requests that found the queue full."),
    'aweigh_cache_hits_total{store="process"}': ("counter", "Rows whose answer was known, and where."),
    'aweigh_cache_hits_total{store="redis"}': ("counter", ""),
    "aweigh_cache_misses_total": ("counter", "Rows whose answer was not known."),
    "aweigh_cache_bytes": ("gauge", "Bytes that the answers take which are kept."),
    "aweigh_cache_entries": ("gauge", "Answers that are kept."),
    "aweigh_cache_evictions_total": ("counter", "Answers that made room for others."),
    "aweigh_cache_redis_failures_total": ("counter", "Exchanges with the Redis that failed."),
    "aweigh_sweeps_suspected_total": ("counter", "People and keys whose rows looked made up, each once a day."),
}
"""Counters and gauges that are one number each: kind and what they count."""

FORWARDED = frozenset({b"x-forwarded-for", b"forwarded", b"x-real-ip"})
CONTENT_TYPE = b"text/plain; version=0.0.4; charset=utf-8"

_REQUESTS = 0
_ROWS = len(ROUTES) * len(STATUSES)
_WARNINGS = _ROWS + 1
_IN_FLIGHT = _ROWS + 2
_SECONDS = _ROWS + 3
_BUCKETS = _ROWS + 4
_BATCH_BUCKETS = _BUCKETS + len(BUCKETS_S) + 1
_BATCH_SUM = _BATCH_BUCKETS + len(BATCH_ROWS) + 1
_SINGLE = _BATCH_SUM + 1
_SLOT = _SINGLE + len(SINGLE)
_BYTES = 8

_AT = {name: _SINGLE + i for i, name in enumerate(SINGLE)}
_HITS, _SHARED_HITS = _AT['aweigh_cache_hits_total{store="process"}'], _AT['aweigh_cache_hits_total{store="redis"}']
_MISSES = _AT["aweigh_cache_misses_total"]
_NOW = [_IN_FLIGHT, *(_AT[name] for name, (kind, _) in SINGLE.items() if kind == "gauge")]

_PLACE = {(route, status): i * len(STATUSES) + j for i, route in enumerate(ROUTES) for j, status in enumerate(STATUSES)}


class Counters:
    """One process's counters: its own ``slot`` to write, all ``slots`` to read. Made before the processes part."""

    def __init__(self, *, slots: int = 1, board: Board | None = None) -> None:
        self._shared = mmap.mmap(-1, slots * _SLOT * _BYTES)
        self._all = memoryview(self._shared).cast("d")
        self._board = board
        self._own = self._all[:_SLOT]

    def take(self, slot: int) -> None:
        """This process writes there from now on; what a process before it left there under way is over."""
        self._own = self._all[slot * _SLOT : (slot + 1) * _SLOT]
        for place in _NOW:
            self._own[place] = 0

    def begin(self) -> None:
        """A request came."""
        self._own[_IN_FLIGHT] += 1

    def end(self, route: str, status: int) -> None:
        """A request was answered; ``status`` 0 is one whose client hung up before."""
        self._own[_IN_FLIGHT] -= 1
        self.answered(route, status)

    def answered(self, route: str, status: int) -> None:
        """A request was answered that was never under way: nothing could happen between its coming and its answer."""
        if status:
            place = _PLACE.get((route, status))
            self._own[_PLACE[route, _class_of(status)] if place is None else place] += 1

    def predicted(self, *, rows: int, seconds: float) -> None:
        """The model answered for so many rows in so many seconds."""
        own = self._own
        own[_ROWS] += rows
        own[_SECONDS] += seconds
        own[_BUCKETS + bisect_left(BUCKETS_S, seconds)] += 1

    def warned(self, cells: int) -> None:
        """So many cells were outside what the model has seen."""
        if cells:
            self._own[_WARNINGS] += cells

    def batched(self, rows: int, seconds: float) -> None:
        """The model answered the rows of one or several requests in one call."""
        self.predicted(rows=rows, seconds=seconds)
        self._own[_BATCH_BUCKETS + bisect_left(BATCH_ROWS, rows)] += 1
        self._own[_BATCH_SUM] += rows

    def queued(self, rows: int) -> None:
        """So many rows wait for the model now."""
        self._own[_AT["aweigh_queue_rows"]] = rows

    def refused(self) -> None:
        """A request found the queue full."""
        self._own[_AT["aweigh_queue_refused_total"]] += 1

    def looked_up(self, *, hits: int, shared_hits: int, misses: int) -> None:
        """Of so many rows so many were known here, so many in the Redis, and so many not at all."""
        own = self._own
        own[_HITS] += hits
        own[_SHARED_HITS] += shared_hits
        own[_MISSES] += misses

    def kept(self, *, size_bytes: int, entries: int, evictions: int) -> None:
        """The cache holds so much now; so many entries have just made room."""
        own = self._own
        own[_AT["aweigh_cache_bytes"]] = size_bytes
        own[_AT["aweigh_cache_entries"]] = entries
        own[_AT["aweigh_cache_evictions_total"]] += evictions

    def redis_failed(self, exchanges: int) -> None:
        """So many exchanges with the Redis failed."""
        self._own[_AT["aweigh_cache_redis_failures_total"]] += exchanges

    def suspected(self) -> None:
        """Somebody's rows looked made up, for the first time today."""
        self._own[_AT["aweigh_sweeps_suspected_total"]] += 1

    def totals(self) -> list[float]:
        """Every counter, added up over the processes."""
        return [sum(self._all[place::_SLOT]) for place in range(_SLOT)]

    def text(self, *, info: Mapping[str, str]) -> str:
        """What ``GET /metrics`` answers; ``info`` are the labels of ``aweigh_model_info``."""
        return "\n".join(self._lines(info)) + "\n"

    def _lines(self, info: Mapping[str, str]) -> Iterator[str]:
        totals = self.totals()
        yield from _head("aweigh_requests_total", "counter", "Requests answered, by route and status.")
        for (route, status), place in _PLACE.items():
            if totals[place]:
                yield f'aweigh_requests_total{{route="{route}",status="{status}"}} {_number(totals[place])}'
        yield from _head("aweigh_requests_in_flight", "gauge", "Requests under way.")
        yield f"aweigh_requests_in_flight {_number(totals[_IN_FLIGHT])}"
        yield from _head("aweigh_rows_total", "counter", "Rows that the model answered.")
        yield f"aweigh_rows_total {_number(totals[_ROWS])}"
        yield from _head("aweigh_warnings_total", "counter", "Cells outside what the model has seen.")
        yield f"aweigh_warnings_total {_number(totals[_WARNINGS])}"
        yield from _head("aweigh_predict_seconds", "histogram", "Time that the model took for one request's rows.")
        passed = 0.0
        for i, most in enumerate(BUCKETS_S):
            passed += totals[_BUCKETS + i]
            yield f'aweigh_predict_seconds_bucket{{le="{most:g}"}} {_number(passed)}'
        passed += totals[_BUCKETS + len(BUCKETS_S)]
        yield f'aweigh_predict_seconds_bucket{{le="+Inf"}} {_number(passed)}'
        yield f"aweigh_predict_seconds_sum {totals[_SECONDS]!r}"
        yield f"aweigh_predict_seconds_count {_number(passed)}"
        yield from self._waiting(totals)
        yield from _head("aweigh_processes", "gauge", "Processes that answer behind this port.")
        yield f"aweigh_processes {1 if self._board is None else self._board.places}"
        yield from _head("aweigh_processes_up", "gauge", "Those of them that answer now.")
        yield f"aweigh_processes_up {1 if self._board is None else self._board.up()}"
        if info:
            yield from _head("aweigh_model_info", "gauge", "The model that is served.")
            labels = ",".join(f'{key}="{escaped(value)}"' for key, value in info.items())
            yield f"aweigh_model_info{{{labels}}} 1"

    @staticmethod
    def _waiting(totals: list[float]) -> Iterator[str]:
        """What waits for the model, what is asked together, what is known already."""
        name = "aweigh_batch_rows"
        yield from _head(name, "histogram", "Rows of several requests that the model answered in one call.")
        passed = 0.0
        for i, most in enumerate((*BATCH_ROWS, "+Inf")):
            passed += totals[_BATCH_BUCKETS + i]
            yield f'{name}_bucket{{le="{most}"}} {_number(passed)}'
        yield f"{name}_sum {_number(totals[_BATCH_SUM])}"
        yield f"{name}_count {_number(passed)}"
        for key, (kind, about) in SINGLE.items():
            if about:
                yield from _head(key.partition("{")[0], kind, about)
            yield f"{key} {_number(totals[_AT[key]])}"
        known = totals[_HITS] + totals[_SHARED_HITS]
        yield from _head("aweigh_cache_hit_ratio", "gauge", "Share of the rows looked up that were known.")
        yield f"aweigh_cache_hit_ratio {known / max(1.0, known + totals[_MISSES]):.6g}"


class Beside(Counters):
    """The same counters for a second model of the process, but for those that say how things stand with the first."""

    def __init__(self, counters: Counters) -> None:
        self.__dict__.update(vars(counters))

    def queued(self, rows: int) -> None:
        """What waits for the second model is not told."""

    def kept(self, *, size_bytes: int, entries: int, evictions: int) -> None:
        """Nor what is kept of its answers."""


def _head(name: str, kind: str, about: str) -> tuple[str, str]:
    return f"# HELP {name} {about}", f"# TYPE {name} {kind}"


def _number(value: float) -> str:
    return str(int(value))


def escaped(value: str) -> str:
    """A label's value as Prometheus reads it."""
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _class_of(status: int) -> int:
    return {1: 101, 2: 200, 3: 302, 4: 400}.get(status // 100, 500)


def route_of(path: str) -> str:
    """The route that a path is counted under."""
    if path == "/v1/predict":
        return "predict"
    first = path.split("/", 2)[1] if path.startswith("/") else ""
    if first == "v1" and (path == "/v1/jobs" or path.startswith("/v1/jobs/")):
        return "jobs"
    if first == "v1":
        return "docs" if path == "/v1/docs" else "api"
    return {"v2": "oip", "health": "health", "metrics": "metrics"}.get(first, "ui")


def may_read(scope: Scope, *, token: Secret | None) -> bool:
    """Whether the counters are this caller's to see: on this machine with no proxy between, or with the token."""
    if has_token(scope, token=token):
        return True
    return all(name not in FORWARDED for name, _ in scope["headers"]) and _is_loopback(scope)


def has_token(scope: Scope, *, token: Secret | None) -> bool:
    """Whether the caller has said the token, which there must be."""
    if token is None:
        return False
    bearer = next((value for name, value in reversed(scope["headers"]) if name == b"authorization"), b"")
    return hmac.compare_digest(bearer, b"Bearer " + token.reveal().encode())


def _is_loopback(scope: Scope) -> bool:
    client = scope.get("client")
    if client is None:
        return False
    try:
        address = ipaddress.ip_address(client[0])
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return bool((mapped or address).is_loopback)
