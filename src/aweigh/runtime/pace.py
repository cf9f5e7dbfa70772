"""How fast a model answers on so many threads: run as a process of its own, which prints what it found as JSON.

``python -m aweigh.runtime.pace BUNDLE --threads 2``. The numeric libraries read how many threads they may start when
they are imported, so that each number of threads wants a fresh process.
"""

import argparse
import hashlib
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from aweigh.runtime.measured import Call

if TYPE_CHECKING:
    from aweigh.runtime.predictor import Predictor
    from aweigh.table import Table

SIZES = (1, 8, 32, 128, 1024)
"""Rows a call."""

TRY_S = 0.12
"""How long a size is tried, in rounds of which the quickest counts: others may use the machine."""

ROUNDS = 5


class Pace(msgspec.Struct, frozen=True, kw_only=True):
    """What is printed: the calls, and for each a digest of all its answers to the last bit."""

    calls: tuple[Call, ...]
    answers: tuple[str, ...]


def pace(predictor: "Predictor", *, threads: int) -> Pace:
    """Times the model for the golden rows, repeated until they are as many as each of ``SIZES``."""
    from aweigh.schema.check import check_rows

    rows = predictor.examples.rows
    calls, answers = [], []
    for size in SIZES:
        table = check_rows(predictor.schema, [rows[i % len(rows)] for i in range(size)])
        digest = hashlib.sha256()
        for values in predictor.predict(table).columns().values():
            digest.update(values.data.tobytes() if values.data.dtype != object else repr(values.cells()).encode())
        cpu_us, wall_us = _quickest(predictor, table)
        calls.append(Call(rows=size, threads=threads, cpu_us=cpu_us, wall_us=wall_us))
        answers.append(digest.hexdigest())
    return Pace(calls=tuple(calls), answers=tuple(answers))


def _quickest(predictor: "Predictor", table: "Table") -> tuple[float, float]:
    """CPU and wall microseconds of one call: of several rounds the least of each."""
    begun = time.perf_counter()
    predictor.predict(table)
    once_s = max(time.perf_counter() - begun, 1e-6)
    times = max(1, round(TRY_S / ROUNDS / once_s))
    best_cpu, best_wall = float("inf"), float("inf")
    for _ in range(ROUNDS if once_s < TRY_S else 1):
        cpu, wall = time.process_time(), time.perf_counter()
        for _ in range(times):
            predictor.predict(table)
        best_cpu = min(best_cpu, (time.process_time() - cpu) / times)
        best_wall = min(best_wall, (time.perf_counter() - wall) / times)
    return max(best_cpu, 1e-9) * 1e6, max(best_wall, 1e-9) * 1e6


def main(arguments: list[str]) -> int:
    """Print the pace of one bundle."""
    from aweigh.bundle.policy import policy_of
    from aweigh.bundle.verify import verify
    from aweigh.runtime.load import load

    parser = argparse.ArgumentParser(prog="python -m aweigh.runtime.pace", description="Time a bundle's model.")
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--threads", type=int, default=1)
    asked = parser.parse_args(arguments)
    bundle = verify(asked.bundle, trust=policy_of(os.environ), to_load=True)
    found = pace(load(bundle, threads=asked.threads), threads=asked.threads)
    sys.stdout.buffer.write(msgspec.json.encode(found) + b"\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
