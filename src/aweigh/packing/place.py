"""Where a bundle is written: as named, else under its own name and digest."""

from pathlib import Path

from aweigh.bundle.archive import list_archive
from aweigh.bundle.atomic import require_writable
from aweigh.bundle.names import MANIFEST
from aweigh.errors import BundleError, UsageError


def check_place(output: Path | None) -> None:
    """Passes where a bundle may be written: there is nothing yet, a folder, or a bundle that it takes the place of.

    Raises:
        UsageError: nothing can be made there; or a file is there that is no bundle: a model may be, or a table.
    """
    if output is None or output.is_dir():
        require_writable((output or Path()) / "x")
        return
    require_writable(output)
    if output.exists() and not _is_bundle(output):
        raise UsageError(
            f"{output} is there already, and is no bundle.", hint="name another file with -o, or remove that one first"
        )


def place_of(output: Path | None, file_name: str) -> Path:
    """The file to write.

    Raises:
        UsageError: as of ``check_place``.
    """
    path = Path(file_name) if output is None else output / file_name if output.is_dir() else output
    check_place(path)
    return path


def _is_bundle(path: Path) -> bool:
    try:
        return MANIFEST in list_archive(path)
    except (BundleError, OSError):
        return False
