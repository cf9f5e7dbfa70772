"""Section ``image``: a bundle by ``aweigh image``, beside what ``docker build`` makes of a Dockerfile.

Both on one base (``BENCH_IMAGE_BASE``: an image with Python and pip in a registry on this machine), both without
anything of packages kept from before, both pushed to that registry. It needs a Docker that runs, so it is measured only
when it is asked for: ``--only image``.
"""

import http.client
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench.models import A, ensure
from bench.places import CACHE
from bench.servers import free_port

BASE = "BENCH_IMAGE_BASE"
START_S = 60.0
DOCKERFILE = """FROM {base}
WORKDIR /app
COPY ca.crt requirements.txt ./
COPY wheels ./wheels
RUN python3 -m venv /venv && /venv/bin/pip install --no-cache-dir --cert ca.crt --require-hashes -r requirements.txt
COPY model.aweigh ./
CMD ["/venv/bin/aweigh", "serve", "model.aweigh", "--host", "0.0.0.0", "--no-ui", "--auth", "none"]
"""


def measure(*, tell: Callable[[str], None]) -> dict[str, Any]:
    """``{"aweigh": {...}, "docker": {...}}``: seconds of a build with its push, the same for a new model, MB, start.

    Raises:
        RuntimeError: there is no Docker, or no base is named.
    """
    base = os.environ.get(BASE, "")
    if not base or shutil.which("docker") is None:
        msg = f"this needs a Docker that runs, and {BASE}: an image with Python and pip, in a registry on this machine"
        raise RuntimeError(msg)
    ensure(A, tell=tell)
    CACHE.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="image-", dir=CACHE) as folder:
        place = Path(folder)
        models = _two_models(place)
        registry = base.partition("/")[0]
        found = {"aweigh": _ours(base, f"{registry}/bench/aweigh", models, place)}
        tell(f"aweigh image: {found['aweigh']}")
        found["docker"] = _docker(base, f"{registry}/bench/docker", models, place)
        tell(f"docker build: {found['docker']}")
    return found


def _two_models(place: Path) -> tuple[Path, Path]:
    """The bundle, and the same with other bytes: signed."""
    first, second = place / "one" / "model.aweigh", place / "two" / "model.aweigh"
    for path in (first, second):
        path.parent.mkdir()
        shutil.copyfile(A.bundle, path)
    _run("aweigh", "keygen", "key", "-o", str(place))
    _run("aweigh", "sign", str(second), "--key", str(place / "key.key"))
    return first, second


def _ours(base: str, name: str, models: tuple[Path, Path], place: Path) -> dict[str, Any]:
    environ = {"XDG_CACHE_HOME": str(place / "cache"), "UV_CACHE_DIR": str(place / "uv")}

    def build(model: Path, tag: str) -> float:
        return _timed(
            "aweigh", "image", str(model), "-t", f"{name}:{tag}", "--base", base, "--insecure", "--push", "--no-ui",
            "--auth", "none", environ=environ,
        )  # fmt: skip

    _fetch_base(base, place / "cache" / "aweigh" / "images")
    full, again = build(models[0], "1"), build(models[1], "2")
    return {"full_s": full, "model_s": again, **_run_once(name, base)}


def _fetch_base(base: str, store: Path) -> None:
    """Docker has the base before its clock starts, and so shall we."""
    from aweigh.oci.client import open_registry
    from aweigh.oci.documents import Platform
    from aweigh.oci.reference import parse_reference
    from aweigh.oci.store import Store
    from aweigh.targets.image.base import fetch_base

    named = parse_reference(base)
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    with open_registry(named.host, insecure=True, environ=os.environ) as registry:
        fetch_base(registry, named, platform=Platform("amd64", "linux"), python=python, store=Store(store))


def _docker(base: str, name: str, models: tuple[Path, Path], place: Path) -> dict[str, Any]:
    context = place / "context"
    _run("aweigh", "deploy", "heroku", str(models[0]), "--app", "bench", "--auth", "none", "--no-ui",
         "--output-dir", str(context))  # fmt: skip
    (context / "Dockerfile").write_text(DOCKERFILE.format(base=base))
    authorities = Path(os.environ.get("SSL_CERT_FILE", "/etc/ssl/certs/ca-certificates.crt"))
    shutil.copyfile(authorities, context / "ca.crt")
    _run("docker", "pull", "-q", base)

    def build(model: Path, tag: str, *options: str) -> float:
        shutil.copyfile(model, context / "model.aweigh")
        built = _timed("docker", "build", "-q", "--network", "host", *options, "-t", f"{name}:{tag}", str(context))
        return built + _timed("docker", "push", "-q", f"{name}:{tag}")

    full, again = build(models[0], "1", "--no-cache"), build(models[1], "2")
    return {"full_s": full, "model_s": again, **_run_once(name, base)}


def _run_once(name: str, base: str) -> dict[str, float]:
    """What is over the base in the registry, and how long the second image takes to its first answer."""
    own_mb = (_size_bytes(f"{name}:2") - _size_bytes(base)) / 1e6
    _run("docker", "pull", "-q", f"{name}:2")
    port, started = free_port(), time.perf_counter()
    container = _run("docker", "run", "-d", "--network", "host", "-e", f"PORT={port}", f"{name}:2").strip()
    try:
        while not _answers(port):
            if time.perf_counter() - started > START_S:
                msg = f"{name} does not answer: {_run('docker', 'logs', container)[-500:]}"
                raise RuntimeError(msg)
            time.sleep(0.02)
        start_s = time.perf_counter() - started
    finally:
        _run("docker", "rm", "-f", container)
    return {"own_mb": round(own_mb, 1), "start_s": round(start_s, 2)}


def _answers(port: int) -> bool:
    """Whether a row is answered."""
    rows = [dict.fromkeys(A.data["columns"], 0.5)]
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("POST", "/v1/predict", json.dumps({"rows": rows}), {"Content-Type": "application/json"})
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()


def _size_bytes(name: str) -> int:
    """The compressed layers of an image in the registry."""
    host, _, rest = name.partition("/")
    repository, _, tag = rest.rpartition(":")
    accepted = "application/vnd.oci.image.manifest.v1+json, application/vnd.docker.distribution.manifest.v2+json"
    connection = http.client.HTTPConnection(host, timeout=10)
    connection.request("GET", f"/v2/{repository}/manifests/{tag}", headers={"Accept": accepted})
    manifest = json.loads(connection.getresponse().read())
    connection.close()
    return sum(int(one["size"]) for one in manifest["layers"])


def _timed(*command: str, environ: dict[str, str] | None = None) -> float:
    started = time.perf_counter()
    _run(*command, environ=environ)
    return round(time.perf_counter() - started, 2)


def _run(*command: str, environ: dict[str, str] | None = None) -> str:
    program = [sys.executable, "-m", "aweigh"] if command[0] == "aweigh" else [command[0]]
    done = subprocess.run(
        [*program, *command[1:]],
        capture_output=True,
        text=True,
        check=False,
        timeout=900,
        env=os.environ | (environ or {}),
    )
    if done.returncode:
        msg = f"{' '.join(command[:3])} ended with {done.returncode}: {(done.stderr or done.stdout)[-800:]}"
        raise RuntimeError(msg)
    return done.stdout
