"""A process and all its children: CPU time and memory, read from /proc through psutil."""

import contextlib
import os
import re
import signal
import subprocess
import tempfile
import time
from pathlib import Path

import psutil

from aweigh.runtime.memory import memory_of, together

STOP_S = 10.0
CPUCLOCK_SCHED = 2
"""From linux/posix-timers.h: all CPU time of a process."""


def tree(pid: int) -> list[psutil.Process]:
    """The process and everything that it started and that still lives."""
    try:
        first = psutil.Process(pid)
        return [first, *first.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def cpu_s(pid: int) -> float:
    """CPU seconds, user and system, of the tree up to now; of children that have ended, too, once they are waited for.

    The kernel counts in steps of 10 ms, so a figure wants a second or more of work under it.
    """
    total = 0.0
    for process in tree(pid):
        with contextlib.suppress(psutil.Error):
            times = process.cpu_times()
            total += times.user + times.system + times.children_user + times.children_system
    return total


def living_cpu_s(pid: int) -> float:
    """CPU seconds of those of the tree that live, to the nanosecond: for figures of a tenth of a second's work.

    The clock of another process is that of ``clock_getcpuclockid(3)``, numbered as Linux does.
    """
    total = 0.0
    for process in tree(pid):
        with contextlib.suppress(OSError):  # it has just ended
            total += time.clock_gettime((~process.pid << 3) | CPUCLOCK_SCHED)
    return total


def kernel_s(pid: int) -> float:
    """Those of them that the kernel spent for the tree."""
    total = 0.0
    for process in tree(pid):
        with contextlib.suppress(psutil.Error):
            times = process.cpu_times()
            total += times.system + times.children_system
    return total


def memory_mb(pid: int) -> float:
    """Memory of the tree in MiB, as it would be on a machine of its own: what its processes share counts once.

    PSS by itself splits a library's pages among all that run here, and the bench and the floor use some of ours.
    """
    found = [memory_of(process.pid) for process in tree(pid)]
    return together([one for one in found if one is not None]) / 2**20


def private_mb(pid: int) -> float:
    """Memory in MiB that is this process's alone: whoever else comes or goes does not move it."""
    with contextlib.suppress(OSError):
        text = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii")
        return sum(map(int, re.findall(r"^Private_(?:Clean|Dirty):\s+(\d+) kB", text, re.MULTILINE))) / 1024
    return 0.0


def stop(process: "subprocess.Popen[bytes]") -> None:
    """Ends a process that we started, and its children: politely, and if that does not help, at once."""
    started = tree(process.pid)
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(STOP_S)
    _, alive = psutil.wait_procs(started, 1)
    for one in alive:
        with contextlib.suppress(psutil.Error):
            one.kill()
    process.wait(STOP_S)


def run_measured(command: list[str], *, env: dict[str, str] | None = None, cwd: Path | None = None) -> dict[str, float]:
    """Runs a command to its end: ``cpu_s`` of it and of what it waited for, ``seconds``, and its own ``peak_mb``.

    Raises:
        RuntimeError: it failed.
    """
    begun = time.perf_counter()
    with tempfile.TemporaryFile() as told:
        process = subprocess.Popen(command, env=env, cwd=cwd, stdout=told, stderr=subprocess.STDOUT)
        peak_mb, ended = 0.0, 0
        while not ended:
            # ru_maxrss counts what the parent held at the fork; the high-water mark begins anew with the program.
            peak_mb = _high_water_mb(process.pid) or peak_mb
            ended, status, usage = os.wait4(process.pid, os.WNOHANG)
            time.sleep(0 if ended else 0.01)
        seconds = time.perf_counter() - begun
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            told.seek(0)
            text = told.read().decode(errors="replace")[-1500:]
            msg = f"{' '.join(command[:4])} ... ended with {process.returncode}: {text}"
            raise RuntimeError(msg)
    return {
        "cpu_s": round(usage.ru_utime + usage.ru_stime, 3),
        "seconds": round(seconds, 3),
        "peak_mb": round(peak_mb, 1),
    }


def _high_water_mb(pid: int) -> float:
    with contextlib.suppress(OSError):
        found = re.search(r"^VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text(encoding="utf-8"), re.MULTILINE)
        return int(found[1]) / 1024 if found else 0.0
    return 0.0
