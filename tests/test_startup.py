"""Starting is fast because little is imported: looked at in a fresh interpreter, by the names of what it imported."""

import gc
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from urllib.request import Request, urlopen

import pytest
from click.testing import CliRunner

from aweigh.bundle.verify import verify
from aweigh.cli.serve import serve
from aweigh.server.serve import settle_memory

BUNDLE = Path(__file__).parent / "bundles" / "format-1-onnx.aweigh"

# Each costs a tenth of a second and more, or is an extra that may be missing.
HEAVY = {
    "altair",
    "anyio",
    "catboost",
    "httpx",
    "joblib",
    "lightgbm",
    "numpy",
    "onnx",
    "onnxruntime",
    "pandas",
    "pyarrow",
    "scipy",
    "skl2onnx",
    "sklearn",
    "skops",
    "starlette",
    "streamlit",
    "uv",
    "uvicorn",
    "uvloop",
    "xgboost",
}


def imports_of(*arguments: str) -> set[str]:
    """Run Python with the arguments and return the top-level names of all that it imported."""
    done = subprocess.run(
        [sys.executable, "-X", "importtime", *arguments], capture_output=True, text=True, check=True, timeout=60
    )
    # A line reads "import time:  self [us] | cumulative | name".
    lines = [line for line in done.stderr.splitlines() if line.startswith("import time:")]
    return {line.rsplit("|", 1)[1].strip().split(".")[0] for line in lines}


@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param(("-c", "import aweigh"), id="import aweigh"),
        pytest.param(("-m", "aweigh", "--help"), id="aweigh --help"),
        pytest.param(("-m", "aweigh", "--version"), id="aweigh --version"),
    ],
)
def test_nothing_heavy_is_imported(arguments):
    imported = imports_of(*arguments)
    assert "aweigh" in imported
    assert imported & HEAVY == set()


def test_what_is_heavy_would_be_seen():
    assert "numpy" in imports_of("-c", "import aweigh.table")


def test_a_server_that_anybody_may_ask_imports_no_database_and_none_of_what_knows_people():
    program = "import aweigh.server.app, aweigh.server.access.opening, sys; print(*sys.modules)"
    unmeasured = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")}
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60, env=unmeasured
    )
    imported = set(done.stdout.split())
    assert "aweigh.server.access.door" in imported
    assert imported & {"sqlite3", "psycopg", "redis", "argon2", "joserfc", "aweigh.guard.guard"} == set()


def test_a_server_answers_its_first_row_without_what_costs_a_twentieth_of_its_start(tmp_path):
    row = json.loads(verify(BUNDLE).read("examples.json"))["rows"][0]
    command = [sys.executable, "-X", "importtime", "-m", "aweigh", "serve", str(BUNDLE), "--no-ui", "--workers", "1"]
    # Where nothing of this bundle was ever measured, nobody asks which versions a measurement would hold for.
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("COVERAGE_", "AWEIGH_"))}
    with (tmp_path / "imports").open("wb") as imports:
        process = subprocess.Popen(
            [*command, "--port", "0"],
            stdout=subprocess.PIPE,
            stderr=imports,
            text=True,
            env=clean | {"XDG_CACHE_HOME": str(tmp_path)},
        )
        with process:
            assert process.stdout is not None
            url = next(found[0] for line in process.stdout if (found := re.search(r"http://\S+(?=/v1/predict)", line)))
            body = json.dumps({"rows": [row]}).encode()
            with urlopen(Request(f"{url}/v1/predict", body, {"Content-Type": "application/json"}), timeout=30) as reply:
                assert len(json.load(reply)["predictions"]) == 1
            process.terminate()
    told = (tmp_path / "imports").read_text()
    imported = {line.rsplit("|", 1)[1].strip() for line in told.splitlines() if line.startswith("import time:")}
    assert "aweigh.server.service" in imported
    assert imported & {"anyio._backends._asyncio", "importlib.metadata", "aweigh.ui.host"} == set()


def test_garbage_is_collected_again_once_a_server_has_settled_or_could_not_start():
    gc.disable()
    try:
        settle_memory()
        assert gc.isenabled()
    finally:
        gc.enable()
        gc.unfreeze()
    assert CliRunner().invoke(serve, ["nowhere.aweigh"]).exception is not None
    assert gc.isenabled()
