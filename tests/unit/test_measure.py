"""Measuring: the largest request, and what is said when there is no server to measure."""

import json
import subprocess
import sys
import tempfile

import pytest

from aweigh.server import measure
from aweigh.server.measure import died, largest_body

ROWS = [{"a": 1}, {"a": None, "b": "long enough"}]


def test_the_largest_request_is_as_large_as_the_limits_let_it_be():
    rows, body = largest_body(ROWS, most_rows=5, most_bytes=10_000)
    assert rows == 5
    assert json.loads(body) == {"rows": [ROWS[i % 2] for i in range(5)]}
    rows, body = largest_body(ROWS, most_rows=10**6, most_bytes=1000)
    assert len(json.loads(body)["rows"]) == rows
    assert 1000 - len(json.dumps(ROWS[1])) - 2 < len(body) <= 1000
    assert largest_body(ROWS, most_rows=5, most_bytes=11) == (0, b'{"rows":[]}')


@pytest.mark.parametrize(
    ("script", "said", "hint"),
    [
        ("import sys; sys.exit('error: Port 1 is taken.\\nhint: take 2')", "Port 1 is taken.", "take 2"),
        ("import os; os.kill(os.getpid(), 9)", "The server was killed while it was measured", "--memory 512M --cpus 1"),
        ("raise SystemExit(1)", "The server did not become ready", "aweigh serve"),
        ("import time; time.sleep(60)", "The server did not become ready", "aweigh serve"),
    ],
)
def test_why_there_is_no_server_is_told(script, said, hint, monkeypatch):
    monkeypatch.setattr(measure, "ENDING_S", 0.5 if "sleep" in script else 20.0)
    with tempfile.TemporaryFile() as errors:
        process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.DEVNULL, stderr=errors, text=True)
        try:
            error = died(process, errors)
        finally:
            process.kill()
            process.wait()
    assert error.message.startswith(said)
    assert hint in error.hint
