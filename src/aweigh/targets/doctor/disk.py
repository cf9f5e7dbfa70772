"""State that the app writes to its own disk, which is gone at every restart: once a day, and at each release."""

import ast
import re
from collections.abc import Iterator

from aweigh.targets.doctor.finding import Finding
from aweigh.targets.doctor.folder import Folder, dotted, parse, written
from aweigh.targets.doctor.platform import Words

_WRITES = frozenset({"to_csv", "to_excel", "to_parquet", "to_pickle", "to_feather", "write_text", "write_bytes"})
_DUMPS = frozenset({"joblib.dump", "shelve.open", "np.save", "numpy.save"})
_WRITING = re.compile(r"[wax][bt]?\+?[bt]?\Z")
_TEMPORARY = ("/tmp", "tempfile", "tmp", "BytesIO", "StringIO", "buffer")  # noqa: S108  names to be recognized, not used


def check(folder: Folder, *, words: Words) -> Iterator[Finding]:
    """The first place in each script that writes; scripts that only tests or training need are not told apart."""
    for name in folder.scripts:
        if name.startswith(("tests/", "test_")):
            continue
        tree = parse(folder.text(name) or "")
        for node in ast.walk(tree) if tree is not None else ():
            told = _written(node) if isinstance(node, ast.Call) else None
            if told is not None and isinstance(node, ast.Call):
                what = f"{told} writes to {words.disk}"
                fix = f"keep what must stay in {words.keep}; what may go is better in st.cache_data"
                yield Finding("disk_state", "warn", what, fix, f"{name}, line {node.lineno}")
                break


def _written(call: ast.Call) -> str | None:
    """What the call is, where it writes a file that is named and not a temporary one."""
    name = dotted(call.func)
    short = name.rpartition(".")[2]
    if name == "open" and _WRITING.match(_mode(call, 1)):
        return None if _is_temporary(call.args[0]) else f'open(..., "{_mode(call, 1)}")'
    if short == "open" and isinstance(call.func, ast.Attribute) and _WRITING.match(_mode(call, 0)):
        return None if _is_temporary(call.func.value) else f'open("{_mode(call, 0)}")'
    if name == "sqlite3.connect" and call.args:
        return None if ":memory:" in written(call.args[0]) or _is_temporary(call.args[0]) else "sqlite3.connect"
    if short == "create_engine" and call.args and "sqlite:///" in written(call.args[0]):
        return "an SQLite file"
    if name in _DUMPS and call.args:
        return None if _is_temporary(call.args[-1]) else name
    if short in _WRITES and isinstance(call.func, ast.Attribute):
        if short.startswith("write_"):
            return None if _is_temporary(call.func.value) else short
        return None if not call.args or _is_temporary(call.args[0]) else short
    return None


def _mode(call: ast.Call, position: int) -> str:
    """The mode that a file is opened with, where it is written out, at that position or by its name."""
    named = next((one.value for one in call.keywords if one.arg == "mode"), None)
    given = call.args[position] if len(call.args) > position else named if call.args or position == 0 else None
    return given.value if isinstance(given, ast.Constant) and isinstance(given.value, str) else ""


def _is_temporary(node: ast.expr) -> bool:
    text = written(node)
    return any(word in text for word in _TEMPORARY)
