"""What a function's module imports from its project: the files that travel with it, and the distributions it needs.

The source is read, never run, to find out. Imports inside functions count; those for type checkers alone do not. Files
that the code reads with ``pkgutil.get_data(__name__, "name")`` travel as well.
"""

import ast
import importlib.metadata
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from aweigh.bundle.contents import check_content
from aweigh.bundle.names import CODE_FOLDER
from aweigh.errors import DamagedBundle, UnsupportedModel

MOST_FILES = 500
"""A model's code is a handful of files: more is a whole repository, imported by accident."""
MOST_BYTES = 64 * 2**20
_ALWAYS = ("pandas",)
"""What every function is asked with."""
_BY_NAME = frozenset(("import_module", "__import__"))


@dataclass(frozen=True, slots=True)
class Collected:
    """``files`` by path below the project's root, with ``/``; ``requirements`` as ``name==version``."""

    files: Mapping[str, bytes]
    requirements: tuple[str, ...]


def collect(module: str, root: Path) -> Collected:
    """The files that ``module``, found below ``root``, needs from there, and what it needs from elsewhere.

    Raises:
        UnsupportedModel: the source cannot be read, imports its own modules by name at run time, or is too much.
    """
    search = _Search(root)
    search.follow(module)
    if len(search.files) > MOST_FILES or sum(map(len, search.files.values())) > MOST_BYTES:
        raise UnsupportedModel(
            f"What {module} imports from its project is {len(search.files):,} files, more than a bundle carries.",
            hint="put the function and what it needs into a module of their own",
        )
    return Collected(dict(sorted(search.files.items())), _requirements(search.foreign, search.installed))


@dataclass(slots=True, eq=False)
class _Search:
    """The walk from module to module below ``root``; ``foreign`` are the names of what lies elsewhere."""

    root: Path
    installed: Mapping[str, list[str]] = field(default_factory=importlib.metadata.packages_distributions)
    files: dict[str, bytes] = field(default_factory=dict)
    foreign: set[str] = field(default_factory=set)
    _seen: set[str] = field(default_factory=set)

    def follow(self, start: str) -> None:
        waiting = [start]
        while waiting:
            name = waiting.pop()
            if name in self._seen:
                continue
            self._seen.add(name)
            if name.partition(".")[0] in sys.stdlib_module_names:
                continue
            if not self._is_own(name.partition(".")[0]):
                self.foreign.add(name)
                continue
            for part in _lineage(name):
                path = self._path(part)
                relative = "" if path is None else path.relative_to(self.root).as_posix()
                if path is not None and relative not in self.files:
                    self.files[relative] = path.read_bytes()
                    waiting.extend(self._read(part, path))

    def _path(self, name: str) -> Path | None:
        """The file of a module of the project; None for a folder without one, or for a name that is no module."""
        place = self.root.joinpath(*name.split("."))
        for path in (place / "__init__.py", place.with_name(f"{place.name}.py")):
            if path.is_file():
                return path
        return None

    def _is_own(self, top: str) -> bool:
        """Whether the project has it; a folder without ``__init__.py`` gives way to an installed package."""
        if self._path(top) is not None:
            return True
        folder = self.root / top
        return top not in self.installed and folder.is_dir() and any(folder.rglob("*.py"))

    def _read(self, name: str, path: Path) -> Iterator[str]:
        """The modules that a file imports, and notes the files that it reads."""
        try:
            tree = ast.parse(path.read_bytes(), filename=path.name)
        except (SyntaxError, ValueError) as error:
            raise UnsupportedModel(f"{path.name} cannot be read as Python: {error}.") from error
        package = name if path.name == "__init__.py" else name.rpartition(".")[0]
        for node in _statements(tree):
            if isinstance(node, ast.Import):
                yield from (alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                base = _absolute(node, package)
                yield base
                yield from (f"{base}.{alias.name}" for alias in node.names if self._path(f"{base}.{alias.name}"))
            elif isinstance(node, ast.Call):
                self._note_call(node, path)

    def _note_call(self, node: ast.Call, path: Path) -> None:
        called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        words = [one.value for one in node.args if isinstance(one, ast.Constant) and isinstance(one.value, str)]
        if called in _BY_NAME and words and self._is_own(words[0].partition(".")[0]):
            raise UnsupportedModel(
                f"{path.name} imports {words[0]!r} by its name at run time ({called}).",
                hint=f"write it as a statement: import {words[0]}",
            )
        if called != "get_data" or not words:
            return
        data = path.parent / words[-1]
        if not data.is_file() or not data.resolve().is_relative_to(self.root.resolve()):
            raise UnsupportedModel(f"{path.name} reads {words[-1]!r}, and there is no such file beside it.")
        name, content = data.resolve().relative_to(self.root.resolve()).as_posix(), data.read_bytes()
        try:
            check_content(CODE_FOLDER + name, content)
        except DamagedBundle as error:
            raise UnsupportedModel(
                f"{path.name} reads {words[-1]!r}, which is no kind of file that a bundle carries: {error}",
                hint="text (.csv, .json, .toml, .txt, .yaml), .npy of numbers and model files such as .onnx travel",
            ) from error
        self.files[name] = content


def _lineage(name: str) -> Iterator[str]:
    """``a``, ``a.b``, ``a.b.c``: importing a module imports what it lies in."""
    parts = name.split(".")
    for count in range(1, len(parts) + 1):
        yield ".".join(parts[:count])


def _absolute(node: ast.ImportFrom, package: str) -> str:
    if not node.level:
        return node.module or ""
    parts = package.split(".")
    base = parts[: len(parts) - node.level + 1]
    return ".".join([*base, *([node.module] if node.module else [])])


def _statements(tree: ast.AST) -> Iterator[ast.AST]:
    """Every node but those under ``if TYPE_CHECKING``."""
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            waiting.extend(node.orelse)
            continue
        yield node
        waiting.extend(ast.iter_child_nodes(node))


# -- distributions ---------------------------------------------------------------------------------------------------


def _requirements(foreign: set[str], known: Mapping[str, list[str]]) -> tuple[str, ...]:
    names = {name for module in (*foreign, *_ALWAYS) for name in _distributions(module, known)} - {"aweigh"}
    return tuple(f"{name}=={importlib.metadata.version(name)}" for name in sorted(names))


def _distributions(module: str, known: Mapping[str, list[str]]) -> set[str]:
    """The distributions that hold a module. Several share a name such as ``google``: then those with the very file.

    None where nothing installed holds it: an import that may fail, or that the proof will miss.
    """
    found = set(known.get(module.partition(".")[0], ()))
    if len(found) <= 1:
        return found
    inside = module.replace(".", "/")
    exact = {
        name
        for name in found
        if any(str(one).startswith((f"{inside}/", f"{inside}.")) for one in importlib.metadata.files(name) or ())
    }
    return exact or found
