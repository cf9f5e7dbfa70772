"""Starting is fast because little is imported: looked at in a fresh interpreter, by the names of what it imported."""

import os
import subprocess
import sys

import pytest

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
