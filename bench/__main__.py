"""``python -m bench``: measure, write ``bench/results/SECTION.json``, and then the page that is made of them.

Every section can be run alone and again (``--only serving --servers aweigh``); what is not run keeps its last figures.
"""

import argparse
import os
import sys
import time
from typing import Any

# One worker on one core: the libraries that are called in this process for comparison take no more than it.
for _variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_variable, "1")

from bench import commands, files, growth, images, ray_serving, recovery, rerun, serving, size, soak, stages  # noqa: E402  numpy reads the variables when it is imported
from bench.machine import machine  # noqa: E402
from bench.models import ALL  # noqa: E402
from bench.page import write_page  # noqa: E402
from bench.places import RESULTS  # noqa: E402
from bench.results import read, write  # noqa: E402
from bench.servers import KINDS  # noqa: E402

SECTIONS = ("serving", "commands", "rerun", "files", "profile", "growth", "recovery", "soak", "size", "image", "ray")
DEFAULT = tuple(name for name in SECTIONS if name not in {"soak", "size", "image", "ray"})
SECONDS = 4.0
MINUTES = 10.0
STARTS = 5


def main(arguments: list[str]) -> int:
    """Run the sections that are asked for, in turn, and write the page."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--only", default=",".join(DEFAULT), help=f"sections, of {', '.join(SECTIONS)}")
    parser.add_argument("--servers", default=",".join(KINDS), help=f"for serving: of {', '.join(KINDS)}")
    parser.add_argument("--models", default="A,B,C", help="for serving: which models")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="for serving: how long each load lasts")
    parser.add_argument("--starts", type=int, default=STARTS, help="for serving: how often each is started")
    parser.add_argument("--rows", type=int, default=files.ALL_ROWS, help="for files: rows")
    parser.add_argument("--minutes", type=float, default=MINUTES, help="for soak: how long")
    parser.add_argument("--ray", default=",".join(ray_serving.PARTS), help="for ray: which parts of it")
    parser.add_argument("--no-page", action="store_true", help="leave the page and the pictures as they are")
    asked = parser.parse_args(arguments)
    sections = asked.only.split(",")
    if unknown := set(sections) - set(SECTIONS):
        parser.error(f"no such section: {', '.join(sorted(unknown))}")
    for section in sections:
        begun = time.perf_counter()
        tell(f"== {section}")
        facts = machine()
        write(section, _measured(section, asked) | {"machine": facts})
        tell(f"== {section}: {time.perf_counter() - begun:.0f} s, written to {RESULTS.name}/{section}.json")
    if not asked.no_page:
        tell(f"wrote {write_page()}")
    return 0


def _measured(section: str, asked: argparse.Namespace) -> dict[str, Any]:
    if section == "serving":
        kinds = [KINDS[name] for name in asked.servers.split(",")]
        models = [ALL[letter] for letter in asked.models.split(",")]
        found = serving.measure(kinds, models, seconds=asked.seconds, starts=asked.starts, tell=tell)
        return _kept(found)
    if section == "files":
        return files.measure(tell=tell, rows=asked.rows)
    if section == "ray":
        return ray_serving.measure(tell=tell, parts=asked.ray.split(","))
    if section == "soak":
        return soak.measure(tell=tell, minutes=asked.minutes)
    runs = {"commands": commands, "rerun": rerun, "profile": stages, "growth": growth, "size": size, "image": images}
    run = (runs | {"recovery": recovery})[section]
    return run.measure(tell=tell)


def _kept(found: dict[str, Any]) -> dict[str, Any]:
    """What was measured just now over what was measured before, server by server and model by model."""
    before = read("serving")
    for key in ("own", "servers"):
        for name, figures in before.get(key, {}).items():
            found[key][name] = figures | found[key].get(name, {})
    return found


def tell(text: str) -> None:
    """Print a line at once."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
