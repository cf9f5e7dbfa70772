"""Somebody's Streamlit script: which file of a folder it is, and what it imports."""

import ast
import importlib.metadata
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from aweigh.errors import ConfigError, DataError, UsageError
from aweigh.models.scan import scan

FIRST = ("streamlit_app.py", "app.py", "main.py", "Home.py", "home.py")
"""Which script is the app where there are several: Streamlit's own names first."""
OWN = "aweigh"
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}\.py", re.ASCII)
_STREAMLIT = re.compile(r"^\s*(?:import|from)\s+streamlit\b", re.MULTILINE)
PICKLED = (".joblib", ".pkl", ".pickle")
MOST_BYTES = 10 * 2**20
"""Of a script that is read."""


def find_script(files: Mapping[str, Path]) -> str:
    """The Streamlit script at the root of a folder, by its name.

    Raises:
        UsageError: there is none, there are several, or its name would need quoting in a command line.
        DataError: a script cannot be read.
    """
    found = [name for name in files if "/" not in name and name.endswith(".py") and is_streamlit(files[name])]
    if not found:
        raise UsageError(
            "There is no Streamlit script in the folder, and no Procfile that says what to run.",
            hint="name the script app.py, or write a Procfile: web: streamlit run FILE.py --server.port $PORT "
            "--server.address 0.0.0.0",
        )
    for name in FIRST:
        if name in found:
            return name
    if len(found) > 1:
        raise UsageError(
            f"There are {len(found)} Streamlit scripts: {', '.join(found)[:200]!a}.",
            hint="name the first one app.py, or deploy it by its path",
        )
    return plain_name(found[0])


def plain_name(name: str) -> str:
    """The name of a script, as it is, where a command line takes it without quotes.

    Raises:
        UsageError: it does not.
    """
    if _NAME.fullmatch(name) is None:
        raise UsageError(
            f"The script is named {name[:80]!a}, which a command line would read as something else.",
            hint="rename it to letters, digits, - and _: app.py",
        )
    return name


def is_streamlit(path: Path) -> bool:
    """Whether a script imports Streamlit."""
    return _STREAMLIT.search(_text(path)) is not None


def _text(path: Path) -> str:
    try:
        with path.open("rb") as stream:
            return stream.read(MOST_BYTES).decode("utf-8-sig", errors="replace")
    except OSError as error:
        raise DataError(f"{path.name!r} cannot be read: {error.strerror or error}.") from error


def distributions_of(files: Mapping[str, Path]) -> tuple[str, ...]:
    """What the scripts and pickled models of a folder need beside the standard library, by their installers' names.

    A model is read for what loading it would import, and not loaded: a script that loads one seldom imports its
    library. Only what is installed here is found: to install a package because some import is called so is to install
    anybody's.

    Raises:
        ConfigError: something is imported that is not installed here.
        DataError: a file is no Python.
    """
    scripts = {name: path for name, path in files.items() if name.endswith(".py")}
    local = {part.removesuffix(".py") for name in scripts for part in name.split("/")}
    wanted: set[str] = set()
    for name, path in scripts.items():
        try:
            wanted.update(_imports(ast.parse(_text(path))))
        except (SyntaxError, ValueError, RecursionError) as error:
            raise DataError(f"{name[:80]!a} is no Python that could be read here.") from error
    for name, path in files.items():
        if name.endswith(PICKLED):
            wanted.update(re.split(r"[.:]", one, maxsplit=1)[0] for one in scan(path).names)
    return _installed(wanted - set(sys.stdlib_module_names) - local - {OWN, "__main__"})


def imports_own(files: Mapping[str, Path]) -> bool:
    """Whether a script imports aweigh."""
    return any(
        re.search(rf"^\s*(?:import|from)\s+{OWN}\b", _text(path), re.MULTILINE)
        for name, path in files.items()
        if name.endswith(".py")
    )


def _imports(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
            yield node.module.split(".")[0]


def _installed(modules: Iterable[str]) -> tuple[str, ...]:
    by_module = importlib.metadata.packages_distributions()
    missing = sorted(set(modules) - by_module.keys())
    if missing:
        raise ConfigError(
            f"No version can be told of what the scripts import and is not installed here: {', '.join(missing)[:200]}.",
            hint="write a requirements.txt",
        )
    return tuple(sorted({name for module in modules for name in by_module[module]}))
