"""Starting is fast because little is imported: looked at in a fresh interpreter, by the names of what it imported."""

import gc
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from urllib.request import Request, urlopen

import pytest

from aweigh.bundle.verify import verify
from aweigh.cli.serve import _uncollected
from aweigh.cli.serving import serve_many
from aweigh.server.settings import Settings
from aweigh.server.settling import settle_memory

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
        assert process.stdout is not None
        try:
            url = next(found[0] for line in process.stdout if (found := re.search(r"http://\S+(?=/v1/predict)", line)))
            body = json.dumps({"rows": [row]}).encode()
            with urlopen(Request(f"{url}/v1/predict", body, {"Content-Type": "application/json"}), timeout=30) as reply:
                assert len(json.load(reply)["predictions"]) == 1
        finally:
            process.terminate()
            process.communicate(timeout=30)
    told = (tmp_path / "imports").read_text()
    imported = {line.rsplit("|", 1)[1].strip() for line in told.splitlines() if line.startswith("import time:")}
    assert "aweigh.server.service" in imported
    assert imported & {"anyio._backends._asyncio", "importlib.metadata"} == set()


def test_no_garbage_is_looked_for_while_a_server_starts_and_all_of_it_again_afterwards():
    with pytest.raises(ZeroDivisionError), _uncollected():
        assert not gc.isenabled()
        raise ZeroDivisionError
    assert gc.isenabled()
    with _uncollected():
        settle_memory()
        assert gc.isenabled()
    gc.unfreeze()


WHILE_STARTING = """
import gc, multiprocessing, sys, time
from aweigh.cli.serve import _uncollected
from aweigh.server.child import Work, start
from aweigh.server.settling import settle_memory

def work(seat):
    before = gc.isenabled()
    settle_memory()
    seat.settled(before is False and gc.isenabled())

child = start(Work("one", work), seat=0, alone=True)
end = time.monotonic() + 30
while child.settled is None and time.monotonic() < end:
    child.hear()
print(child.settled, gc.isenabled())
"""


def test_a_process_of_several_collects_from_when_it_has_settled():
    done = subprocess.run(
        [sys.executable, "-c", WHILE_STARTING], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.split() == ["True", "True"]


def test_the_process_that_watches_over_the_others_collects(monkeypatch):
    seen = []
    monkeypatch.setattr(
        "aweigh.server.workers.Supervisor", lambda **_: SimpleNamespace(run=lambda: seen.append(gc.isenabled()))
    )
    settings = Settings()
    wanted = SimpleNamespace(settings=settings, workers=1, ui_processes=0, has_ui=False, bundle=None, candidate=None)
    with _uncollected():
        serve_many(wanted, steps=None)
    assert seen == [True]
