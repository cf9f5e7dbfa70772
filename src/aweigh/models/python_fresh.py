"""A process that has nothing of a project but the bundle's files: where a file that was forgotten is missed.

Started by ``python -I``, in an empty folder, without the project's own folder on the path. Parent and child are both
the packer's: they speak in pickles over a pipe, which never leaves the machine.
"""

import os
import pickle
import struct
import subprocess
import sys
import tempfile
import weakref
from collections.abc import Mapping, Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any, BinaryIO

from aweigh.errors import ModelError
from aweigh.schema.answers import Answers
from aweigh.schema.column import Schema
from aweigh.table import Table

_LENGTH = struct.Struct(">Q")
_INSTALLED = frozenset(("site-packages", "dist-packages"))


class Fresh:
    """Answers from a bundle's code in a process of its own, started when it is first asked."""

    def __init__(self, files: Mapping[str, bytes], entry: str, schema: Schema, *, root: Path) -> None:
        self._given = (dict(files), entry, schema, str(root.resolve()))
        self._child: subprocess.Popen[bytes] | None = None

    def predict(self, table: Table) -> Answers:
        """Answers for a checked table.

        Raises:
            ModelError: the code failed there; the message says how.
        """
        if self._child is None:
            self._child = self._start()
            _send(self._child.stdin, self._given)
        _send(self._child.stdin, table)
        answer = _receive(self._child.stdout)
        if isinstance(answer, Answers):
            return answer
        raise ModelError(f"in a process of its own, with the bundle's files alone: {answer or 'it ended'}")

    def _start(self) -> "subprocess.Popen[bytes]":
        folder = tempfile.TemporaryDirectory(prefix="aweigh-")
        child = subprocess.Popen(
            [sys.executable, "-I", "-m", __name__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=folder.name,
        )
        weakref.finalize(self, _end, child, folder)
        return child


def _end(child: "subprocess.Popen[bytes]", folder: "tempfile.TemporaryDirectory[str]") -> None:
    child.kill()
    child.wait()
    for pipe in (child.stdin, child.stdout):
        if pipe is not None:
            pipe.close()
    folder.cleanup()


def _send(pipe: BinaryIO | Any, value: object) -> None:
    data = pickle.dumps(value)
    try:
        pipe.write(_LENGTH.pack(len(data)) + data)
        pipe.flush()
    except BrokenPipeError:
        return  # the child has ended: what is received next says so


def _receive(pipe: BinaryIO | Any) -> Any:
    head = pipe.read(_LENGTH.size)
    if len(head) < _LENGTH.size:
        return None
    return pickle.loads(pipe.read(_LENGTH.unpack(head)[0]))  # noqa: S301  from our own process


# -- the child -------------------------------------------------------------------------------------------------------


class _NotOurs(MetaPathFinder):
    """Refuses what lies in the project's folder and came by another way than the bundle: an editable install, say."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname.partition(".")[0] == "aweigh":
            return None
        for finder in sys.meta_path:
            if finder is self or not hasattr(finder, "find_spec"):
                continue
            spec = finder.find_spec(fullname, path, target)
            if spec is not None:
                if self._is_project(spec):
                    msg = f"No module named {fullname!r} (the project has it, the bundle has not)"
                    raise ModuleNotFoundError(msg, name=fullname)
                return spec
        return None

    def _is_project(self, spec: ModuleSpec) -> bool:
        places = [spec.origin] if spec.has_location and spec.origin else list(spec.submodule_search_locations or ())
        return any(self._holds(Path(place).resolve()) for place in places)

    def _holds(self, place: Path) -> bool:
        """Whether the place lies in the project and is no installed package nor Python's own."""
        python = (Path(prefix).resolve() for prefix in (sys.prefix, sys.base_prefix))
        installed = not _INSTALLED.isdisjoint(place.parts) or any(place.is_relative_to(one) for one in python)
        return place.is_relative_to(self.root) and not installed


def _serve(given: BinaryIO, answers: BinaryIO) -> None:
    from aweigh.models.python import predictor

    files, entry, schema, root = _receive(given)
    sys.meta_path.insert(0, _NotOurs(Path(root)))
    failed, predict = "", None
    try:
        predict = predictor(files, entry, schema)
    except BaseException as error:  # noqa: BLE001  the user's own code may raise anything, and exit as well
        failed = _told(error)
    while (table := _receive(given)) is not None:
        try:
            result: object = failed if predict is None else predict(table)
        except BaseException as error:  # noqa: BLE001
            result = _told(error)
        _send(answers, result)


def _told(error: BaseException) -> str:
    if isinstance(error, FileNotFoundError):
        return (
            f"it opens {Path(str(error.filename)).name!r}; read it with pkgutil.get_data(__name__, ...), and it travels"
        )
    return f"{type(error).__name__}: {error}"


def main() -> None:
    """Answers tables from standard input until it ends. What the code prints goes to standard error."""
    with os.fdopen(os.dup(1), "wb") as answers:
        os.dup2(2, 1)
        _serve(sys.stdin.buffer, answers)


if __name__ == "__main__":
    main()
