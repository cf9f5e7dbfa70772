"""The places that the contract holds for, and on what each of them runs here."""

import json
import os
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from getpass import getuser
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.compose import Docker
from tests.conftest import any_port, require_tool
from tests.contract.place import Place, Running
from tests.heroku import HerokuServer
from tests.heroku.releases import DYNO_ENV
from tests.sshd_server import open_sshd

from aweigh.bundle.manifest import short
from aweigh.bundle.verify import open_bundle

TESTS = Path(__file__).parents[1]
ALONE = ("--auth", "none", "--no-ui")
"""Nobody is asked to sign in, so that a plain client can be the witness; no index is asked for a door's packages."""
SECONDS = 1800
HOST = "penguins.example.org"


def _port() -> str:
    return str(any_port())


def _of_heroku(server: HerokuServer, app: str) -> bool:
    headers = {"Accept": "application/vnd.heroku+json; version=3", "Authorization": f"Bearer {server.token}"}
    return httpx.get(f"{server.url}/apps/{app}", headers=headers, trust_env=False).status_code != 404


def _doorless(path: Path) -> Sequence[str]:
    """A folder's own web line stands as it is; what it serves is said there."""
    return ALONE if path.is_file() else ()


def _bundle_of(path: Path) -> tuple[Path, str]:
    """The bundle's file, which may be in a folder, and its digest as people see it."""
    file = path if path.is_file() else path / "penguins.aweigh"
    return file, short(open_bundle(file).digest)


@dataclass(frozen=True)
class Heroku:
    """The local server that speaks the Platform API, whose dynos are processes of this machine."""

    id: str = "heroku"
    name: str = "heroku"
    how: str = "local server"
    cannot: Mapping[str, str] = field(default_factory=dict)
    marks: Sequence[pytest.MarkDecorator] = ()
    in_process: bool = True

    @contextmanager
    def running(self, folder: Path, get: Callable[[str], Any]) -> Iterator[Running]:
        with HerokuServer(prebuilt=Path(sys.prefix), dyno_env=DYNO_ENV) as server:
            yield Running(
                environ={"HEROKU_API_KEY": server.token, "AWEIGH_HEROKU_ENDPOINT": server.url},
                options=(),
                deploying=lambda path: ("--size", "standard-1x", *_doorless(path)),
                touched=lambda: len(server.requests),
                left=lambda app: _of_heroku(server, app),
                on="this repository's server of the Platform API v3",
                most=2,
            )
            assert server.violations == []


@dataclass(frozen=True)
class Compose:
    """A program called ``docker`` whose containers are processes of this machine."""

    id: str = "compose"
    name: str = "compose"
    how: str = "stand-in program"
    cannot: Mapping[str, str] = field(default_factory=dict)
    marks: Sequence[pytest.MarkDecorator] = (pytest.mark.slow,)
    in_process: bool = True

    @contextmanager
    def running(self, folder: Path, get: Callable[[str], Any]) -> Iterator[Running]:
        docker, port = Docker(folder / "docker"), _port()

        def deploying(path: Path) -> Sequence[str]:
            file, version = _bundle_of(path)
            name = f"127.0.0.1:9/penguins@sha256:{version.ljust(64, '0')}"
            if not (docker.folder / "images" / name.replace("/", "_").replace(":", "_").replace("@", "_")).exists():
                (web,) = (path / "Procfile").read_text().splitlines()
                command = shlex.split(web.removeprefix("web: "))
                docker.add_image(name, file.read_bytes(), version=version, Cmd=command)
            return ("--port", port, "--image", name, *_doorless(path))

        try:
            yield Running(
                environ={**docker.environ(), "PYTHONPATH": str(TESTS.parent / "src")},
                options=(),
                deploying=deploying,
                touched=lambda: len(docker.asked()),
                left=lambda app: [one for one in docker.containers() if app in one],
                on="this repository's program in Docker's place",
                most=2,
            )
        finally:
            os.environ["PATH"], before = f"{docker.bin}:{os.environ['PATH']}", os.environ["PATH"]
            docker.stop()
            os.environ["PATH"] = before


@dataclass(frozen=True)
class RealCompose:
    """Docker itself, with its compose."""

    id: str = "compose-docker"
    name: str = "compose"
    how: str = "real run"
    cannot: Mapping[str, str] = field(default_factory=dict)
    marks: Sequence[pytest.MarkDecorator] = (
        pytest.mark.slow,
        pytest.mark.needs("docker-registry", "skopeo", "mmdebstrap", "dockerd", "docker", "docker compose"),
        pytest.mark.skipif(os.geteuid() != 0, reason="dockerd takes root"),
        pytest.mark.timeout(SECONDS),
    )
    in_process: bool = False

    @contextmanager
    def running(self, folder: Path, get: Callable[[str], Any]) -> Iterator[Running]:
        from tests.compose.real import IMAGES
        from tests.containers import base_in
        from tests.registry_server import running

        docker, port = get("real_docker"), _port()
        with running(require_tool("docker-registry"), folder) as registry:
            base = base_in(registry, "contract-base")
            yield Running(
                environ={"DOCKER_HOST": docker.host},
                options=(),
                deploying=lambda path: (
                    "--port", port, "--base", base, "--insecure", *IMAGES, *_doorless(path),
                ),
                left=lambda app: [
                    one
                    for words in ("ps -a --format {{.Names}}", "volume ls -q", "network ls --format {{.Name}}")
                    for one in docker(*words.split()).split()
                    if app in one
                ],
                touched=lambda: [docker(*words.split()) for words in ("ps -aq", "image ls -aq", "volume ls -q")],
                on=docker.versions,
                most=2,
            )  # fmt: skip


@dataclass(frozen=True)
class Ssh:
    """A Debian that boots, with its own systemd, sshd and Caddy."""

    id: str = "ssh"
    name: str = "ssh"
    how: str = "real run"
    cannot: Mapping[str, str] = field(
        default_factory=lambda: {
            "values": "the host keeps the values of settings to itself, so that none can be compared or shown",
        }
    )
    marks: Sequence[pytest.MarkDecorator] = (
        pytest.mark.slow,
        pytest.mark.needs("mmdebstrap", "systemd-nspawn", "ssh", "ssh-keygen"),
        pytest.mark.timeout(SECONDS),
    )
    in_process: bool = False

    @contextmanager
    def running(self, folder: Path, get: Callable[[str], Any]) -> Iterator[Running]:
        host = get("vps")
        listed = "ls -lAR --time-style=full-iso /opt/aweigh /var/lib/aweigh /etc/systemd/system /etc/caddy 2>&1"
        yield Running(
            environ={"AWEIGH_SSH_CONFIG": str(host.config)},
            options=("--host", host.address),
            deploying=lambda path: ("--port", "18091", "--memory", "512M", *_doorless(path)),
            touched=lambda: host.sh(f"{listed}; cut -d: -f1 /etc/passwd"),
            left=lambda app: host.sh(
                f"ls -d /opt/aweigh/{app} /var/lib/aweigh/{app} /etc/caddy/aweigh/{app}.caddy 2>/dev/null; "
                f"ls /etc/systemd/system | grep aweigh-{app}; id -u aweigh-{app} 2>/dev/null",
                check=False,
            ),
            on=host.versions,
            most=2,
        )


@dataclass(frozen=True)
class Dokku:
    """What answers in Dokku's place behind a real sshd: it takes what real git pushes, and builds and runs nothing."""

    id: str = "dokku"
    name: str = "dokku"
    how: str = "documentation"
    cannot: Mapping[str, str] = field(
        default_factory=lambda: {
            "answers": "what stands in for Dokku runs nothing that could be asked",
            "named": "Dokku tells neither a release's number nor a bundle's digest",
            "process types": "Dokku takes whatever name a process type has",
        }
    )
    marks: Sequence[pytest.MarkDecorator] = (pytest.mark.needs("ssh", "ssh-keygen", "git"),)
    in_process: bool = True

    @contextmanager
    def running(self, folder: Path, get: Callable[[str], Any]) -> Iterator[Running]:
        forced = f"{sys.executable} -I {TESTS}/dokku_stand_in.py {folder}"
        git = subprocess.run(["git", "--version"], capture_output=True, text=True, check=True).stdout.split()[2]
        asked = folder / "asked"
        with open_sshd(folder, forced=forced) as port:
            yield Running(
                environ={"AWEIGH_SSH_CONFIG": str(folder / "good")},
                options=("--host", f"{getuser()}@127.0.0.1:{port}"),
                deploying=_doorless,
                touched=lambda: asked.read_text() if asked.exists() else "",
                left=lambda app: [one for one in (folder / "apps").iterdir() if one.name == app],
                on=f"this repository's program in Dokku's place, git {git}",
                most=2,
            )


@dataclass(frozen=True)
class Kubernetes:
    """What stands in for Kubernetes' API, with controllers and a node whose pods are processes of this machine."""

    id: str = "kubernetes"
    name: str = "kubernetes"
    how: str = "stand-in program"
    cannot: Mapping[str, str] = field(
        default_factory=lambda: {
            "values": "the cluster keeps the values of settings to itself, so that none can be compared or shown",
            "settings of an app": "settings are there before the app, which may need them to come up at all",
        }
    )
    marks: Sequence[pytest.MarkDecorator] = ()
    in_process: bool = True

    @contextmanager
    def running(self, folder: Path, get: Callable[[str], Any]) -> Iterator[Running]:
        from tests.kubernetes.api import running_api
        from tests.kubernetes.documents import kubeconfig
        from tests.kubernetes.images import Images
        from tests.kubernetes.kubelet import serving
        from tests.kubernetes.node import running_node

        images = Images()
        with (
            running_api() as api,
            serving(images.app) as port,
            httpx.Client(base_url=api.url, trust_env=False) as client,
            running_node(client, "models", folder) as node,
        ):
            api.logs, api.backends = node, node.ports
            (folder / "kubeconfig").write_text(json.dumps(kubeconfig(api.url)))

            def deploying(path: Path) -> Sequence[str]:
                file, version = _bundle_of(path)
                digest = images.add(version)
                node.images[digest] = file
                name = f"127.0.0.1:{port}/penguins@{digest}"
                return ("--host", HOST, "--image", name, "--insecure", *_doorless(path))

            yield Running(
                environ={"KUBECONFIG": str(folder / "kubeconfig")},
                options=(),
                deploying=deploying,
                touched=lambda: len(api.written),
                left=lambda app: [
                    name
                    for listed in api.store.objects.values()
                    for name, one in listed.items()
                    if one["metadata"].get("labels", {}).get("app.kubernetes.io/instance") == app
                ],
                on="this repository's server in the API's place",
                most=2,
                reached=node.reached,
            )


@dataclass(frozen=True)
class Ray:
    """A real Ray of three nodes on this machine, which `make ray` has an environment for."""

    id: str = "ray"
    name: str = "ray"
    how: str = "real run"
    cannot: Mapping[str, str] = field(
        default_factory=lambda: {
            "folders": "Ray Serve serves a bundle's API, and no folder with a web line of its own",
            "down": "Ray Serve runs one replica at least",
        }
    )
    marks: Sequence[pytest.MarkDecorator] = (
        pytest.mark.slow,
        pytest.mark.needs("ray"),
        pytest.mark.timeout(SECONDS),
    )
    in_process: bool = False

    @contextmanager
    def running(self, folder: Path, get: Callable[[str], Any]) -> Iterator[Running]:
        import ray
        from tests.ray.cluster import ray_cluster

        port = _port()
        with ray_cluster(3, cpus=2, dashboard=True) as cluster:
            yield Running(
                environ=cluster.environ,
                options=("--address", cluster.address),
                deploying=lambda path: ("--auth", "none", "--cpus", "0.5", "--port", port, "--replicas", "1"),
                touched=cluster.kept,
                left=lambda app: [one for one in cluster.kept() if app in one.split(":")],
                on=f"Ray {ray.__version__}",
                most=2,
                rendering=("--image", f"registry.example.org/penguins@sha256:{'0' * 64}"),
            )


PLACES: Sequence[Place] = (Heroku(), Compose(), RealCompose(), Ssh(), Dokku(), Kubernetes(), Ray())
