"""What is deployed: files, exact requirements, processes and settings, the same for every platform."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

START = "aweigh serve"
"""What every generated start command begins with: nothing runs that is not the product."""


@dataclass(frozen=True, slots=True)
class Release:
    """A folder to be built and run somewhere.

    ``files`` are contents, or paths to read them from, by the path that they get below the folder's root, with ``/``.
    ``processes`` are command lines by process type, as a Procfile has them; ``web`` answers on ``$PORT``. ``config``
    are settings that anybody may read; ``secrets`` names variables that are to be made up where the platform has none.
    """

    name: str
    python: str
    """Major and minor, as ``3.12``; a patch number where the owner named one."""
    processes: Mapping[str, str]
    files: Mapping[str, bytes | Path]
    requirements: str | None = None
    """Hash-locked; None where the folder brings a lock of another kind (Pipfile, Poetry, uv)."""
    config: Mapping[str, str] = field(default_factory=dict)
    secrets: tuple[str, ...] = ()
    stores: tuple[str, ...] = ()
    """What has to outlive a restart and so needs a place of its own: ``postgresql``, ``redis``."""
    bundle: str | None = None
    """The path, among ``files``, of the bundle that is served; None: a script without one."""
    description: str = ""
    """What its owner says of it, in any characters: what is made of it takes only plain words."""
    has_ui: bool = True
    own: frozenset[str] = frozenset()
    """Which of the platform's files the folder's owner wrote (``Procfile``, ``requirements.txt``): they are kept."""
