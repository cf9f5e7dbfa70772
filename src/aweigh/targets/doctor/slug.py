"""The slug, measured by building it: the app, its packages and Python itself in one compressed archive."""

import gzip
import tarfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, cast

from aweigh.targets.doctor.environment import Environment
from aweigh.targets.doctor.folder import Folder

_PYTHON_LEFT_OUT = frozenset(
    {"test", "tests", "__pycache__", "site-packages", "idlelib", "tkinter", "turtledemo", "ensurepip"}
)
"""Of Python itself: what the platform's own builds leave out, or put elsewhere."""
_STATIC = (".a", ".o")
NAMED = 3
GZIP_LEVEL = 6
"""What gzip takes where nobody says anything."""


@dataclass(frozen=True, slots=True)
class Slug:
    """Its size as it is stored and as it is unpacked; ``largest`` are packages and their unpacked sizes."""

    size_bytes: int
    unpacked_bytes: int
    largest: tuple[tuple[str, int], ...]


class _Count:
    """A file that keeps nothing but how much was written."""

    def __init__(self) -> None:
        self.size_bytes = 0

    def write(self, piece: bytes) -> int:
        """Count it."""
        self.size_bytes += len(piece)
        return len(piece)

    def flush(self) -> None:
        """Nothing is held."""


def measure_slug(folder: Folder, environment: Environment | None) -> Slug:
    """Packs all of it with gzip as the platform does, and keeps nothing; about half a minute for 500 MB.

    Without an environment it is the app's own files alone.
    """
    count = _Count()
    unpacked = 0
    sizes: Counter[str] = Counter()
    with (
        gzip.GzipFile(
            filename="", fileobj=cast("IO[bytes]", count), mode="wb", compresslevel=GZIP_LEVEL, mtime=0
        ) as packed,
        tarfile.open(fileobj=cast("IO[bytes]", packed), mode="w|") as archive,
    ):
        for path, name, package in _files(folder, environment):
            try:
                size = path.stat().st_size
                archive.add(path, name, recursive=False)
            except OSError:
                continue  # gone, or not to be read: then it is not sent either
            unpacked += size
            if package:
                sizes[package] += size
    return Slug(count.size_bytes, unpacked, tuple(sizes.most_common(NAMED)))


def _files(folder: Folder, environment: Environment | None) -> Iterator[tuple[Path, str, str]]:
    """Each file, its name in the archive, and the package that it belongs to."""
    for name in folder.names:
        yield folder.path / name, f"app/{name}", ""
    if environment is None:
        return
    for path in sorted(environment.packages.rglob("*")):
        if path.is_file() and not path.is_symlink():
            below = path.relative_to(environment.packages)
            yield path, f"app/.heroku/python/lib/site-packages/{below.as_posix()}", _package(below)
    yield from _python(environment.base)


def _package(below: Path) -> str:
    top = below.parts[0]
    return top.removesuffix(".py").removesuffix(".libs").split("-")[0]


def _python(base: Path) -> Iterator[tuple[Path, str, str]]:
    for library in sorted((base / "lib").glob("python3.*")):
        for path in sorted(library.rglob("*")):
            below = path.relative_to(library)
            if _PYTHON_LEFT_OUT.isdisjoint(below.parts) and path.is_file() and not path.name.endswith(_STATIC):
                yield path, f"app/.heroku/python/lib/{library.name}/{below.as_posix()}", ""
        break
    for path in sorted((base / "lib").glob("libpython3.*.so*")):
        if not path.is_symlink():
            yield path, f"app/.heroku/python/lib/{path.name}", ""
