"""What the app's scripts load that can run code: pickles and joblib files, and what ``aweigh pack`` makes of them."""

import ast
from collections.abc import Iterator

from aweigh.errors import AweighError
from aweigh.targets.doctor.finding import Finding
from aweigh.targets.doctor.folder import Folder, dotted, parse

_LOADERS = frozenset(
    {
        *("joblib.load", "pickle.load", "pickle.loads", "cPickle.load", "cloudpickle.load", "dill.load"),
        *("torch.load", "pandas.read_pickle", "pd.read_pickle"),
    }
)
_MODELS = (".joblib", ".pkl", ".pickle", ".sav", ".pt", ".pth")


def check(folder: Folder) -> Iterator[Finding]:
    """Each call that loads such a file, where it is, and what the file would import."""
    for name in folder.scripts:
        tree = parse(folder.text(name) or "")
        for line, loader, path in _calls(tree) if tree is not None else ():
            yield _told(folder, f"{name}, line {line}", loader, path)


def _told(folder: Folder, where: str, loader: str, path: str | None) -> Finding:
    file = path.removeprefix("./") if path is not None else None
    if file is None:
        pickles = [name for name in folder.names if name.endswith(_MODELS)]
        file = pickles[0] if len(pickles) == 1 else None
    if file is None or file not in folder.names:
        what = f"{loader} runs whatever code the file holds{', and ' + file + ' is not in the folder' if file else ''}"
        level = "fail" if path is not None and file is not None else "warn"
        fix = f"add {file}, or " if level == "fail" else ""
        return Finding("pickle", "fail" if level == "fail" else "warn", what, f"{fix}{_pack('MODEL')}", where)
    return _scanned(folder, where, loader, file)


def _scanned(folder: Folder, where: str, loader: str, file: str) -> Finding:
    from aweigh.errors import UntrustedModel
    from aweigh.models.scan.verdict import check as judge

    try:
        found = judge(folder.path / file)
    except UntrustedModel as error:
        fix = f"do not load it before you know who made it; aweigh pack {file} says the same, and refuses it"
        return Finding(
            "pickle_code", "fail", f"{loader} would run code that is on no list: {error.message}", fix, where
        )
    except AweighError as error:
        what = f"{loader} runs whatever code {file} holds; it could not be looked into: {error.message}"
        return Finding("pickle", "warn", what, _pack(file), where)
    of = f", of {' and '.join(found.families)}" if found.families else ""
    listed = f"today only listed names{of}"
    what = f"{loader} runs whatever code {file} holds ({listed}), and wants the very versions that wrote it"
    return Finding("pickle", "warn", what, _pack(file), where)


def _pack(file: str) -> str:
    return (
        f"aweigh pack {file} --data SAMPLE makes a bundle of it, which is read without running code and is proven to "
        "answer the same; aweigh eject writes an app.py that asks it"
    )


def _calls(tree: ast.Module) -> Iterator[tuple[int, str, str | None]]:
    """Line, name and, where it is written out, the path of each call that unpickles."""
    bare = {
        alias.asname or alias.name: f"{node.module}.{alias.name}"
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    constants = {
        target.id: node.value
        for node in tree.body
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            name = dotted(node.func)
            name = bare.get(name, name)
            if name in _LOADERS:
                yield node.lineno, name, _path(node.args[0], constants) if node.args else None


def _path(node: ast.expr, constants: dict[str, ast.expr]) -> str | None:
    """The path that an argument names: a text, a constant, or the same within ``open(...)`` or ``Path(...)``."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.Name) and node.id in constants:
        return _path(constants[node.id], {})
    if isinstance(node, ast.Call) and node.args and dotted(node.func) in {"open", "Path", "pathlib.Path"}:
        return _path(node.args[0], constants)
    return None
