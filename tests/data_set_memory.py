"""What scoring a data set takes of memory: the most that each process had, beside the size of the data.

`python tests/data_set_memory.py` makes 1.2 GB of CSV below a temporary folder, scores it in two processes, and prints
the figures; `--on ADDRESS` scores on a Ray of this machine. The rows carry a kilobyte of text each along.
"""

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

ROOT = Path(__file__).parents[1]
BUNDLE = ROOT / "tests" / "bundles" / "format-1-onnx.aweigh"
FILES = 24
ROWS = 48_000
NOTE_BYTES = 1_000
BLOCK_ROWS = 1_000
HWM = re.compile(r"VmHWM:\s+(\d+) kB")
HERE, RAY = "spawn_main", "MapWorker"
"""What stands in the command line of a process that scores."""


@dataclass(frozen=True, slots=True)
class Peak:
    """A run: bytes and rows of the data, the most that a process which scores had, how many did, and the seconds."""

    data_bytes: int
    rows: int
    most_bytes: int
    processes: int
    seconds: float

    def told(self) -> str:
        """Return the run as a line."""
        return (
            f"{self.data_bytes / 1e6:,.0f} MB in {self.rows:,} rows: at most {self.most_bytes / 1e6:,.0f} MB in each "
            f"of {self.processes} processes ({self.data_bytes / self.most_bytes:.1f} times less), {self.seconds:.0f} s"
        )


def make(folder: Path, *, files: int) -> int:
    """Write so many files; their bytes."""
    folder.mkdir()
    note = "n" * NOTE_BYTES
    block = "".join(f"Dream,{40 + i % 10}.5,{3000 + i},{note}\n" for i in range(BLOCK_ROWS))
    for i in range(files):
        with (folder / f"part-{i:03}.csv").open("w") as stream:
            stream.write("island,bill_length_mm,body_mass_g,note\n")
            for _ in range(ROWS // BLOCK_ROWS):
                stream.write(block)
    return sum(path.stat().st_size for path in folder.iterdir())


def measure(data: Path, out: Path, *words: str, marked: str = HERE, environ: Mapping[str, str] | None = None) -> Peak:
    """Score a data set and watch the processes that do it."""
    files = list(data.iterdir())
    command = [sys.executable, "-m", "aweigh", "predict", BUNDLE, data, "-o", out, "--ignore-extra", *words]
    started, began = time.monotonic(), time.time()
    own: list[psutil.Process] = []
    peaks: dict[int, int] = {}
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen([*map(str, command)], stdout=log, stderr=log, env=environ or os.environ)
        while process.poll() is None:
            with suppress(psutil.Error):
                own = psutil.Process(process.pid).children(recursive=True)
            for one in own if marked == HERE else psutil.process_iter():
                with suppress(psutil.Error, OSError):
                    if one.create_time() > began and marked in " ".join(one.cmdline()):
                        found = HWM.search(Path(f"/proc/{one.pid}/status").read_text())
                        peaks[one.pid] = int(found[1]) * 1024 if found else 0
            time.sleep(0.1)
        seconds = time.monotonic() - started
        log.seek(0)
        if process.returncode:
            raise RuntimeError(log.read().decode())
    size = sum(path.stat().st_size for path in files)
    return Peak(size, len(files) * ROWS, max(peaks.values()), len(peaks), seconds)


def main() -> None:
    """Measure, and print the line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--on", metavar="ADDRESS")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="aweigh-memory-") as folder:
        data = Path(folder) / "data"
        make(data, files=FILES)
        words = ["--workers", "2", *(["--on", asked.on] if asked.on else [])]
        peak = measure(data, Path(folder) / "out", *words, marked=RAY if asked.on else HERE)
    sys.stdout.write(peak.told() + "\n")


if __name__ == "__main__":
    main()
