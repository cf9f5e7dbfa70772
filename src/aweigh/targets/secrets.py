"""No secret leaves with what is built: a folder's texts are looked through, also for this environment's own."""

from collections.abc import Mapping
from pathlib import Path

from aweigh.errors import HoldsSecret
from aweigh.secret.scan import find_secrets, own_secrets

TEXTS = (
    ".py", ".toml", ".yaml", ".yml", ".json", ".txt", ".md", ".ini", ".cfg", ".conf", ".sh", ".env", ".csv", ".ipynb",
    "Procfile", "Dockerfile", "Pipfile", ".lock",
)  # fmt: skip
"""How the names of files end that hold text."""
MOST_BYTES = 200_000
LOCKS = frozenset({"poetry.lock", "uv.lock", "Pipfile.lock"})
"""They hold hashes, which are as random as keys."""
MOST_LISTED = 5


def is_looked_through(name: str, size_bytes: int) -> bool:
    """Whether a file is one in which a secret would stand by mistake."""
    return name.endswith(TEXTS) and name not in LOCKS and size_bytes <= MOST_BYTES


def refuse_secrets(files: Mapping[str, Path], *, environ: Mapping[str, str]) -> None:
    """Passes when no file holds a secret.

    Raises:
        HoldsSecret: naming files, lines and kinds, and none of the secrets.
    """
    own = own_secrets(environ)
    found = [
        f"{name}, line {one.line}: {one.kind}"
        for name, path in files.items()
        if is_looked_through(name, path.stat().st_size)
        for one in find_secrets(path.read_text(encoding="utf-8", errors="replace"), name=name, own=own)
    ]
    if found:
        more = f"; and {len(found) - MOST_LISTED} more" if len(found) > MOST_LISTED else ""
        raise HoldsSecret(
            f"What would be built holds a secret: {'; '.join(found[:MOST_LISTED])}{more}.",
            hint="take it out, make a new one, and set it as a variable there; of a line that only looks so, "
            "say at its end: # aweigh: no secret (and why)",
        )
