"""The variables that a process gets: what the platform's build sets, this machine's, and ``.env`` over all."""

import os
import sys
from collections.abc import Mapping
from pathlib import Path

PER_TYPE = 100
"""From one process type's port to the next one's."""
_OURS = ("STREAMLIT_SERVER_PORT", "VIRTUAL_ENV", "PYTHONHOME", "PORT", "DYNO")
"""Of this shell, and not to be handed on: each process gets its own, or none."""

KEPT = ("PATH", "LANG", "LC_ALL", "TMPDIR", "SSL_CERT_FILE", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")
"""Of this machine's variables: what runs at a place has none of its owner's."""


def environ_of(
    folder: Path, *, base: Mapping[str, str], own: Mapping[str, str], web_concurrency: int, programs: Path | None = None
) -> dict[str, str]:
    """What every process of the folder gets; ``own`` are the settings of ``.env``, which win.

    ``programs`` is the folder of the Python that runs them: by default the folder's own environment, else this one's.
    """
    if programs is None:
        venv = folder / ".venv" / "bin"
        programs = venv if venv.is_dir() else Path(sys.executable).parent
    found = {name: value for name, value in base.items() if name not in _OURS}
    found |= {
        "PATH": f"{programs}{os.pathsep}{base.get('PATH', os.defpath)}",
        "PYTHONUNBUFFERED": "true",
        "PYTHONPATH": str(folder),
        "FORWARDED_ALLOW_IPS": "*",
        "GUNICORN_CMD_ARGS": "--access-logfile -",
        "WEB_CONCURRENCY": base.get("WEB_CONCURRENCY", str(web_concurrency)),
    }
    return {**found, **own}


def port_of(position: int, *, first: int) -> int:
    """The port of a process type by its place among them."""
    return first + position * PER_TYPE
