"""A Debian with a Python in it as a base of images, and podman as it runs inside a container."""

import fcntl
import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from tests.conftest import require_tool
from tests.registry_server import DockerRegistry

SUITES = {"3.11": "bookworm", "3.13": "trixie"}
"""Which Debian has which Python."""
PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"
PACKAGES = ("python3-minimal", "ca-certificates", "libpython{python}-stdlib")
MAKE_S = 600
# What works without an init system, namespaces of the network and limits that may be raised.
PODMAN = """[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "file"
[containers]
netns = "host"
default_ulimits = ["nofile=1024:1024", "nproc=4096:4096"]
"""


def base_archive() -> Path:
    """The root of a Debian with this Python, made once on a machine and kept in the user's cache.

    It skips where no Debian has this Python.
    """
    suite = SUITES.get(PYTHON)
    if suite is None:
        pytest.skip(f"no Debian has Python {PYTHON}")
    mmdebstrap = require_tool("mmdebstrap")
    folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "aweigh-tests"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{suite}-python{PYTHON}.tar"
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not path.exists():
            packages = ",".join(PACKAGES).format(python=PYTHON)
            made = path.with_suffix(".part.tar")
            done = subprocess.run(
                [mmdebstrap, "--variant=minbase", f"--include={packages}", suite, made],
                capture_output=True, text=True, check=False, timeout=MAKE_S,
            )  # fmt: skip
            if done.returncode:
                pytest.fail(f"mmdebstrap makes no {suite}: {done.stderr[-1000:]}", pytrace=False)
            made.rename(path)
    return path


def base_in(registry: DockerRegistry, repository: str = "base") -> str:
    """That Debian as an image in the registry, put there by skopeo: its name."""
    name = f"{registry.host}/{repository}:debian"
    skopeo("copy", "-q", "--dest-tls-verify=false", f"tarball:{base_archive()}", f"docker://{name}")
    return name


def skopeo(*arguments: str) -> str:
    """What skopeo prints."""
    return _ran(require_tool("skopeo"), *arguments)


class Podman:
    """podman with a store of its own."""

    def __init__(self, folder: Path) -> None:
        self._program = require_tool("podman")
        require_tool("runc")
        (folder / "containers.conf").write_text(PODMAN)
        self._environ = os.environ | {"CONTAINERS_CONF": str(folder / "containers.conf")}
        # Paths of sockets have 108 characters at most, and a test's folder has most of them.
        self._run = tempfile.mkdtemp(prefix="podman-")
        self._places = ["--root", str(folder / "root"), "--runroot", self._run]

    def __call__(self, *arguments: str) -> str:
        """What it prints."""
        return _ran(self._program, *self._places, *arguments, environ=self._environ)

    @contextmanager
    def running(self, image: str, *options: str, port: int) -> Iterator[str]:
        """A container of the image, ready on that port until the block ends: its name."""
        name = self("run", "-d", *options, "-e", f"PORT={port}", image).strip()
        try:
            end = time.monotonic() + 60
            while not answers(f"http://127.0.0.1:{port}/health/ready"):
                if time.monotonic() > end:
                    pytest.fail(f"it is not ready after 60 s: {self('logs', name)}", pytrace=False)
                time.sleep(0.05)
            yield name
        finally:
            with suppress(subprocess.SubprocessError):
                self("rm", "-f", "-t", "0", name)


def answers(url: str) -> bool:
    """Whether an address answers with 200."""
    try:
        with urllib.request.urlopen(url, timeout=5) as reply:
            return reply.status == 200
    except OSError:
        return False


def post(url: str, document: object) -> dict[str, object]:
    """What is answered to a document."""
    body = json.dumps(document).encode()
    request = urllib.request.Request(url, body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=30) as reply:
        return json.load(reply)


def _ran(*command: str, environ: dict[str, str] | None = None) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300, env=environ)
    if done.returncode:
        raise subprocess.SubprocessError(f"{' '.join(command)}\n{done.stderr[-2000:]}")
    return done.stdout
