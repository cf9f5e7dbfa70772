"""What the parent of several processes imports for those of the app: all that is slow, nothing that a fork breaks."""

import json
import subprocess
import sys

import pytest

pytest.importorskip("streamlit")

PROGRAM = """
import asyncio, json, os, sys
from aweigh.cli.serving import APP_SERVER_MODULES, SERVER_MODULES
from aweigh.server.child import preload
from aweigh.ui.host import PRELOADED, create_ui
wanted = [*SERVER_MODULES, *APP_SERVER_MODULES, *PRELOADED]
preload(wanted)
threads, held = len(os.listdir("/proc/self/task")), set(sys.modules)
ui = create_ui(api_url="http://127.0.0.1:1")

async def start():
    async with ui.lifespan()(ui):
        import aweigh.ui.app

asyncio.run(start())
print(json.dumps([threads, sorted(set(wanted) - held), sorted(set(sys.modules) - held)]))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="threads are counted in /proc")
def test_a_process_that_is_forked_has_nothing_left_to_import():
    command = [sys.executable, "-P", "-W", "ignore", "-c", PROGRAM]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    threads, lacking, later = json.loads(done.stdout.splitlines()[-1])
    assert threads == 1
    assert lacking == []
    assert [name for name in later if name.startswith(("streamlit", "pandas", "numpy", "aweigh.table"))] == []
