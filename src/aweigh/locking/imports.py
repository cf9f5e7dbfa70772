"""What the Python files of an app import, read by ``ast``: nothing of them is run.

A folder's files are read all, but for environments, hidden folders and tests; a script's are itself, the ``pages``
beside it and, in turn, each module beside it that one of these imports, and each page that it names.
"""

import ast
import re
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from aweigh.errors import UsageError
from aweigh.locking.distributions import SHARED

LARGEST_FILE_BYTES = 4 * 2**20
MOST_FILES = 2_000
_LEFT_OUT = frozenset({"__pycache__", "build", "dist", "env", "node_modules", "site-packages", "tests", "venv"})
_MAY_FAIL = frozenset({"ImportError", "ModuleNotFoundError", "Exception", "BaseException"})
_ELSEWHERE = re.compile(r"\bplatform\b|\bos\.name\b|\bversion_info\b")
"""A condition by which an import is for some machines or Pythons only."""


@dataclass(frozen=True, slots=True, order=True)
class Imported:
    """A module by its dotted name, and the first line that imports it; ``optional`` if its absence is provided for."""

    module: str
    file: str
    line: int
    optional: bool = False

    @property
    def top(self) -> str:
        """The first part of its name."""
        return self.module.partition(".")[0]

    @property
    def where(self) -> str:
        """The line, for people."""
        return f"{self.file}:{self.line}"


@dataclass(frozen=True, slots=True)
class Sources:
    """What was found: imports by dotted name, sorted, those of the app's own modules left out.

    ``files`` were read, ``unread`` could not be, with the reason; paths are relative to the folder, with ``/``.
    """

    imports: tuple[Imported, ...]
    files: tuple[str, ...]
    unread: tuple[str, ...] = ()


def read_imports(path: Path) -> Sources:
    """What a script or a folder of scripts imports.

    Raises:
        UsageError: there is no Python file, there are too many, or the one that was named is not Python.
    """
    folder = path if path.is_dir() else path.parent
    files = _files_of(folder) if path.is_dir() else _beside(path)
    if not files:
        raise UsageError(f"{path} holds no Python file.", hint="name a script, a folder with one, or a model file")
    found: dict[str, Imported] = {}
    read: list[str] = []
    unread: list[str] = []
    waiting, seen = list(files), set(files)
    while waiting:
        file = waiting.pop(0)
        name = file.relative_to(folder).as_posix()
        try:
            tree = _parse(file)
        except (OSError, ValueError, SyntaxError, RecursionError, MemoryError) as error:
            if file == path:
                raise UsageError(f"{path} cannot be read as Python: {_why(error)}.") from error
            unread.append(f"{name}: {_why(error)}")
            continue
        read.append(name)
        named = _pages(tree, folder)
        for one in _imports(tree, name):
            own = _own(one.top, folder, file.parent)
            if own is None:
                _keep(found, one)
            else:
                named += own
        new = [] if path.is_dir() else [one for one in dict.fromkeys(named) if one not in seen]
        seen.update(new)
        waiting.extend(new)
    return Sources(tuple(sorted(found.values())), tuple(sorted(read)), tuple(sorted(unread)))


def _keep(found: dict[str, Imported], one: Imported) -> None:
    """The first line counts, but one that is not optional before one that is."""
    known = found.get(one.module)
    if known is None or (one.optional, one.file, one.line) < (known.optional, known.file, known.line):
        found[one.module] = one


def _files_of(folder: Path) -> list[Path]:
    found: list[Path] = []
    waiting = [folder]
    while waiting:
        for entry in sorted(waiting.pop().iterdir()):
            if entry.name.startswith(".") or entry.is_symlink():
                continue
            if entry.is_dir():
                if entry.name not in _LEFT_OUT and not (entry / "pyvenv.cfg").exists():
                    waiting.append(entry)
            elif entry.suffix == ".py" and not _is_test(entry.name):
                found.append(entry)
        if len(found) > MOST_FILES:
            raise UsageError(
                f"{folder} holds more than {MOST_FILES:,} Python files.",
                hint="name the app's script, or its own folder",
            )
    return sorted(found)


def _is_test(name: str) -> bool:
    return name.startswith("test_") or name.endswith("_test.py") or name in {"conftest.py", "setup.py"}


def _beside(script: Path) -> list[Path]:
    """A script and, where Streamlit would look for them, its pages."""
    pages = script.parent / "pages"
    return [script, *(sorted(pages.glob("*.py")) if pages.is_dir() else ())]


def _pages(tree: ast.Module, folder: Path) -> list[Path]:
    """The scripts that ``st.Page`` names, which lie below the folder."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and node.args and ast.unparse(node.func).rpartition(".")[2] == "Page":
            first = node.args[0]
            said = first.value if isinstance(first, ast.Constant) and isinstance(first.value, str) else ""
            page = folder / said
            if said.endswith(".py") and "\0" not in said and page.is_file():
                found += [page] if page.resolve().is_relative_to(folder.resolve()) else []
    return found


def _parse(file: Path) -> ast.Module:
    if not file.is_file():
        msg = "it is no file"
        raise ValueError(msg)
    if file.stat().st_size > LARGEST_FILE_BYTES:
        msg = f"it is larger than {LARGEST_FILE_BYTES // 2**20} MiB"
        raise ValueError(msg)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the app's own escapes and comparisons, which are not our matter
        return ast.parse(file.read_bytes())


def _why(error: BaseException) -> str:
    if isinstance(error, SyntaxError):
        return f"line {error.lineno or 1}: {error.msg}"
    if isinstance(error, OSError):
        return error.strerror or type(error).__name__
    return str(error) or type(error).__name__


def _own(top: str, folder: Path, beside: Path) -> list[Path] | None:
    """The files of a top-level module that is the app's own, or None: it comes from elsewhere."""
    for root in (folder, beside):
        module = root / f"{top}.py"
        if module.is_file():
            return [module]
        inside = sorted((root / top).rglob("*.py"))[:MOST_FILES] if (root / top).is_dir() else []
        if inside:
            return inside
    return None


def _imports(tree: ast.Module, file: str) -> Iterator[Imported]:
    """Every import of a file, in no order; those for type checkers only are left out."""
    waiting: list[tuple[ast.AST, bool]] = [(tree, False)]
    while waiting:
        node, optional = waiting.pop(0)
        if isinstance(node, ast.If) and ast.unparse(node.test).rpartition(".")[2] == "TYPE_CHECKING":
            waiting.extend((child, optional) for child in node.orelse)
            continue
        if isinstance(node, ast.If) and _ELSEWHERE.search(ast.unparse(node.test)):
            waiting.extend((child, True) for child in ast.iter_child_nodes(node))
            continue
        if isinstance(node, ast.Try | ast.TryStar):
            provided = optional or any(_may_fail(handler) for handler in node.handlers)
            waiting.extend((child, provided) for child in node.body)
            rest: Sequence[ast.AST] = [*node.handlers, *node.orelse, *node.finalbody]
            # What stands in for a module that is absent is needed only where it is.
            waiting.extend((child, provided) for child in rest)
            continue
        for module in _named(node):
            yield Imported(module, file, getattr(node, "lineno", 1), optional)
        waiting.extend((child, optional) for child in ast.iter_child_nodes(node))


def _may_fail(handler: ast.ExceptHandler) -> bool:
    if handler.type is None:
        return True
    kinds = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
    return any(ast.unparse(kind).rpartition(".")[2] in _MAY_FAIL for kind in kinds)


def _named(node: ast.AST) -> list[str]:
    """The modules that one statement or call imports; relative ones are the app's own."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom) and not node.level and node.module:
        # Of a name that many distributions share the next part says which is meant.
        return [f"{node.module}.{one.name}" for one in node.names] if node.module in SHARED else [node.module]
    if isinstance(node, ast.Call) and ast.unparse(node.func) in {
        "import_module",
        "importlib.import_module",
        "__import__",
    }:
        first = node.args[0] if node.args else None
        if isinstance(first, ast.Constant) and isinstance(first.value, str) and _is_dotted(first.value):
            return [first.value]
    return []


def _is_dotted(text: str) -> bool:
    return all(part.isidentifier() for part in text.split("."))
