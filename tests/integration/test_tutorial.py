"""The tutorials work: every block of each page is run in its order, as a reader would."""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.data_sets import BUNDLE, rows, write
from tests.heroku import HerokuServer

TUTORIALS = Path(__file__).parents[2] / "docs" / "tutorials"
FENCE = re.compile(r"^```(\w+) ?([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PORT_IN_TEXT = "8765"
START_S = 60.0


@dataclass(frozen=True)
class Block:
    language: str
    words: str
    body: str


def blocks(page: str) -> list[Block]:
    return [Block(*match.groups()) for match in FENCE.finditer((TUTORIALS / page).read_text(encoding="utf-8"))]


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


@pytest.fixture
def servers() -> Iterator[list[subprocess.Popen[bytes]]]:
    started: list[subprocess.Popen[bytes]] = []
    yield started
    for process in started:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def wait_until_ready(port: str, server: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline:
        assert server.poll() is None, "the server ended before it was ready"
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/health/ready", timeout=5) as answer:
                if answer.status == 200:
                    return
        except OSError:
            time.sleep(0.2)
    pytest.fail("the server was not ready in time")


def play(
    page: str, folder: Path, servers: list[subprocess.Popen[bytes]], environ: dict[str, str] | None = None
) -> tuple[int, int]:
    """Run a page's blocks; how many were run, and how many said what they were expected to."""
    port = str(free_port())
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path} | (environ or {})
    printed, run, expected = "", 0, 0
    for block in blocks(page):
        body = block.body.replace(PORT_IN_TEXT, port)
        if block.language == "python":
            name = block.words.removeprefix('title="').removesuffix('"')
            (folder / name).write_text(body, encoding="utf-8")
        elif block.language == "bash" and block.words == "background":
            command = ["bash", "-c", f"exec {body}"]
            servers.append(subprocess.Popen(command, cwd=folder, env=environment, start_new_session=True))
            wait_until_ready(port, servers[-1])
        elif block.language == "bash":
            command = ["bash", "-euo", "pipefail", "-c", body]
            done = subprocess.run(
                command, cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=120
            )
            assert done.returncode == 0, f"{body}\n{done.stdout}\n{done.stderr}"
            printed, run = done.stdout, run + 1
        elif block.words == "expect":
            assert body.strip() in printed, f"expected {body.strip()!r} in {printed!r}"
            expected += 1
    return run, expected


@pytest.mark.timeout(180)
def test_every_block_of_the_first_tutorial_does_what_the_page_says(
    tmp_path: Path, servers: list[subprocess.Popen[bytes]]
):
    assert play("first-app.md", tmp_path, servers) == (7, 3)


@pytest.mark.timeout(180)
def test_every_block_of_the_tutorial_to_heroku_does_what_the_page_says(tmp_path: Path, postgres: str):
    quick = {"AWEIGH_WORKERS": "1", "AWEIGH_DRAIN_DELAY_S": "0"}
    with HerokuServer(prebuilt=Path(sys.prefix), dyno_env=quick, postgres_url=postgres) as server:
        environ = {"HEROKU_API_KEY": server.token, "AWEIGH_HEROKU_ENDPOINT": server.url}
        assert play("to-heroku.md", tmp_path, [], environ) == (8, 3)
        assert server.violations == []


@pytest.mark.timeout(180)
def test_every_block_of_the_how_to_for_data_sets_does_what_the_page_says(tmp_path: Path):
    shutil.copy(BUNDLE, tmp_path / "penguins.aweigh")
    for name in ("a.csv", "2026/b.csv.gz", "2026/11/c.parquet"):
        write(rows(50).drop(columns="id"), tmp_path / "birds" / name)
    assert play("../how-to/score-a-large-dataset.md", tmp_path, []) == (3, 1)
    assert {path.name for path in (tmp_path / "as-parquet").rglob("*.parquet")} == {"a.parquet"}
