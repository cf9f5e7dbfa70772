"""A process that has imported all that the commands need, and gives each command a child of its own.

It reads jobs from standard input, a JSON document a line, and answers each with another: the exit code, what was
printed, and what of the kind that a payload does was asked of the interpreter (audit events of PEP 578). A child is
ended after a minute, and may not take more than a few gigabytes.
"""

import contextlib
import json
import os
import resource
import signal
import sys
import tempfile
import time
import traceback
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import catboost  # noqa: F401
import lightgbm  # noqa: F401
import onnx  # noqa: F401
import onnxruntime  # noqa: F401
import payloads
import skl2onnx  # noqa: F401
import skops.io  # noqa: F401
import xgboost  # noqa: F401

import aweigh.cli.inspect
import aweigh.cli.pack
import aweigh.cli.predict
import aweigh.cli.serve
import aweigh.cli.sign
import aweigh.cli.verify
import aweigh.models.convert
import aweigh.models.onnx_file
import aweigh.models.scan
import aweigh.packing
import aweigh.runtime.load  # noqa: F401
from aweigh.__main__ import main as command

SECONDS = 60
LIVE_SECONDS = 60
MEMORY_BYTES = 6 << 30
WATCHED = {
    "os.system", "os.exec", "os.posix_spawn", "os.spawn", "os.fork", "os.forkpty", "subprocess.Popen", "pty.spawn",
    "pickle.find_class", "shutil.rmtree", "socket.connect", "webbrowser.open", "code.__new__", "function.__new__",
}  # fmt: skip
"""Python's own unpickler is among them: what looks up a name by it is not reading, but loading."""


def run(job):
    """The outcome of one job, in a child."""
    read, write = os.pipe()
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        child = os.fork()
        if child == 0:
            os.close(read)
            _become(job, out.fileno(), err.fileno(), write)
        os.close(write)
        events = b""
        while chunk := os.read(read, 65536):
            events += chunk
        os.close(read)
        _, status = os.waitpid(child, 0)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child, signal.SIGKILL)
        texts = []
        for stream in (out, err):
            stream.seek(0)
            texts.append(stream.read(1 << 20).decode(errors="replace"))
    return {
        "exit": os.waitstatus_to_exitcode(status),
        "out": texts[0],
        "err": texts[1],
        "events": sorted(set(events.decode().split())),
    }


def _become(job, out, err, events):
    """The child: never returns."""
    code = 99
    try:
        os.setsid()
        signal.alarm(job.get("seconds", SECONDS))
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(out, 1)
        os.dup2(err, 2)
        os.chdir(job["cwd"])
        os.environ.update(job.get("env", {}))
        if "live" in job:
            payloads.load(job["live"], Path(job["path"]))
            code = 0
        else:
            sys.addaudithook(lambda event, _: os.write(events, event.encode() + b"\n") if event in WATCHED else None)
            code = command(job["argv"])
    except BaseException:  # noqa: BLE001  whatever it was, it is in the answer
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def main():
    for line in sys.stdin:
        job = json.loads(line)
        outcome = run(job)
        if "live" in job:
            until = time.monotonic() + LIVE_SECONDS
            while not Path(job["mark"]).exists() and time.monotonic() < until and outcome["exit"] >= 0:
                time.sleep(0.01)
            outcome["fired"] = Path(job["mark"]).exists()
        sys.stdout.write(json.dumps(outcome) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
