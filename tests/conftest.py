"""What every test gets: a clean environment, frugal threads, Hypothesis profiles, and the programs that it `needs`."""

import importlib.util
import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

# Two cores are shared by the test workers and the servers that they start: a pool of threads for each would only wait.
for _variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_variable, "1")
# What a developer has exported for a server of their own must not reach the servers of the tests.
for _variable in [name for name in os.environ if name.startswith("AWEIGH_")]:
    del os.environ[_variable]
for _variable in ("PORT", "DATABASE_URL", "DATABASE_URL_FILE", "REDIS_URL", "REDIS_URL_FILE"):
    os.environ.pop(_variable, None)
# Nor are the developer's own keys the tests'.
_config = tempfile.TemporaryDirectory(prefix="aweigh-tests-")
os.environ["AWEIGH_CONFIG_DIR"] = _config.name

import hypothesis  # noqa: E402  (reads nothing of the above, but numpy does, and a strategy may bring it)
from tests.shown import Recorder  # noqa: E402

# No deadline: a busy machine is not a failing test. In CI the same examples every time, so that red means changed code.
hypothesis.settings.register_profile("developer", deadline=None, max_examples=50)
hypothesis.settings.register_profile("ci", deadline=None, max_examples=50, derandomize=True, print_blob=True)
IN_CI = os.environ.get("CI", "").lower() in {"1", "true"}
hypothesis.settings.load_profile("ci" if IN_CI else "developer")

ROOT = Path(__file__).parents[1]

CHROMIUM_NAMES = ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome")


def _find_chromium() -> str | None:
    """Find a Chromium that starts: on Ubuntu the package may be no more than a pointer to a snap."""
    for name in (os.environ.get("CHROMIUM", ""), *CHROMIUM_NAMES):
        path = shutil.which(name) if name else None
        if path and subprocess.run([path, "--version"], capture_output=True, check=False, timeout=60).returncode == 0:
            return path
    return None


def _find_package(name: str) -> str | None:
    """Find a package that a test runs as a program."""
    spec = importlib.util.find_spec(name)
    return None if spec is None else spec.origin


def _find_apiserver() -> str | None:
    """Find the kube-apiserver, and its etcd, that `make kubernetes` builds."""
    built = ROOT / ".cache" / "kubernetes" / "bin"
    path = built / "kube-apiserver"
    return str(path) if path.exists() and (built / "etcd").exists() else None


def _find_compose() -> str | None:
    """Find a Docker that has its compose, as a plugin."""
    docker = shutil.which("docker")
    words = [docker or "", "compose", "version"]
    found = docker is not None and subprocess.run(words, capture_output=True, check=False, timeout=60).returncode == 0
    return docker if found else None


def _find_program(name: str) -> str | None:
    """Find a program on the path, or among those of the packages that development has."""
    own = Path(sys.prefix) / "bin" / name
    return shutil.which(name) or (str(own) if os.access(own, os.X_OK) else None)


# The tools that are more than a program of their own name on the path.
FINDERS: dict[str, Callable[[], str | None]] = {
    "chromium": _find_chromium,
    "docker compose": _find_compose,
    "kube-apiserver": _find_apiserver,
    "honcho": lambda: _find_package("honcho"),
    "django-oauth-toolkit": lambda: _find_package("oauth2_provider"),
    "model-signing": lambda: _find_package("model_signing"),
    "helm": lambda: _find_program("helm"),
    "kubectl": lambda: _find_program("kubectl"),
    "ray": lambda: _find_package("ray"),
    "kubernetes-validate": lambda: _find_package("kubernetes_validate"),
}


def find_tool(name: str) -> str | None:
    """Return the path of a program that a test drives, or None."""
    return FINDERS.get(name, lambda: shutil.which(name))()


def require_tool(name: str) -> str:
    """Return the program's path; skip the test where it is missing, or fail it in CI, where nothing may be missing."""
    path = find_tool(name)
    if path is None:
        reason = f"{name} is not installed here"
        if IN_CI:
            pytest.fail(f"{reason}, and with CI=true every tool must be", pytrace=False)
        pytest.skip(reason)
    return path


def require_package(name: str, *, called: str) -> None:
    """Skip the test where a package cannot be imported, or fail it in CI, where nothing may be missing."""
    if importlib.util.find_spec(name) is None:
        reason = f"the package {called} is not installed here"
        if IN_CI:
            pytest.fail(reason, pytrace=False)
        pytest.skip(reason)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Take the file that keeps what was seen to work (`shown.py`)."""
    parser.addoption("--record-shown", metavar="PATH", type=Path, help="write down what tests that pass have shown")


def pytest_configure(config: pytest.Config) -> None:
    """Name the mark of what takes seconds each, and check and record what tests show."""
    config.pluginmanager.register(Recorder(config.getoption("--record-shown")), "shown")
    config.addinivalue_line("markers", "slow: left to a make target of its own, which says -m 'slow or not slow'")


# What these run many times over is covered by others: to count its lines makes them half as slow again.
NOT_COUNTED = (
    "tests/models/",
    "tests/property/",
    "tests/fuzz/",
    "tests/security/test_",
    "tests/integration/test_one_answer.py",
    "tests/integration/test_server_fuzz.py",
    "tests/integration/test_soak.py",
    "tests/unit/test_packing_same_bytes.py",
)


COUNTS = "COVERAGE_PROCESS_CONFIG"
_COUNTS = pytest.StashKey[str]()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave the slow ones out where nobody asks for them, and count no lines where that shows nothing."""
    for item in items:
        if item.nodeid.startswith(NOT_COUNTED):
            item.add_marker("no_cover")
    if config.getoption("-m"):
        return
    slow = [item for item in items if item.get_closest_marker("slow")]
    if slow:
        config.hook.pytest_deselected(items=slow)
        items[:] = [item for item in items if item not in slow]


def pytest_runtest_setup(item: pytest.Item) -> None:
    # A command tells the processes that it starts which policy it was given; the next test was given none.
    os.environ.pop("AWEIGH_TRUST", None)
    # What counts lines hands itself on to the processes that are started, by a variable.
    counts = os.environ.get(COUNTS) or item.config.stash.get(_COUNTS, None)
    if counts is not None:
        item.config.stash[_COUNTS] = counts
        if item.get_closest_marker("no_cover"):
            os.environ.pop(COUNTS, None)
        else:
            os.environ[COUNTS] = counts
    for marker in item.iter_markers("needs"):
        for name in marker.args:
            require_tool(name)


@pytest.fixture(scope="session")
def root() -> Path:
    """Return the root of the checkout."""
    return ROOT


@pytest.fixture(scope="session")
def chromium() -> str:
    """Return the path of a Chromium that starts."""
    return require_tool("chromium")


@pytest.fixture(scope="session")
def docker_registry() -> str:
    """Return the path of Debian's registry of images."""
    return require_tool("docker-registry")


@pytest.fixture(scope="session")
def skopeo() -> str:
    """Return the path of skopeo, which copies images between registries and folders."""
    return require_tool("skopeo")


PORTS = range(10240, 20000)
"""Below those that the system gives out by itself: what is free here is not taken by a connection in between."""


def any_port() -> int:
    """Return a port which nobody has; never the same for two processes that ask at once."""
    while True:
        port = secrets.choice(PORTS)
        with socket.socket() as free, suppress(OSError):
            free.bind(("127.0.0.1", port))
            return port


@pytest.fixture(scope="session")
def free_port() -> Callable[[], int]:
    """Return a function that finds a port which nobody has."""
    return any_port


PROVIDER_START_S = 60.0


@contextmanager
def _provider(port: int, folder: Path, *callbacks: str) -> Iterator[str]:
    command = [sys.executable, str(ROOT / "tests" / "oidc_server.py"), str(port), str(folder), *callbacks]
    log = folder / "errors.txt"
    with log.open("wb") as errors:
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=errors)
    ask = urllib.request.build_opener(urllib.request.ProxyHandler({})).open
    try:
        end = time.monotonic() + PROVIDER_START_S
        while time.monotonic() < end and process.poll() is None:
            with suppress(OSError), ask(f"http://127.0.0.1:{port}/", timeout=5):
                break
            time.sleep(0.05)
        else:
            pytest.fail(log.read_text(), pytrace=False)
        yield f"http://127.0.0.1:{port}/o"
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@pytest.fixture(scope="session")
def open_provider() -> Callable[..., AbstractContextManager[str]]:
    """Return what runs `oidc_server.py` on a port, with a folder and callbacks: its issuer, from when it answers."""
    return _provider


@pytest.fixture(scope="session")
def vps(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Return a host that boots (`nspawn.py`), one for all tests of a session: it shares this machine's ports."""
    from tests.nspawn import open_host

    with open_host(tmp_path_factory.mktemp("vps")) as host:
        yield host


@pytest.fixture(scope="session")
def real_docker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Return a Docker of the tests' own (`compose/real.py`), one for all tests of a session."""
    from tests.compose.real import open_docker

    with open_docker(tmp_path_factory.mktemp("docker")) as docker:
        yield docker
