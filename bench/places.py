"""Where things are: the checkout, the results that are committed, and the cache that is not."""

import os
from pathlib import Path

ROOT = Path(__file__).parents[1]
BENCH = ROOT / "bench"
RESULTS = BENCH / "results"
CACHE = BENCH / ".cache"
MODELS = CACHE / "models"
PEERS = BENCH / "peers"
PAGE = ROOT / "docs" / "explanation" / "performance.md"
IMAGES = ROOT / "docs" / "images"


def peers_root() -> Path:
    """The folder that holds ``venvs/NAME`` for each installed peer: ``$PEERS_ROOT``, or the cache."""
    return Path(os.environ.get("PEERS_ROOT") or CACHE / "peers")


def peer_python(name: str) -> Path:
    """The interpreter of a peer's environment, whether it is there or not."""
    return peers_root() / "venvs" / name / "bin" / "python"
