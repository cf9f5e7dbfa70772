"""Gives every parser inputs that nobody would think of, guided by what they reach, and stops at what must not be.

    python tests/fuzz/fuzz.py [--seconds 60] [--only json,csv] [--at-once 2] [--list]
    python tests/fuzz/fuzz.py --only json --input FILE      reads one input again, and shows where it fails

Each target is a function in one of the modules beside this one, and runs in a process of its own with bounds of time
and memory (``fuzz_bounds.py``). It starts from ``corpus/TARGET``, which is in the repository, and from what earlier
runs found worth keeping, under ``.cache/fuzz/TARGET``. Whatever a target lets out (an error that is not documented, a
refusal that two ways do not share, too much time or memory, the end of the process) is a failure; its input is kept.

With atheris (``make fuzz`` installs it) inputs are guided by coverage. Without it, or with ``--chance``, good inputs
are spoilt by chance, the same ones every time: that is the part which the ordinary suite runs.
"""

import argparse
import faulthandler
import importlib
import importlib.util
import os
import random
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
CORPUS = HERE / "corpus"
KEPT = HERE.parents[1] / ".cache" / "fuzz"
sys.path.insert(0, str(HERE))
Run = Callable[[bytes], None]

MODULES = {
    "fuzz_tables": ("json", "csv", "files", "arrow", "parquet", "oip"),
    "fuzz_door": ("form", "identity", "next_path", "place", "jobs", "oauth"),
    "fuzz_lane": ("lane",),
    "fuzz_files": ("dsse", "policy", "archive", "documents", "sbom", "config", "osv", "graphs"),
    "fuzz_models": ("pickle", "skops", "unpickler"),
    "fuzz_oidc": ("oidc",),
}
NAMES = tuple(name for names in MODULES.values() for name in names)

INSTRUMENTED = ["aweigh", *MODULES, "tomllib", "zipfile", "packaging", "joserfc"]
MAX_BYTES = 20_000
STUCK_S = 30
"""Of one input that is not even interrupted, as C code is not."""
RUNS = re.compile(rb"Done (\d+) runs|number_of_executed_units:\s*(\d+)")
REACHED = re.compile(rb"cov: (\d+) ft: (\d+)")


# -- one target, in a process of its own -----------------------------------------------------------------------------


def seeds_of(name: str) -> list[bytes]:
    """The inputs in the repository, in the order of their names."""
    return [path.read_bytes() for path in sorted((CORPUS / name).iterdir())]


def prepare(name: str) -> Run:
    """The function of a target, from what is set up for it once."""
    module = next(module for module, names in MODULES.items() if name in names)
    return importlib.import_module(module).TARGETS[name]()


def spoilt(seeds: Sequence[bytes], chance: random.Random) -> bytes:
    """A good input with some of its bytes changed, cut out, doubled, or taken from another."""
    body = bytearray(chance.choice(seeds))
    for _ in range(chance.choice((1, 1, 2, 3, 8))):
        at = chance.randrange(len(body) + 1)
        end = at + chance.choice((1, 1, 2, 4, 8, 40))
        way = chance.randrange(7)
        if way == 0:
            body[at : at + 1] = bytes([chance.randrange(256)])
        elif way == 1:
            number = chance.choice((0, 1, -1, 127, 128, 255, 2**31 - 1, -(2**31), 2**63 - 1, 2**32, 10**9))
            size = chance.choice((1, 2, 4, 8))
            body[at : at + size] = (number & (1 << 8 * size) - 1).to_bytes(size, chance.choice(("little", "big")))
        elif way == 2:
            del body[at:end]
        elif way == 3:
            body[at:at] = body[at:end] * chance.choice((1, 2, 50))
        elif way == 4:
            del body[at + 1 :]
        elif way == 5:
            other = chance.choice(seeds)
            place = chance.randrange(len(other) + 1)
            body[at:end] = other[place : place + chance.choice((4, 30, 300))]
        else:
            body[at:at] = chance.choice(
                (b'"', b"\\", b"\x00", b"\xff", b"\n", b"\r\n", b"[", b"{", b"9" * 400, b"\xe2\x80\xa8")
            )
    return bytes(body[:MAX_BYTES])


def by_chance(name: str, *, seconds: float, runs: int | None, bound: Callable[[], None]) -> int:
    """Reads the repository's inputs and spoilt ones; the count of all. ``bound`` is called when all is imported."""
    from fuzz_bounds import clocked

    run, seeds = prepare(name), seeds_of(name)
    chance = random.Random(f"{name} 20260131")
    until, done, data = time.monotonic() + seconds, 0, b""
    with clocked() as bounded:
        once = bounded(run)
        once(b"")
        bound()
        try:
            while (done < len(seeds) + runs) if runs is not None else (time.monotonic() < until or done < len(seeds)):
                data = seeds[done] if done < len(seeds) else spoilt(seeds, chance)
                once(data)
                done += 1
        except BaseException:
            kept = _kept(name, "found") / f"chance-{done}"
            kept.write_bytes(data)
            print(f"the input is kept: {kept}", file=sys.stderr)
            raise
    return done


def guided(name: str, *, seconds: float) -> None:
    """Lets libFuzzer choose the inputs; it ends the process."""
    import atheris
    from fuzz_bounds import bound_memory, clocked

    with clocked() as bounded:
        with atheris.instrument_imports(include=INSTRUMENTED):
            run = prepare(name)
            once = bounded(run)
            # What is imported where it is used is imported now, under the same instruments.
            for data in [b"", *seeds_of(name)]:
                once(data)
        bound_memory()
        options = {
            "max_total_time": int(seconds), "timeout": STUCK_S, "max_len": MAX_BYTES, "use_value_profile": 1,
            "artifact_prefix": f"{_kept(name, 'found')}/", "print_final_stats": 1, "rss_limit_mb": 4096,
        }  # fmt: skip
        folders = [str(_kept(name, "corpus")), str(CORPUS / name)]
        atheris.Setup([sys.argv[0], *folders, *(f"-{key}={value}" for key, value in options.items())], once)
        atheris.Fuzz()


def again(name: str, path: Path) -> None:
    """Reads one input, with nothing between it and whoever looks on."""
    from fuzz_bounds import clocked

    with clocked() as bounded:
        bounded(prepare(name))(path.read_bytes())


def _kept(name: str, what: str) -> Path:
    folder = KEPT / name / what
    folder.mkdir(parents=True, exist_ok=True)
    return folder


# -- all of them -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Ended:
    """What became of a target: how many inputs it has read, what they reached, and its last words where it failed."""

    name: str
    runs: int
    reached: str
    seconds: float
    words: str


def play(name: str, arguments: argparse.Namespace) -> Ended:
    """One target from start to end."""
    chance = arguments.chance or not _is_guided()
    command = [sys.executable, __file__, "--child", "--only", name, "--seconds", str(arguments.seconds)]
    command += ["--chance"] if chance else []
    command += ["--runs", str(arguments.runs)] if arguments.runs is not None else []
    begun = time.monotonic()
    log = _kept(name, "logs") / "latest.txt"
    with log.open("wb") as stream:
        done = subprocess.run(command, stdout=stream, stderr=subprocess.STDOUT, check=False, env=_environ())
    said = log.read_bytes()
    counts = [int(one or other) for one, other in RUNS.findall(said)]
    reached = REACHED.findall(said)
    words = "" if done.returncode == 0 else said[-6000:].decode(errors="replace") or f"status {done.returncode}"
    if words:  # a process that dies leaves no input, and what it said last is the next run's to write over
        (_kept(name, "found") / f"log-{time.strftime('%Y%m%d-%H%M%S')}.txt").write_bytes(said)
    return Ended(
        name, max(counts, default=0), reached[-1][0].decode() if reached else "-", time.monotonic() - begun, words
    )


def _environ() -> dict[str, str]:
    """One thread each, a place for keys of nobody, and nothing of what a developer has set for a server."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("AWEIGH_")}
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    return kept | threads | {"AWEIGH_CONFIG_DIR": str(Path(tempfile.gettempdir()) / "aweigh-fuzz-nobody")}


def _is_guided() -> bool:
    return importlib.util.find_spec("atheris") is not None


def main() -> int:
    """Play the targets that are asked for; 1 where one of them fails."""
    arguments = _arguments()
    names = arguments.only
    if arguments.list:
        print("\n".join(names))
        return 0
    if arguments.input is not None:
        again(names[0], arguments.input)
        return 0
    if arguments.child:
        from fuzz_bounds import bound_memory

        faulthandler.enable()
        for name in names:
            if not arguments.chance:
                guided(name, seconds=arguments.seconds)
            count = by_chance(name, seconds=arguments.seconds, runs=arguments.runs, bound=bound_memory)
            print(f"Done {count} runs of {name}", flush=True)
        return 0
    if not _is_guided() and not arguments.chance:
        print("atheris is not installed here: inputs are spoilt by chance, and not guided by what they reach")
    failed = 0
    with ThreadPoolExecutor(arguments.at_once) as pool:
        for ended in pool.map(lambda name: play(name, arguments), names):
            told = "FAILED" if ended.words else "fine"
            print(
                f"{ended.name:10} {ended.runs:>10,} inputs in {ended.seconds:4.0f} s, "
                f"{ended.reached:>6} places: {told}",
                flush=True,
            )
            if ended.words:
                failed += 1
                print(f"{ended.words}\n{ended.name}: what was found is under {KEPT / ended.name / 'found'}", flush=True)
    return 1 if failed else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Fuzz the parsers.")
    parser.add_argument("--seconds", type=float, default=60.0, help="for each target")
    parser.add_argument("--only", type=_names, default=list(NAMES), help="targets, with commas between them")
    parser.add_argument("--at-once", type=int, default=2, help="so many targets at a time")
    parser.add_argument("--list", action="store_true", help="list the targets")
    parser.add_argument("--input", type=Path, help="read this one input again")
    parser.add_argument("--chance", action="store_true", help="spoil inputs by chance, without coverage")
    parser.add_argument("--runs", type=int, help="with --chance: so many inputs of each target, however long it takes")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    return parser.parse_args()


def _names(text: str) -> list[str]:
    names = [one.strip() for one in text.split(",") if one.strip()]
    for one in names:
        if one not in NAMES:
            raise argparse.ArgumentTypeError(f"there is no target {one!r}; there are {', '.join(NAMES)}")
    return names


if __name__ == "__main__":
    sys.exit(main())
