"""A login of the app's own that keeps passwords as they are, or as hashes that are soon guessed; read, never run."""

import ast
import re
from collections.abc import Iterator

from aweigh.targets.doctor.finding import Finding
from aweigh.targets.doctor.folder import Folder, parse

_FAST = frozenset({"md5", "sha1", "sha224", "sha256", "sha384", "sha512", "sha3_256", "sha3_512", "blake2b", "blake2s"})
_PASSWORD = re.compile(r"pass(?:w(?:or)?d|wort|phrase)?|pwd|pw$|\bpin\b", re.IGNORECASE)
_SLOW = re.compile(r"argon2|bcrypt|scrypt|pbkdf2|passlib", re.IGNORECASE)
FIX = (
    "take the login out, and serve with aweigh serve --auth password (Argon2id, sign-in at the door, before the app), "
    "or keep Argon2id hashes (argon2-cffi) in config variables; those who have used it should change their passwords"
)


def check(folder: Folder) -> Iterator[Finding]:
    """Every script; at most one finding of each kind for each of them."""
    for name in folder.scripts:
        text = folder.text(name) or ""
        tree = parse(text) if _PASSWORD.search(text) else None
        if tree is None:
            continue
        hashed = _fast_hash(tree)
        if hashed is not None and not _SLOW.search(text):
            line, kind = hashed
            what = (
                f"passwords are compared as unsalted {kind}: whoever reads the file has guessed most of them in minutes"
            )
            yield Finding("weak_login", "fail", what, FIX, f"{name}, line {line}")
        plain = _plain(tree)
        if plain is not None:
            what = "a password is compared as it stands in a file, for everybody who sees the file"
            yield Finding("plain_login", "fail", what, FIX, f"{name}, line {plain}")


def _fast_hash(tree: ast.Module) -> tuple[int, str] | None:
    """The first hash of a password that is made to be quick: its line and its name."""
    for function, inside in _scopes(tree):
        about = _PASSWORD.search(getattr(function, "name", "")) is not None
        for node in inside:
            kind = _hash_name(node) if isinstance(node, ast.Call) else None
            if isinstance(node, ast.Call) and kind is not None and (about or _mentions_password(node)):
                return node.lineno, kind
    return None


def _scopes(tree: ast.Module) -> Iterator[tuple[ast.AST, list[ast.AST]]]:
    yield tree, list(ast.walk(tree))
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node, list(ast.walk(node))


def _hash_name(call: ast.Call) -> str | None:
    """``SHA-256`` for ``hashlib.sha256(...)`` and ``hashlib.new("sha256", ...)``."""
    function = call.func
    name = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
    if name == "new" and call.args and isinstance(call.args[0], ast.Constant):
        name = str(call.args[0].value).lower().replace("-", "")
    if name not in _FAST:
        return None
    return re.sub(r"^SHA(?=\d{3}$|1$)", "SHA-", name.upper())


def _mentions_password(node: ast.AST) -> bool:
    return any(_PASSWORD.search(name) for name in _names(node))


def _names(node: ast.AST) -> Iterator[str]:
    for one in ast.walk(node):
        if isinstance(one, ast.Name):
            yield one.id
        elif isinstance(one, ast.Attribute):
            yield one.attr


def _plain(tree: ast.Module) -> int | None:
    """The line of ``password == "..."`` or of ``PASSWORDS[user] == password`` with what is written in the file."""
    held = _held(tree)
    for node in ast.walk(tree):
        if not isinstance(node, ast.Compare) or not isinstance(node.ops[0], ast.Eq | ast.NotEq):
            continue
        sides = [node.left, *node.comparators]
        asked = [one for one in sides if not isinstance(one, ast.Constant) and _is_password(one)]
        written = [one for one in sides if _is_written(one, held) and one not in asked[:1]]
        if asked and written:
            return node.lineno
    return None


def _held(tree: ast.Module) -> set[str]:
    """Names that are given texts, or dictionaries of texts, in the file."""
    found: set[str] = set()
    for node in tree.body:
        if isinstance(node, ast.Assign):
            value = node.value
            values = value.values if isinstance(value, ast.Dict) else [value]
            if values and all(isinstance(one, ast.Constant) and isinstance(one.value, str) for one in values):
                found |= {one.id for one in node.targets if isinstance(one, ast.Name)}
    return found


def _is_password(node: ast.AST) -> bool:
    """A name, not of a hash, that is called a password."""
    name = node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else ""
    return bool(_PASSWORD.search(name)) and not re.search(r"hash|digest|hexdigest", name, re.IGNORECASE)


def _is_written(node: ast.AST, held: set[str]) -> bool:
    if isinstance(node, ast.Constant):
        return isinstance(node.value, str) and bool(node.value)
    if isinstance(node, ast.Subscript):
        node = node.value
    elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "get":
        node = node.func.value
    return isinstance(node, ast.Name) and node.id in held
