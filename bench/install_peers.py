"""``make bench-peers``: an environment for each peer, from the pinned versions in ``bench/peers/NAME.txt``.

They go under ``$PEERS_ROOT/venvs`` or, where that is not set, into the cache of this folder; 2.4 GB together,
or 4.4 GB where uv cannot link what they share.
"""

import shutil
import subprocess
import sys
from pathlib import Path

from bench.places import PEERS, peer_python


def install(name: str) -> None:
    """Makes the environment of one peer anew."""
    uv = shutil.which("uv", path=str(Path(sys.executable).parent)) or "uv"
    python = peer_python(name)
    venv = python.parents[1]
    venv.parent.mkdir(parents=True, exist_ok=True)
    subprocess.run([uv, "venv", "--quiet", "--clear", "--python", sys.executable, str(venv)], check=True)
    install = [uv, "pip", "install", "--quiet", "--no-config", "--compile-bytecode", "--python", str(python)]
    subprocess.run([*install, "-r", str(PEERS / f"{name}.txt")], check=True)


def main(names: list[str]) -> int:
    """Install those that are named and those that are missing."""
    wanted = [path.stem for path in sorted(PEERS.glob("*.txt"))]
    for name in names or [name for name in wanted if not peer_python(name).exists()]:
        sys.stdout.write(f"installing {name}\n")
        sys.stdout.flush()
        install(name)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
