"""What the measurements were made on: processor, memory, kernel, versions, and how busy it was."""

import datetime as dt
import importlib.metadata
import os
import platform
import subprocess
from pathlib import Path

from bench.places import ROOT

SHOWN = ("aweigh", "uvicorn", "uvloop", "httptools", "starlette", "msgspec", "numpy", "onnxruntime", "streamlit")


def machine() -> dict[str, object]:
    """Everything that a reader needs to judge a figure by; no names of hosts or users."""
    return {
        "date": dt.datetime.now(tz=dt.UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "commit": _commit(),
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "versions": {name: importlib.metadata.version(name) for name in SHOWN},
        "load_before": round(os.getloadavg()[0], 2),
    }


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _commit() -> str:
    done = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    return done.stdout.strip() or "unknown"
