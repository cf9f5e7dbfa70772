"""A release builds as Heroku's classic Python buildpack builds, and boots with nothing but what a dyno has.

The rules are those of the buildpack's detection and compilation: exactly one package manager's file, the form of
.python-version, no environment brought along, requirements installed by pip into an environment that has nothing else.
"""

import json
import os
import re
import signal
import subprocess
import sys
import tarfile
import time
import venv
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import httpx
import psycopg
import pytest

from aweigh.bundle.verify import verify
from aweigh.targets.heroku.render import render, source_of
from aweigh.targets.procfile import read_procfile
from aweigh.targets.releasing import Wishes, release_of
from aweigh.targets.tarball import write_tarball

HOST = "penguins-1a2b3c.example.org"
BOOT_S = 60.0
STOP_S = 30.0
MANAGERS = ("requirements.txt", "Pipfile.lock", "poetry.lock", "uv.lock")
RUNNING = f"{sys.version_info.major}.{sys.version_info.minor}"


@dataclass
class Dyno:
    """A built slug, and what a dyno's processes have in their environment."""

    root: Path
    home: Path
    environ: Mapping[str, str] = field(default_factory=dict)

    @property
    def processes(self) -> Mapping[str, str]:
        return read_procfile((self.root / "Procfile").read_text()).processes

    def environment(self, **more: str) -> dict[str, str]:
        path = f"{self.home / 'python' / 'bin'}{os.pathsep}/usr/bin{os.pathsep}/bin"
        return {"PATH": path, "HOME": str(self.home), **self.environ, **more}

    def run(self, line: str) -> subprocess.CompletedProcess[str]:
        """Run a one-off command."""
        return subprocess.run(
            ["bash", "-c", line], cwd=self.root, env=self.environment(), capture_output=True, text=True, check=False,
            timeout=BOOT_S,
        )  # fmt: skip


def build(path: object, folder: Path, *, wishes: Wishes) -> Dyno:
    """Do with a release's tarball what the buildpack does."""
    release = release_of(Path(str(path)), name="penguins", wishes=wishes)
    write_tarball(source_of(release, render(release)), folder / "source.tgz")
    root = folder / "app"
    with tarfile.open(folder / "source.tgz") as archive:
        archive.extractall(root, filter="data")
    assert [name for name in MANAGERS if (root / name).exists()] == ["requirements.txt"]
    version = (root / ".python-version").read_text()
    assert re.fullmatch(r"3\.(1[0-4])(\.\d+)?\n?", version)
    assert version.strip() == RUNNING
    assert not (root / ".venv").exists()
    assert not (root / "runtime.txt").exists()
    home = folder / "home"
    venv.create(home / "python", with_pip=False, symlinks=True)
    keep = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "COV_", "COVERAGE"))}
    pip = [
        sys.executable,
        "-m",
        "pip",
        "--python",
        str(home / "python" / "bin" / "python"),
        "--disable-pip-version-check",
    ]
    done = subprocess.run(
        [*pip, "install", "--quiet", "--no-input", "--no-compile", "-r", "requirements.txt"],
        cwd=root, env=keep, capture_output=True, text=True, check=False, timeout=240,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    checked = subprocess.run([*pip, "check"], cwd=root, env=keep, capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout
    return Dyno(root, home, release.config)


class Web:
    """The web process, started as a dyno starts it; told to stop as a dyno is."""

    def __init__(self, dyno: Dyno, port: int, **more: str) -> None:
        self.log = dyno.home / f"web-{port}.log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                ["bash", "-c", dyno.processes["web"]],
                cwd=dyno.root,
                env=dyno.environment(PORT=str(port), **more),
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.client = httpx.Client(
            base_url=f"http://127.0.0.1:{port}",
            headers={"Host": HOST, "X-Forwarded-Proto": "https", "X-Forwarded-For": "192.0.2.7"},
            trust_env=False,
            timeout=30,
        )

    def __enter__(self) -> Self:
        end = time.monotonic() + BOOT_S
        while time.monotonic() < end and self.process.poll() is None:
            with suppress(httpx.TransportError):
                if self.client.get("/health/ready").status_code == httpx.codes.OK:
                    return self
            time.sleep(0.1)
        self.end(signal.SIGKILL)
        pytest.fail(f"not ready in {BOOT_S} s: {self.told}", pytrace=False)

    def __exit__(self, *_: object) -> None:
        self.end(signal.SIGKILL)
        self.client.close()

    @property
    def told(self) -> str:
        return self.log.read_text()

    def end(self, sent: int) -> float:
        """Signal every process of the dyno, as the platform does; the seconds until the first of them has ended."""
        began = time.monotonic()
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, sent)
        self.process.wait(STOP_S)
        return time.monotonic() - began


def golden(path: Path) -> tuple[list[dict[str, object]], list[object]]:
    """The golden rows, and the labels that the original model gave."""
    examples = json.loads(verify(path).read("examples.json"))
    return examples["rows"], [one["label"] for one in examples["predictions"]]


def predicted(web: Web, rows: list[dict[str, object]], **headers: str) -> list[object]:
    answer = web.client.post("/v1/predict", json={"rows": rows}, headers=headers)
    assert answer.status_code == httpx.codes.OK, answer.text
    return [one["label"] for one in answer.json()["predictions"]]


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_a_bundle_builds_boots_is_guarded_and_answers(tmp_path, penguins, postgres, free_port):
    # Where somebody is an administrator already no first link is printed: it takes a database without people.
    with psycopg.connect(postgres, autocommit=True) as connection:
        connection.execute("CREATE DATABASE built_penguins")
    own = postgres.replace("/postgres?", "/built_penguins?", 1)
    assert own != postgres
    dyno = build(penguins.path, tmp_path, wishes=Wishes())
    assert list(dyno.processes) == ["web", "release"]
    dyno.environ = {**dyno.environ, "DATABASE_URL": own, "AWEIGH_HOSTS": HOST}

    migrated = dyno.run(dyno.processes["release"])
    assert migrated.returncode == 0, migrated.stderr
    assert "people, keys and the audit log are in PostgreSQL" in migrated.stdout
    assert "jobs are in PostgreSQL" in migrated.stdout

    rows, labels = golden(penguins.path)
    with Web(dyno, free_port()) as web:
        added = dyno.run("aweigh users add ana --role predictor > people && aweigh keys add ci --owner ana --json")
        assert added.returncode == 0, added.stderr
        key = json.loads(added.stdout)["secret"]
        assert web.client.post("/v1/predict", json={"rows": rows[:1]}).status_code == httpx.codes.UNAUTHORIZED
        assert web.client.get("/", headers={"Accept": "text/html"}).status_code == httpx.codes.SEE_OTHER
        assert predicted(web, rows, Authorization=f"Bearer {key}") == labels
        assert web.client.get("/v1/model", headers={"Host": "other.example.org"}).status_code >= 400
        assert web.end(signal.SIGTERM) < STOP_S
        assert web.process.returncode == 0, web.told
    assert f"https://{HOST}/invite/" in web.told
    assert key not in web.told


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_what_the_buildpack_says_of_processes_is_left_to_the_plan(tmp_path, penguins, free_port):
    """An API alone that anybody may ask; WEB_CONCURRENCY is what the buildpack sets for the largest dyno."""
    dyno = build(penguins.path, tmp_path, wishes=Wishes(auth="none", ui=False))
    assert list(dyno.processes) == ["web"]
    rows, labels = golden(penguins.path)
    with Web(dyno, free_port(), WEB_CONCURRENCY="33", DYNO="web.1", DYNO_RAM="512") as web:
        assert predicted(web, rows) == labels
        assert not re.search(r"33 processes", web.told)
        assert web.end(signal.SIGTERM) < STOP_S
        assert web.process.returncode == 0, web.told


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_a_script_without_anything_else_builds_and_is_shown(tmp_path, free_port):
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "app.py").write_text("import streamlit as st\nst.title('Hello')\n")
    dyno = build(folder, tmp_path, wishes=Wishes(auth="none"))
    assert dyno.processes == {"web": "aweigh serve app.py --host 0.0.0.0 --auth none"}
    with Web(dyno, free_port()) as web:
        page = web.client.get("/", headers={"Accept": "text/html"})
        assert page.status_code == httpx.codes.OK
        assert "<html" in page.text
        assert web.end(signal.SIGTERM) < STOP_S


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_a_script_with_requirements_of_its_own_builds_with_aweigh_added(tmp_path, free_port):
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "streamlit_app.py").write_text("import streamlit as st\nst.title('Hello')\n")
    (folder / "requirements.txt").write_text("# mine\nstreamlit>=1.67\n")
    dyno = build(folder, tmp_path, wishes=Wishes(auth="none"))
    with Web(dyno, free_port()) as web:
        assert web.client.get("/", headers={"Accept": "text/html"}).status_code == httpx.codes.OK


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_jobs_are_run_by_workers(tmp_path, penguins, postgres, free_port):
    dyno = build(penguins.path, tmp_path, wishes=Wishes(auth="none", ui=False, worker=True))
    dyno.environ = {**dyno.environ, "DATABASE_URL": postgres}
    assert dyno.run(dyno.processes["release"]).returncode == 0
    rows, labels = golden(penguins.path)
    worker = subprocess.Popen(
        ["bash", "-c", dyno.processes["worker"]], cwd=dyno.root, env=dyno.environment(), start_new_session=True
    )
    try:
        with Web(dyno, free_port()) as web:
            body = "\n".join(map(json.dumps, rows))
            posted = web.client.post("/v1/jobs", content=body, headers={"Content-Type": "application/x-ndjson"})
            assert posted.status_code == httpx.codes.ACCEPTED, posted.text
            end = time.monotonic() + BOOT_S
            while (found := web.client.get(posted.headers["Location"]).json())["state"] not in {"done", "failed"}:
                assert time.monotonic() < end, found
                time.sleep(0.1)
            assert found["state"] == "done"
            assert found["progress"]["rows"] == len(labels)
    finally:
        os.killpg(worker.pid, signal.SIGTERM)
        assert worker.wait(STOP_S) == 0
