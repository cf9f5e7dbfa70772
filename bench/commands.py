"""Section ``commands``: what ``aweigh --help``, ``inspect`` and ``pack`` cost, each in a process of its own."""

import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

from bench.models import C, ensure
from bench.places import CACHE, ROOT
from bench.processes import run_measured
from bench.servers import environment

REPEATS = 5


def measure(*, tell: Callable[[str], None]) -> dict[str, Any]:
    """CPU seconds, the best of several; ``pack`` of model C is the second of two, so that the cache is warm."""
    ensure(C, tell=tell)
    run = [sys.executable, "-m", "aweigh"]
    found: dict[str, Any] = {
        "help": _best([*run, "--help"], REPEATS),
        "inspect": _best([*run, "inspect", str(C.bundle)], REPEATS),
        "python": _best([sys.executable, "-c", "pass"], REPEATS),
    }
    out = CACHE / "packed.aweigh"
    command = [*run, "pack", str(C.joblib), "--data", str(C.sample), "--target", "target", "-o", str(out)]
    packs = []
    for _ in range(2):
        out.unlink(missing_ok=True)
        packs.append(run_measured(command, env=environment({}), cwd=ROOT))
    out.unlink(missing_ok=True)
    found["pack"] = packs[-1] | {"steps": _steps(command)}
    out.unlink(missing_ok=True)
    for name, figures in found.items():
        tell(f"{name}: {figures}")
    return found


def _best(command: list[str], repeats: int) -> dict[str, float]:
    runs = [run_measured(command, env=environment({}), cwd=ROOT) for _ in range(repeats)]
    return min(runs, key=lambda one: one["cpu_s"])


def _steps(command: list[str]) -> list[str]:
    """The name of each line that it prints while it works, and when it came."""
    begun = time.perf_counter()
    found: list[str] = []
    with subprocess.Popen(command, env=environment({}), cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        for line in process.stdout or ():
            name = line.split(maxsplit=1)[:1]
            if name and line.startswith("  ") and line[2:3].isalpha():
                found.append(f"{name[0]} {time.perf_counter() - begun:.1f} s")
    return found
