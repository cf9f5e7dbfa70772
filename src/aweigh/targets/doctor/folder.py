"""A folder as a platform would get it: the names of its files, and the texts of those that are looked into."""

import ast
import os
import re
import warnings
from dataclasses import dataclass
from pathlib import Path

from aweigh.errors import UsageError

MOST_FILES = 50_000
MOST_TEXT_BYTES = 1_000_000
"""A larger file is no configuration and no script that a person wrote."""

LEFT_OUT = frozenset(
    {".git", "__pycache__", "node_modules", ".mypy_cache", ".pytest_cache", ".ruff_cache", ".hg", ".svn"}
)
"""Folders that are never sent."""
ENVIRONMENTS = (".venv", "venv", "env")

_STREAMLIT = re.compile(r"^\s*(?:import\s+streamlit\b|from\s+streamlit\b)", re.MULTILINE)
_FIRST = ("app.py", "streamlit_app.py", "main.py", "Home.py", "home.py")


@dataclass(frozen=True, slots=True)
class Folder:
    """A folder and the files below it: ``names`` are relative, with ``/``, sorted.

    ``environments`` are the folders that hold an environment of Python, whose files are not among the names.
    """

    path: Path
    names: tuple[str, ...]
    environments: tuple[str, ...] = ()

    def text(self, name: str) -> str | None:
        """A file's text; None where there is none, or it is too large or not to be read."""
        if name not in self.names:
            return None
        try:
            with (self.path / name).open("rb") as file:
                content = file.read(MOST_TEXT_BYTES + 1)
        except OSError:
            return None
        return None if len(content) > MOST_TEXT_BYTES else content.decode("utf-8", "replace").removeprefix("\ufeff")

    def size_bytes(self, name: str) -> int:
        """A file's size; 0 where it cannot be asked."""
        try:
            return (self.path / name).stat().st_size
        except OSError:
            return 0

    @property
    def scripts(self) -> tuple[str, ...]:
        """All files of Python."""
        return tuple(name for name in self.names if name.endswith(".py"))

    @property
    def bundles(self) -> tuple[str, ...]:
        """Bundles that lie at its root."""
        return tuple(name for name in self.names if "/" not in name and name.endswith(".aweigh"))


def read_folder(path: Path) -> Folder:
    """List a folder's files; links to folders are not followed, and a pipe or a link to nothing is no file.

    Raises:
        UsageError: there is no such folder, it may not be read, or it holds more files than an app does.
    """
    if not path.is_dir():
        raise UsageError(f"There is no folder {path}.", hint="name a folder with a Streamlit script, or a bundle")
    names: list[str] = []
    environments: list[str] = []

    def refuse(error: OSError) -> None:
        raise UsageError(f"A folder cannot be read: {error.strerror}: {error.filename}.") from error

    for at, folders, files in os.walk(path, onerror=refuse):
        here = Path(at).relative_to(path)
        for name in list(folders):
            below = (here / name).as_posix()
            if name in LEFT_OUT:
                folders.remove(name)
            elif name in ENVIRONMENTS and (Path(at) / name / "pyvenv.cfg").is_file():
                environments.append(below)
                folders.remove(name)
        names.extend((here / name).as_posix() for name in files if (Path(at) / name).is_file())
        if len(names) > MOST_FILES:
            raise UsageError(
                f"There are more than {MOST_FILES:,} files in {path}.", hint="name the folder of the app itself"
            )
    return Folder(path, tuple(sorted(names)), tuple(sorted(environments)))


def find_script(folder: Folder) -> str | None:
    """The script at the root that Streamlit would be started with; None where there is none."""
    found = [name for name in folder.scripts if "/" not in name and _STREAMLIT.search(folder.text(name) or "")]
    return next((name for name in _FIRST if name in found), found[0] if found else None)


def parse(text: str) -> ast.Module | None:
    """A script's syntax tree; None where this Python cannot read it."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def dotted(node: ast.expr) -> str:
    """What is called, as it is written: ``pd.read_csv``; ``.read_csv`` where it is called on what is no plain name."""
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    return ".".join([node.id if isinstance(node, ast.Name) else "", *reversed(parts)])


def written(node: ast.expr) -> str:
    """An expression's own text; empty where it goes too deep to be written."""
    try:
        return ast.unparse(node)
    except RecursionError:
        return ""
