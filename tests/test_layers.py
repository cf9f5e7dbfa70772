"""The layers of docs/explanation/design.md hold: imports point downward only, also those in functions and for types.

Read by `ast`, so that a module is judged without being imported. Two names in one layer do not import each other; a
folder may use its own insides, and the errors are everybody's. What is heavy is not imported at a module's top.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src"
PACKAGE = "aweigh"

# Design, section 2. A new name under src/aweigh is given its layer there and here in one commit.
LAYERS = {
    -1: ("origin",),  # what the errors themselves need
    0: ("_version", "data", "errors", "secret", "registry"),
    1: ("table", "config", "wire", "database"),
    2: ("schema", "oci"),
    3: ("profile", "bundle"),
    4: ("models",),
    5: ("locking", "packing", "runtime", "train"),
    6: ("advisories", "guard", "jobs", "observe"),
    7: ("server", "ui"),
    8: ("scale",),
    9: ("targets",),
    10: ("cli", "testing"),
    11: ("__main__",),
}
LAYER_OF = {name: layer for layer, names in LAYERS.items() for name in names}

# Each costs between a tenth of a second and four seconds of start-up, or is an extra that may be missing.
HEAVY = {
    "catboost",
    "joblib",
    "lightgbm",
    "matplotlib",
    "onnx",
    "pandas",
    "pyarrow",
    "scipy",
    "skl2onnx",
    "sklearn",
    "skops",
    "streamlit",
    "torch",
    "xgboost",
}
# Who may import what is heavy at the top: pages that only Streamlit runs, and the file of each model family, which the
# registry imports when that family is chosen. What looks at a file before trusting it, or tries several ways, may not.
HEAVY_AT_THE_TOP = {f"{PACKAGE}.ui": {"streamlit"}, f"{PACKAGE}.models": HEAVY}
NO_FAMILY = {f"{PACKAGE}.models{name}" for name in ("", ".scan", ".convert", ".parity")}

MODULES = sorted((SOURCE / PACKAGE).rglob("*.py"))


def name_of(path: Path) -> str:
    """Return a module's dotted name."""
    parts = path.relative_to(SOURCE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imported(tree: ast.AST, module: str, *, is_package: bool) -> Iterator[tuple[int, str]]:
    """Yield line and dotted name of all that a module imports; `from a import b` yields a.b, as b may be a module."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parents = module.split(".")
                kept = parents[: len(parents) - node.level + is_package]
                base = ".".join([*kept, *([base] if base else [])])
            yield from ((node.lineno, f"{base}.{alias.name}") for alias in node.names)
        elif (
            isinstance(node, ast.Call)
            and ast.unparse(node.func) in {"import_module", "importlib.import_module", "__import__"}
            and node.args
            and isinstance(node.args[0], ast.Constant)
        ):
            yield node.lineno, str(node.args[0].value)


def run_at_import(tree: ast.Module) -> Iterator[ast.stmt]:
    """Yield the statements that importing a module runs: not those in functions, nor those for type checkers only."""
    waiting: list[ast.stmt] = list(tree.body)
    while waiting:
        statement = waiting.pop(0)
        if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        if isinstance(statement, ast.If) and ast.unparse(statement.test) in {"TYPE_CHECKING", "typing.TYPE_CHECKING"}:
            waiting.extend(statement.orelse)
            continue
        yield statement
        waiting.extend(node for node in ast.iter_child_nodes(statement) if isinstance(node, ast.stmt))
        for handler in getattr(statement, "handlers", []) + getattr(statement, "cases", []):
            waiting.extend(handler.body)


def breaches(source: str, module: str, *, is_package: bool = False) -> list[str]:
    """Return a sentence for each import of the module's source that breaks the order of the layers."""
    own = module.split(".")[1] if "." in module else ""
    found = []
    for line, name in imported(ast.parse(source), module, is_package=is_package):
        parts = name.split(".")
        if parts[0] != PACKAGE or not own or parts[1:2] == [own]:
            continue
        other = parts[1] if len(parts) > 1 else ""
        if other not in LAYER_OF:
            found.append(f"{module}:{line} imports {name} through the package's face: name the module that holds it")
        elif LAYER_OF[other] >= LAYER_OF[own] and other != "errors":
            found.append(f"{module}:{line} (layer {LAYER_OF[own]}) imports {name} (layer {LAYER_OF[other]})")
    return found


def heavy_at_the_top(source: str, module: str) -> list[str]:
    """Return a sentence for each heavy package that importing the module would import."""
    allowed: set[str] = set()
    for prefix, names in HEAVY_AT_THE_TOP.items():
        if module not in NO_FAMILY and (module == prefix or module.startswith(f"{prefix}.")):
            allowed = allowed | names
    found = []
    for statement in run_at_import(ast.parse(source)):
        if not isinstance(statement, ast.Import | ast.ImportFrom):
            continue
        for line, name in imported(statement, module, is_package=False):
            package = name.split(".")[0]
            if package in HEAVY - allowed and not getattr(statement, "level", 0):
                found.append(f"{module}:{line} imports {package} at its top: import it in the function that needs it")
    return found


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_imports_point_downward(path):
    assert breaches(path.read_text(encoding="utf-8"), name_of(path), is_package=path.stem == "__init__") == []


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_what_is_heavy_is_imported_where_it_is_used(path):
    assert heavy_at_the_top(path.read_text(encoding="utf-8"), name_of(path)) == []


def test_every_name_has_a_layer():
    """A folder without Python in it (what git leaves of a removed one) is no name."""
    names = {path.relative_to(SOURCE / PACKAGE).parts[0].removesuffix(".py") for path in MODULES}
    assert sorted(names - LAYER_OF.keys() - {"__init__"}) == []


def test_every_folder_of_modules_is_a_package():
    assert sorted({path.parent for path in MODULES if not (path.parent / "__init__.py").exists()}) == []


def test_the_face_imports_nothing_of_its_own_until_asked():
    """`import aweigh` must stay free: names are looked up when first used (PEP 562)."""
    source = (SOURCE / PACKAGE / "__init__.py").read_text(encoding="utf-8")
    eager = [
        name
        for statement in run_at_import(ast.parse(source))
        if isinstance(statement, ast.Import | ast.ImportFrom)
        for _, name in imported(statement, PACKAGE, is_package=True)
    ]
    allowed = {"collections", "importlib", "typing", f"{PACKAGE}._version.__version__"}
    assert [name for name in eager if not {name, name.split(".")[0]} & allowed] == []


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("aweigh.errors", "from aweigh.registry import FAMILIES"),
        ("aweigh.table", "from aweigh.schema import Schema"),
        ("aweigh.table", "def f():\n    import aweigh.server"),
        ("aweigh.table.csv", "from ..schema import Schema"),
        ("aweigh.table.csv", "from .. import schema"),
        ("aweigh.server.app", "from aweigh.ui import page"),
        ("aweigh.server.app", "from importlib import import_module\nimport_module('aweigh.cli')"),
        ("aweigh.server.app", "if TYPE_CHECKING:\n    from aweigh.targets import Target"),
        ("aweigh.server.app", "from aweigh import load"),
        ("aweigh.__main__", "from aweigh.nothing_of_the_kind import main"),
    ],
)
def test_a_breach_is_seen(module, source):
    assert len(breaches(source, module)) == 1


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("aweigh.schema", "from aweigh.table import Table"),
        ("aweigh.table.csv", "from aweigh.table.columns import Values"),
        ("aweigh.registry", "from aweigh.errors import MissingExtra"),
        ("aweigh.table.csv", "from .columns import Values\nfrom ..errors import AweighError"),
        ("aweigh.server.app", "import numpy\nfrom aweigh.runtime import load"),
    ],
)
def test_what_is_allowed_is_no_breach(module, source):
    assert breaches(source, module) == []


def test_a_heavy_import_at_the_top_is_seen():
    assert len(heavy_at_the_top("try:\n    import pandas as pd\nexcept ImportError:\n    pass", "aweigh.table")) == 1
    assert len(heavy_at_the_top("class A:\n    from sklearn.base import clone", "aweigh.packing")) == 1
    assert len(heavy_at_the_top("import joblib", "aweigh.models.scan")) == 1
    assert heavy_at_the_top("import joblib", "aweigh.models.sklearn") == []
    assert heavy_at_the_top("def f():\n    import pandas", "aweigh.table") == []
    assert heavy_at_the_top("if TYPE_CHECKING:\n    import pandas", "aweigh.table") == []
