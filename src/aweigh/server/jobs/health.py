"""A worker's own address, for the platform that watches it: whether it lives, whether it can work, and what it did."""

import asyncio
import logging
import socket
from collections import Counter
from collections.abc import AsyncIterator, Generator, Mapping
from contextlib import asynccontextmanager, contextmanager

import uvicorn
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp

from aweigh._version import __version__
from aweigh.errors import AweighError, StorageDown
from aweigh.jobs.job import ID_LENGTH
from aweigh.jobs.store import Store
from aweigh.runtime.predictor import Predictor
from aweigh.secret import Secret
from aweigh.server.endpoints import Get, fail, live, ready, refuse, refuse_unknown
from aweigh.server.gate import Gate
from aweigh.server.jobs.told import counters_text
from aweigh.server.metrics import CONTENT_TYPE, Counters, escaped, may_read
from aweigh.server.problems import Refused
from aweigh.server.protocol import BoundedProtocol, Connections
from aweigh.server.readiness import Readiness

LOOK_S = 2.0
"""How often the store is asked whether it is there."""
NOBODY = "0" * ID_LENGTH
CLOSE_S = 1
_LOG = logging.getLogger(__name__)
OUTCOMES = ("done", "failed", "cancelled", "given back", "lost")


class Health:
    """What is told of a worker: its ``readiness``, whether its store can be reached, and what became of its jobs."""

    def __init__(self, store: Store, predictor: Predictor, *, golden_rows: int, token: Secret | None) -> None:
        self.readiness = Readiness()
        self.readiness.prove(golden_rows=golden_rows)
        self._store = store
        self._predictor = predictor
        self._token = token
        self._up = False
        self._ended: Counter[str] = Counter()
        self._seconds = 0.0

    def told(self, outcome: str, seconds: float) -> None:
        """A job was let go of."""
        self._ended[outcome] += 1
        self._seconds += seconds

    async def look(self) -> None:
        """Asks the store whether it is there."""
        self._up = await asyncio.to_thread(self._look)

    async def watch(self) -> None:
        """Asks again and again."""
        while True:
            await asyncio.sleep(LOOK_S)
            await self.look()

    def app(self) -> ASGIApp:
        """The addresses."""
        routes = [
            Route("/health/live", Get(live)),
            Route("/health/ready", Get(self._ready)),
            Route("/metrics", Get(self._metrics)),
        ]
        handlers = {AweighError: refuse, HTTPException: refuse_unknown, Exception: fail}
        return Gate(Starlette(routes=routes, exception_handlers=handlers), counters=Counters())

    def _look(self) -> bool:
        try:
            if not self._store.is_blank():
                self._store.records.get(NOBODY)
        except AweighError:
            return False
        except Exception:  # noqa: BLE001  whatever it is, the platform is told, and asks again
            _LOG.exception("the store that holds the jobs cannot be looked at")
            return False
        return True

    async def _ready(self, request: Request) -> Response:
        """``/health/ready``.

        Raises:
            NotReady: the worker is to stop.
            StorageDown: the jobs cannot be reached.
        """
        self.readiness.require_ready()
        if not self._up:
            raise StorageDown("The store that holds the jobs cannot be used.")
        return await ready(request, readiness=self.readiness, stands=lambda: self._predictor)

    async def _metrics(self, request: Request) -> Response:
        """``/metrics``, for this machine alone or with the token.

        Raises:
            Refused: somebody else (403).
        """
        if not may_read(request.scope, token=self._token):
            hint = "ask from the machine itself, or send AWEIGH_METRICS_TOKEN as a bearer token"
            raise Refused("forbidden", "The counters are not for everybody.", hint=hint)
        try:
            shared = await asyncio.to_thread(self._shared)
        except AweighError:
            shared = ""
        info = {
            "aweigh_version": __version__,
            "name": self._predictor.manifest.name,
            "version": self._predictor.version,
            "digest": self._predictor.digest,
            "signer": ", ".join(one.name for one in self._predictor.signers),
        }
        own = worker_text(self._ended, seconds=self._seconds, up=self._up, info=info)
        return Response(own + shared, headers={"content-type": CONTENT_TYPE.decode()})

    def _shared(self) -> str:
        if self._store.is_blank():
            return ""
        return counters_text(self._store.records.counts(), self._store.records.tallies())


def worker_text(ended: Mapping[str, int], *, seconds: float, up: bool, info: Mapping[str, str]) -> str:
    """What ``/metrics`` tells of a worker itself; ``info`` are the labels of ``aweigh_model_info``."""
    name = "aweigh_worker_jobs_total"
    labels = ",".join(f'{key}="{escaped(value)}"' for key, value in info.items())
    lines = [
        f"# HELP {name} Jobs that this worker has let go of, by what became of them.",
        f"# TYPE {name} counter",
        *(f'{name}{{outcome="{one}"}} {ended.get(one, 0)}' for one in OUTCOMES),
        "# HELP aweigh_worker_seconds_total Seconds that this worker spent on them.",
        "# TYPE aweigh_worker_seconds_total counter",
        f"aweigh_worker_seconds_total {seconds:.10g}",
        "# HELP aweigh_worker_store_up Whether this worker reaches the store that holds the jobs.",
        "# TYPE aweigh_worker_store_up gauge",
        f"aweigh_worker_store_up {int(up)}",
        "# HELP aweigh_model_info The model that answers.",
        "# TYPE aweigh_model_info gauge",
        f"aweigh_model_info{{{labels}}} 1",
    ]
    return "\n".join(lines) + "\n"


class _Server(uvicorn.Server):
    """uvicorn, without a say in signals: those are the worker's."""

    @contextmanager
    def capture_signals(self) -> Generator[None]:
        yield


@asynccontextmanager
async def answering(health: Health, sock: socket.socket) -> AsyncIterator[None]:
    """Answers on the socket inside the block."""
    config = uvicorn.Config(
        health.app(), http=BoundedProtocol, ws="none", lifespan="off", log_config=None, access_log=False,
        proxy_headers=False, server_header=False, timeout_graceful_shutdown=CLOSE_S,
    )  # fmt: skip
    server = _Server(config)
    server.server_state = Connections()
    await health.look()
    serving = asyncio.create_task(server.serve(sockets=[sock]))
    watching = asyncio.create_task(health.watch())
    try:
        yield
    finally:
        watching.cancel()
        server.should_exit = True
        await asyncio.gather(serving, watching, return_exceptions=True)
