"""A bundle's own requirements are enough: an environment of them and aweigh's wheel serves it, without pandas."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
import venv
from pathlib import Path

import pytest

from aweigh.bundle.verify import verify
from aweigh.packing.pack import Packed

ROOT = Path(__file__).parents[2]
START_S = 60.0


def run(*argv: object, cwd: Path) -> str:
    """Run a command in a clean environment of variables; its standard output."""
    keep = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "COV_", "COVERAGE"))}
    done = subprocess.run(
        [str(one) for one in argv], cwd=cwd, env=keep, capture_output=True, text=True, check=False, timeout=240
    )
    assert done.returncode == 0, f"{argv}\n{done.stdout}\n{done.stderr}"
    return done.stdout


HEAVY = ("sklearn", "pandas", "streamlit", "pyarrow", "skl2onnx", "skops")


@pytest.mark.timeout(300)
def test_an_onnx_bundle_is_served_from_its_lock_alone(tmp_path: Path, penguins: Packed):
    assert penguins.manifest.runtime == "onnx"
    bundle = verify(penguins.path)
    lock = tmp_path / "requirements.txt"
    lock.write_bytes(bundle.read("requirements.txt"))
    assert "--hash=sha256:" in lock.read_text()

    home = tmp_path / "bare"
    venv.create(home, with_pip=True)
    python = home / "bin" / "python"
    run(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", tmp_path / "dist", cwd=ROOT)
    wheel = next((tmp_path / "dist").glob("*.whl"))
    pip = (python, "-m", "pip", "--disable-pip-version-check", "install", "-q")
    run(*pip, "--require-hashes", "-r", lock, cwd=tmp_path)
    run(*pip, "--no-deps", wheel, cwd=tmp_path)
    look = f"import importlib.util as u; print([name for name in {HEAVY} if u.find_spec(name)])"
    assert run(python, "-c", look, cwd=tmp_path).strip() == "[]"

    examples = json.loads(bundle.read("examples.json"))
    port = free_port()
    server = subprocess.Popen([python, "-m", "aweigh", "serve", penguins.path, "--port", str(port)], cwd=tmp_path)
    try:
        answer = ask(port, examples["rows"], server)
    finally:
        server.send_signal(signal.SIGTERM)
        code = server.wait(timeout=30)
    assert code == 0
    labels = [one["label"] for one in answer["predictions"]]
    assert labels == [one["label"] for one in examples["predictions"]]


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def ask(
    port: int, rows: list[dict[str, object]], server: subprocess.Popen[bytes]
) -> dict[str, list[dict[str, object]]]:
    """Ask the server as soon as it answers; its document."""
    body = json.dumps({"rows": rows}).encode()
    request = urllib.request.Request(f"http://127.0.0.1:{port}/v1/predict", body, {"Content-Type": "application/json"})
    deadline = time.monotonic() + START_S
    while True:
        assert server.poll() is None, "the server ended before it answered"
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                document: dict[str, list[dict[str, object]]] = json.load(answer)
                return document
        except (urllib.error.HTTPError, OSError):
            assert time.monotonic() < deadline, "no answer in time"
            time.sleep(0.2)
