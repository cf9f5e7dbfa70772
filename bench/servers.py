"""The servers that are measured: how each is started, what it is sent, and how its answer is read."""

import http.client
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

from bench import guarded
from bench.load import Sent
from bench.models import Model
from bench.places import BENCH, CACHE, PEERS, ROOT, peer_python
from bench.processes import cpu_s, memory_mb, stop

START_S = 120.0
TOLERANCE = 1e-5
DISTINCT = 64
"""So many different rows are sent in turn: nothing may win by having seen the only row before."""

Rows = Sequence[dict[str, Any]]


def _rows(rows: Rows) -> object:
    return {"rows": rows}


def _proba(document: Any) -> list[float]:
    return list(document["proba"])


@dataclass(frozen=True, slots=True)
class Kind:
    """One server: ``command`` of a model and a port; ``answers`` are the probabilities of class 1.

    ``prepare`` is run before the clock starts, with the same variables, in a folder of the cache that is this server's
    and this model's; then the server is started in that folder. ``key_file`` is where it leaves the bearer token.
    """

    name: str
    title: str
    command: Callable[[Model, int], list[str]]
    python: Path = field(default_factory=lambda: Path(sys.executable))
    path: str = "/predict"
    body: Callable[[Rows], object] = _rows
    answers: Callable[[Any], list[float]] = _proba
    env: dict[str, str] = field(default_factory=dict)
    cwd: Path = ROOT
    prepare: tuple[str, ...] = ()
    key_file: str = ""

    @property
    def installed(self) -> bool:
        """Whether it can be started here."""
        return self.python.exists()


def _uvicorn(python: Path, app: str, port: int, *more: str) -> list[str]:
    quiet = ["--host", "127.0.0.1", "--no-access-log", "--log-level", "warning"]
    return [str(python), "-m", "uvicorn", app, "--port", str(port), *quiet, *more]


def _peer(name: str, title: str, command: Callable[[Path, int], list[str]], **more: Any) -> Kind:
    python = peer_python(name)
    # One worker on one core, as for us: left alone, OpenMP takes a thread a core and spins.
    env = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"} | more.pop("env", {})
    # What a peer runs by name, it shall find among its own.
    env |= {"PATH": f"{python.parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}"}
    if script := more.pop("prepare", None):
        more["prepare"] = (str(python), str(PEERS / script))
    return Kind(name, title, lambda _, port: command(python, port), python=python, cwd=PEERS, env=env, **more)


def _split(rows: Rows) -> object:
    return {"dataframe_split": {"columns": list(rows[0]), "data": [list(row.values()) for row in rows]}}


def _tensors(rows: Rows) -> object:
    first = rows[0]
    kinds = {name: "BYTES" if isinstance(value, str) else "FP64" for name, value in first.items()}
    return {
        "inputs": [
            {"name": name, "shape": [len(rows), 1], "datatype": kinds[name], "data": [row[name] for row in rows]}
            for name in first
        ]
    }


def _second_of_tensor(document: Any) -> list[float]:
    """The last column of a matrix that is sent as one list, row after row."""
    (tensor,) = document["outputs"]
    wide = tensor["shape"][-1]
    return list(tensor["data"][wide - 1 :: wide])


def _second(document: Any) -> list[float]:
    return [row["probabilities"]["1"] for row in document["predictions"]]


FLOOR = Kind(
    "floor",
    "the floor",
    lambda _, port: _uvicorn(
        Path(sys.executable), "bench.floor:app", port, "--loop", "uvloop", "--http", "httptools", "--no-proxy-headers"
    ),
    answers=lambda _: [],
)
UNPLANNED = {"XDG_CACHE_HOME": str(CACHE / "unplanned")}
"""What ``aweigh plan`` once measured here is of no account: a new user has no such figures."""

AWEIGH = Kind(
    "aweigh",
    "aweigh",
    lambda model, port: [
        sys.executable,
        "-m",
        "aweigh",
        "serve",
        str(model.bundle),
        "--workers",
        "1",
        "--threads",
        "1",
        "--no-ui",
        "--port",
        str(port),
    ],
    path="/v1/predict",
    answers=_second,
    env={"AWEIGH_DOMAIN": "ignore"} | UNPLANNED,
)
GUARDED = replace(
    AWEIGH,
    name="aweigh-guarded",
    title="aweigh, with key, budget and domain check",
    command=lambda model, port: [*AWEIGH.command(model, port), "--auth", "password"],
    env={"AWEIGH_STATE_DIR": guarded.STATE, "AWEIGH_ROWS_PER_DAY": "1000000000"} | UNPLANNED,
    prepare=(sys.executable, str(BENCH / "guarded.py")),
    key_file=guarded.KEY,
)
OURS = frozenset({AWEIGH.name, GUARDED.name})
PEER_KINDS = (
    _peer("fastapi", "FastAPI by hand", lambda python, port: _uvicorn(python, "fastapi_app:app", port)),
    _peer(
        "vetiver",
        "vetiver",
        lambda python, port: _uvicorn(python, "vetiver_app:app", port),
        path="/proba",
        body=lambda rows: rows,
    ),
    _peer("litserve", "LitServe, batched", lambda python, _: [str(python), "litserve_app.py"]),
    _peer(
        "bentoml",
        "BentoML, batched",
        lambda python, port: [
            *(str(python.with_name("bentoml")), "serve", "bentoml_app:Model", "--working-dir", str(PEERS)),
            *("--host", "127.0.0.1", "-p", str(port), "-q"),
        ],
        answers=list,
        env={"BENTOML_DO_NOT_TRACK": "True", "BENTOML_HOME": str(CACHE / "bentoml")},
    ),
    _peer(
        "mlserver",
        "MLServer, batched",
        lambda python, _: [str(python.with_name("mlserver")), "start", "."],
        path="/v2/models/bench/infer",
        body=_tensors,
        answers=_second_of_tensor,
        prepare="mlserver_settings.py",
    ),
    _peer(
        "gradio",
        "Gradio",
        lambda python, _: [str(python), "gradio_app.py"],
        path="/gradio_api/run/predict",
        body=lambda rows: {"data": [rows]},
        answers=lambda document: list(document["data"][0]),
        env={"GRADIO_ANALYTICS_ENABLED": "False"},
    ),
    _peer(
        "mlflow",
        "MLflow",
        lambda python, port: [
            *(str(python.with_name("mlflow")), "models", "serve", "-m", "model", "--env-manager", "local"),
            *("-h", "127.0.0.1", "-p", str(port), "-w", "1"),
        ],
        path="/invocations",
        body=_split,
        answers=lambda document: [row[1] for row in document["predictions"]],
        env={"MLFLOW_DISABLE_TELEMETRY": "true", "UVICORN_ACCESS_LOG": "false"},
        prepare="mlflow_model.py",
    ),
    _peer(
        "ray",
        "Ray Serve, batched",
        lambda python, _: [str(python), "ray_app.py"],
        env={
            "RAY_USAGE_STATS_ENABLED": "0",
            "RAY_SERVE_ENABLE_HA_PROXY": "1",
            "RAY_SERVE_THROUGHPUT_OPTIMIZED": "1",
        },
    ),
)
KINDS = {kind.name: kind for kind in (AWEIGH, GUARDED, *PEER_KINDS)}


def environment(more: dict[str, str]) -> dict[str, str]:
    """This process's environment without what is set for a developer's own server."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AWEIGH_", "STREAMLIT_"))}
    for name in ("PORT", "DATABASE_URL", "REDIS_URL", "WEB_CONCURRENCY", "PYTHONDONTWRITEBYTECODE"):
        kept.pop(name, None)
    return kept | more


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


class Server:
    """A server while it runs: ``with Server(kind, model) as server``. Then it has answered correctly once."""

    def __init__(self, kind: Kind, model: Model, *, more: Sequence[str] = (), start_s: float = START_S) -> None:
        self.kind, self.model, self.port = kind, model, free_port()
        self._more, self._start_s = list(more), start_s
        self.start_cpu_s = 0.0
        self.start_seconds = 0.0
        self.authorization = ""

    @property
    def pid(self) -> int:
        """The process that was started."""
        return self._process.pid

    @property
    def url(self) -> str:
        """Where rows are posted."""
        return f"http://127.0.0.1:{self.port}{self.kind.path}"

    def __enter__(self) -> Self:
        env = {"PORT": str(self.port)}
        env |= {"MODEL_FILE": str(self.model.joblib), "ROWS_FILE": str(self.model.facts)}
        logs = CACHE / "logs"
        logs.mkdir(parents=True, exist_ok=True)
        self._log = logs / f"{self.kind.name}-{self.model.name}.log"
        env = environment(env | self.kind.env)
        with self._log.open("wb") as log:
            cwd = self._prepared(env, log)
            if self.kind.key_file:
                self.authorization = f"Bearer {(cwd / self.kind.key_file).read_text(encoding='ascii')}"
            begun = time.perf_counter()
            self._process = subprocess.Popen(
                [*self.kind.command(self.model, self.port), *self._more],
                env=env,
                cwd=cwd,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            self._wait(begun)
        except BaseException:
            stop(self._process)
            raise
        self.start_cpu_s = cpu_s(self.pid)
        self.start_seconds = time.perf_counter() - begun
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        stop(self._process)

    def _prepared(self, env: dict[str, str], log: IO[bytes]) -> Path:
        """The folder to start it in, once what it needs is there."""
        if not self.kind.prepare:
            return self.kind.cwd
        folder = CACHE / "prepared" / f"{self.kind.name}-{self.model.name}"
        folder.mkdir(parents=True, exist_ok=True)
        done = subprocess.run(self.kind.prepare, env=env, cwd=folder, stdout=log, stderr=subprocess.STDOUT, check=False)
        if done.returncode:
            msg = f"{self.kind.name} cannot be prepared: it ended with {done.returncode}\n{self._told()}"
            raise RuntimeError(msg)
        return folder

    def _told(self) -> str:
        return self._log.read_text(errors="replace")[-1500:]

    def _wait(self, begun: float) -> None:
        last = "no answer"
        body = self.encoded(self.model.data["rows"][:1])
        while time.perf_counter() - begun < self._start_s:
            if self._process.poll() is not None:
                last = f"it ended with {self._process.returncode}"
                break
            try:
                status, answer = self.post(body, timeout_s=20)
                if status == 200 and self._agrees(json.loads(answer), 1):
                    return
                last = f"{status} {answer[:300]!r}"
            except (OSError, http.client.HTTPException) as error:
                last = repr(error)
            time.sleep(0.01)
        msg = f"{self.kind.name} does not answer as the model does: {last}\n{self._told()}"
        raise RuntimeError(msg)

    def _agrees(self, document: object, count: int) -> bool:
        got, expected = self.kind.answers(document), self.model.data["proba"][:count]
        if self.kind is FLOOR:
            return True
        return len(got) == count and all(abs(a - b) < TOLERANCE for a, b in zip(got, expected, strict=True))

    def check(self, count: int = 20) -> bool:
        """Whether it still answers so many rows as the original model does."""
        status, answer = self.post(self.encoded(self.model.data["rows"][:count]))
        return status == 200 and self._agrees(json.loads(answer), count)

    def encoded(self, rows: Rows) -> bytes:
        """The body that asks for these rows."""
        return json.dumps(self.kind.body(rows)).encode()

    def one_row_bodies(self) -> Sent:
        """One row a request, ``DISTINCT`` different ones in turn."""
        return self.sent(*(self.encoded([row]) for row in self.model.data["rows"][:DISTINCT]))

    def many_rows_body(self, count: int) -> Sent:
        """One request of so many rows."""
        rows = self.model.data["rows"]
        return self.sent(self.encoded([rows[i % len(rows)] for i in range(count)]))

    def sent(self, *bodies: bytes, content_type: str = "application/json", accept: str = "*/*") -> Sent:
        """These bodies, with the key where one is asked for."""
        return Sent(bodies, content_type, self.authorization, accept)

    def post(
        self, body: bytes, *, content_type: str = "application/json", accept: str = "*/*", timeout_s: float = 60
    ) -> tuple[int, bytes]:
        """One request on a connection of its own."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout_s)
        try:
            headers = {"Content-Type": content_type, "Accept": accept}
            headers |= {"Authorization": self.authorization} if self.authorization else {}
            connection.request("POST", self.kind.path, body, headers)
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def memory_mb(self) -> float:
        """Memory of the whole tree now."""
        return memory_mb(self.pid)
