"""What `aweigh doctor` measures: real environments, real processes within a dyno's limits, real sockets."""

import importlib.util
import os
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

from aweigh.targets.doctor.diagnosis import Diagnosis
from aweigh.targets.doctor.run import Limits, Run, Web, measure_web
from aweigh.targets.heroku.doctor import Wishes, diagnose
from aweigh.targets.local.environ import environ_of

FOLDERS = Path(__file__).parents[1] / "data" / "heroku"
MB = 2**20
SMALL = Limits(512 * MB, 1024 * MB, boot_s=20.0, first_byte_s=5.0, idle_s=2.0)

SOCKETS = """
import os, sys, time
from websockets.sync.server import serve

def session(socket):
    for message in socket:
        socket.send(b"\\x30\\x00")

def answer(connection, request):
    return None if request.path == "/_stcore/stream" else connection.respond(200, "page")

options = dict(ping_interval=0.3 if "pings" in sys.argv else None, subprotocols=["streamlit"], process_request=answer)
with serve(session, "0.0.0.0", int(os.environ["PORT"]), **options) as server:
    server.serve_forever()
"""
SLOW = """
import http.server, os, time
class Page(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        time.sleep(0.1)
        self.send_response(200)
        self.end_headers()
http.server.HTTPServer(("", int(os.environ["PORT"])), Page).serve_forever()
"""


def measure(folder: Path, line: str, **limits: float) -> Run:
    environ = environ_of(folder, base=os.environ, own={}, web_concurrency=2, programs=Path(sys.executable).parent)
    values = {name: getattr(SMALL, name) for name in SMALL.__dataclass_fields__} | limits
    return measure_web(Web(line, folder, environ), limits=Limits(**values))


@pytest.mark.slow
def test_a_server_that_pings_keeps_quiet_sessions_and_one_that_does_not_loses_them(tmp_path):
    (tmp_path / "server.py").write_text(SOCKETS)
    pings = measure(tmp_path, "python server.py pings")
    assert pings.asked.streams
    assert pings.asked.ping_s is not None
    assert 0.1 < pings.asked.ping_s < 2
    assert pings.asked.failures == []
    silent = measure(tmp_path, "python server.py", idle_s=1.0)
    assert silent.asked.streams
    assert silent.asked.ping_s is None


@pytest.mark.slow
def test_the_slowest_answer_is_timed(tmp_path):
    (tmp_path / "server.py").write_text(SLOW)
    run = measure(tmp_path, "python server.py", first_byte_s=0.5)
    assert run.asked.slowest_s >= 0.1
    assert run.asked.slowest == "GET /"
    assert not run.asked.streams
    assert run.end == ""


def test_a_crash_and_its_reason_are_told(tmp_path):
    run = measure(tmp_path, "python -c 'import absent_module'")
    assert run.boot_s is None
    assert run.end == "status 1"
    assert run.exception == "ModuleNotFoundError: No module named 'absent_module'"


def test_a_secret_that_a_crash_prints_is_not_told(tmp_path):
    environ = environ_of(tmp_path, base=os.environ, own={"API_TOKEN": "s3cr3t-t0ken-9"}, web_concurrency=2)
    line = "python -c 'import os; raise ValueError(os.environ[\"API_TOKEN\"])'"
    run = measure_web(Web(line, tmp_path, environ), limits=SMALL)
    assert run.exception == "ValueError: Secret(redacted)"
    assert "s3cr3t" not in str(run)


@pytest.mark.slow
def test_a_session_of_a_real_streamlit_runs_its_script(tmp_path):
    (tmp_path / "app.py").write_text(
        "import streamlit as st\nst.title('a')\nopen('ran', 'w').write(str({}['missing']))\n"
    )
    line = "python -m streamlit run app.py --server.port $PORT --server.headless true"
    run = measure(tmp_path, line, idle_s=0.5)
    assert run.asked.streams
    assert run.exception == "KeyError: 'missing'"
    assert (tmp_path / "ran").exists()
    assert 40 * MB < run.rest_bytes <= run.peak_bytes < 512 * MB


# -- whole folders, installed as the build would ----------------------------------------------------------------------


@pytest.fixture
def index(tmp_path, monkeypatch):
    """Make an index of files that offers `tinymodel` 1.0 for every Python."""
    spec = importlib.util.spec_from_file_location(
        "doctor_tests", Path(__file__).parents[1] / "unit/targets/test_doctor.py"
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.write_wheel(tmp_path / "index" / "tinymodel", "tinymodel", "py3-none-any")
    for name in list(os.environ):
        if name.startswith(("UV_", "PIP_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("UV_DEFAULT_INDEX", (tmp_path / "index").as_uri())
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "cache"))


def diagnosed(name: str, tmp_path: Path, *, slug: bool = False, **limits: float) -> Diagnosis:
    path = tmp_path / name
    shutil.copytree(FOLDERS / name, path, dirs_exist_ok=True)
    (path / ".python-version").write_text(f"{sys.version_info.major}.{sys.version_info.minor}\n")
    values = {one: getattr(SMALL, one) for one in SMALL.__dataclass_fields__} | limits
    return diagnose(path, wishes=Wishes(limits=Limits(**values), build_slug=slug), tell=lambda name, text: None)


def test_more_memory_than_the_dyno_has_is_measured_and_the_dyno_that_would_do_is_named(index, tmp_path):
    found = diagnosed("memory", tmp_path, idle_s=0.5)
    by_code = {one.code: one for one in found.findings}
    assert by_code["memory"].level == "fail", found.findings
    assert "R14" in by_code["memory"].what
    assert by_code["cost"].fix == "--size standard-2x"
    assert "boot" in by_code
    assert not (tmp_path / "memory" / "__pycache__").exists(), "it is run in a copy"


@pytest.mark.slow
def test_the_slug_is_built_of_the_folder_its_packages_and_python(index, tmp_path):
    found = diagnosed("slow_boot", tmp_path, slug=True, boot_s=0.1)
    assert found.slug is not None
    assert 5 * MB < found.slug.size_bytes < 200 * MB
    assert found.slug.largest[0][0] == "tinymodel"
    assert {one.code: one.level for one in found.findings}["slug_size"] == "pass"


@pytest.mark.slow
def test_more_than_twice_the_memory_is_ended(index, tmp_path):
    found = diagnosed("memory", tmp_path, quota_bytes=100 * MB, kill_bytes=200 * MB)
    memory = next(one for one in found.findings if one.code == "memory")
    assert memory.level == "fail"
    assert "R15" in memory.what


@pytest.mark.slow
def test_what_listens_too_late_is_measured(index, tmp_path):
    found = diagnosed("slow_boot", tmp_path, boot_s=1.0)
    by_code = {one.code: one for one in found.findings}
    assert by_code["slow_boot"].level == "fail"
    assert "R10" in by_code["slow_boot"].what


@pytest.mark.slow
def test_answers_that_take_too_long_are_measured(index, tmp_path):
    found = diagnosed("slow_request", tmp_path, first_byte_s=0.1, idle_s=0.2)
    slow = next(one for one in found.findings if one.code == "slow_request")
    assert slow.level == "fail"
    assert "H12" in slow.what
    assert "jobs: aweigh worker" in slow.fix


@pytest.mark.slow
def test_a_session_that_nobody_keeps_alive_is_measured(index, tmp_path):
    found = diagnosed("quiet_socket", tmp_path, idle_s=0.5)
    by_code = {one.code: one for one in found.findings}
    assert by_code["keep_alive"].level == "fail", found.findings
    assert "H15" in by_code["keep_alive"].what
    assert "websocketPingInterval" in by_code["keep_alive"].fix
    assert {one.code for one in found.findings if one.level == "fail"} == {"keep_alive"}


def test_nothing_is_measured_to_be_wrong_with_a_good_one(index, tmp_path):
    found = diagnosed("slug_size", tmp_path, idle_s=0.2)
    assert {one.code: one.level for one in found.findings} == {
        "not_locked": "warn",
        **dict.fromkeys(("procfile", "protection", "python_version", "wheels", "files"), "pass"),
        **dict.fromkeys(("boot", "memory", "requests", "cost"), "pass"),
    }


@pytest.mark.slow
def test_a_slug_of_more_than_500_mb_is_built_and_said_to_be_too_large(index, tmp_path):
    # No compressor finds in 32 kB what comes again after a megabyte.
    block = np.random.default_rng(0).bytes(MB)
    path = tmp_path / "slug_size" / "model.bin"
    path.parent.mkdir()
    with path.open("wb") as model:
        for _ in range(505):
            model.write(block)
    found = diagnosed("slug_size", tmp_path, slug=True, idle_s=0.2)
    slug = next(one for one in found.findings if one.code == "slug_size")
    assert slug.level == "fail"
    assert "more than 500 MB is not built" in slug.what
    assert "deploy an image" in slug.fix
    assert found.slug is not None
    assert found.slug.size_bytes > 505 * MB


def test_requirements_that_cannot_be_installed_are_said_and_nothing_is_measured(index, tmp_path):
    path = tmp_path / "app"
    shutil.copytree(FOLDERS / "memory", path)
    (path / ".python-version").write_text(f"{sys.version_info.major}.{sys.version_info.minor}\n")
    (path / "requirements.txt").write_text("tinymodel>=2\n")
    found = diagnose(path, wishes=Wishes(limits=SMALL), tell=lambda name, text: None)
    told = next(one for one in found.findings if one.code == "not_measured")
    assert "the requirements cannot be installed" in told.what
    assert "file://" not in told.what


def test_a_bundle_is_served_and_asked_its_golden_rows(index, root):
    # Its lock is not on this index, so that it is run with what is installed here.
    bundle = root / "tests" / "bundles" / "format-1-onnx.aweigh"
    found = diagnose(bundle, wishes=Wishes(limits=SMALL), tell=lambda name, text: None)
    by_code = {one.code: one for one in found.findings}
    assert by_code["not_measured"].level == "warn"
    assert by_code["memory"].level == "pass", found.findings
    assert found.run is not None
    assert found.run.asked.requests > 40
    assert found.run.asked.failures == []
